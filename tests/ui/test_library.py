"""Workflow files through the server: the bytes of the command line, conflicts, the list; and the types for the page."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from graph_runner.bind.validate import validate
from graph_runner.contract import Made
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import load, read, save, write
from tests.ui.conftest import NODES, ROOT, RunningServer, graph
from ui.library import Library
from ui.thumbnails import WIDTH, pictures
from ui.workspace import Workspace, thumbnail

TOY = {"a": {"type": "number", "params": {"value": 1}}, "m": {"type": "measure", "wires": {"x": "a"}}}


def test_saving_writes_the_bytes_of_the_command_line(server: RunningServer, tmp_path: Path) -> None:
    shipped = ROOT / "workflows" / "quickstart.json"
    opened = server.call("open", path="shipped/quickstart.json")
    assert opened["shipped"]
    saved = server.call("save", path="workflows/command_line.json", workflow=opened["workflow"])
    save(load(shipped), tmp_path / "cli.json")
    written = (server.workspace / "workflows" / "command_line.json").read_bytes()
    assert written == (tmp_path / "cli.json").read_bytes() == saved["text"].encode()
    assert server.call("canonical", workflow=saved["text"])["text"] == saved["text"]


def test_the_answer_of_validate_is_the_command_lines(server: RunningServer) -> None:
    from graph_runner.contract.registry import Registry

    wrong = graph({
        "a": {"type": "number", "params": {"value": 1000}},
        "b": {"type": "add", "wires": {"a": "a", "b": "t"}},
        "t": {"type": "text"},
        "c": {"type": "same", "wires": {"x": "d"}},
        "d": {"type": "same", "wires": {"x": "c"}},
        "e": {"type": "add", "wires": {"a": "a"}},
    })  # fmt: skip
    path = server.workspace / "wrong.json"
    import json

    path.write_text(json.dumps(wrong))
    problems = validate(load(path), Registry.installed(NODES))[1]
    assert len(problems) >= 4
    assert server.call("validate", workflow=wrong)["problems"] == [problem.to_json() for problem in problems]


@pytest.mark.parametrize("path", ["/etc/hostname", "../x", "in/../../x", "~/x"])
def test_where_others_reach_the_server_nodes_read_the_workspace_only(path: str, tmp_path: Path) -> None:
    from graph_runner.contract.registry import Registry
    from ui.library import checked

    registry = Registry.scan(NODES)
    nodes = {"n": {"type": "read_number", "params": {"path": path}}, "m": {"type": "measure", "wires": {"x": "n"}}}
    said = [problem.message for problem in checked(graph(nodes), registry, tmp_path, True)[1].problems]
    assert said == [f"{path} is outside of the workspace, and others can reach this server"]
    (tmp_path / "one.txt").write_text("1")
    nodes["n"]["params"] = {"path": "one.txt"}
    assert checked(graph(nodes), registry, tmp_path, True)[1].problems == []


def test_types_are_solved_for_the_wires(server: RunningServer) -> None:
    nodes = {**TOY, "same": {"type": "same", "wires": {"x": "a"}},
             "r": {"type": "repeat", "wires": {"state": {"v": "a"}},
                   "body": {"nodes": {"n": {"type": "noted", "wires": {"x": "r.state.v"}}}, "results": {"v": "n"}}}}  # fmt: skip
    types = server.call("validate", workflow=graph(nodes))["types"]
    assert types["same.value"] == {"type": "number", "list": False}
    assert types["r.v"] == types["r.state.v"] == {"type": "number", "list": False}
    assert types["r.iteration"] == {"type": "int", "list": False}
    unasked = server.call("validate", workflow=graph(nodes), types=False)
    assert unasked["types"] == {}
    assert unasked["problems"] == server.call("validate", workflow=graph(nodes))["problems"]


def test_a_dry_run_tells_shapes_and_errors_beforehand(server: RunningServer) -> None:
    nodes = {
        "noise": {"type": "gaussian_noise", "params": {"shape": [2, 4, 8, 8]}},
        "first": {"type": "kl_autoencoder", "params": {"z_channels": 3}},
        "image": {"type": "decode", "wires": {"autoencoder": "first", "z": "noise"}},
    }
    found = server.call("estimate", workflow=graph(nodes))
    assert found["nodes"]["noise"]["gives"] == {"latent": "2×4×8×8"}
    assert found["nodes"]["first"]["parameters"] > 1_000_000
    assert [problem["node"] for problem in found["problems"]] == ["image"]
    assert server.refused("estimate", workflow=graph({"a": {"type": "absent"}}))[0] == 422


def test_somebody_elses_change_is_not_overwritten(server: RunningServer) -> None:
    first = server.call("save", path="workflows/shared.json", workflow=graph(TOY, title="one"))
    second = server.call("save", path="workflows/shared.json", workflow=graph(TOY, title="two"), etag=first["etag"])
    status, error = server.refused("save", path="workflows/shared.json", workflow=graph(TOY), etag=first["etag"])
    assert status == 409
    assert "changed by somebody else" in error
    assert server.call("open", path="workflows/shared.json")["etag"] == second["etag"]
    server.call("save", path="workflows/shared.json", workflow=graph(TOY, title="three"), overwrite=True)
    assert server.call("discard", path="workflows/shared.json") is True
    assert server.refused("open", path="workflows/shared.json")[0] == 404


def test_the_list_holds_shipped_and_own_with_their_pictures(server: RunningServer) -> None:
    folder = server.workspace / "workflows"
    folder.mkdir(exist_ok=True)
    server.call("save", path="workflows/listed.json", workflow=graph(TOY, title="Listed", about="of a test"))
    Image.new("RGB", (8, 8)).save(folder / "listed.png")
    (folder / "broken.json").write_text("{")
    entries = {entry["path"]: entry for entry in server.call("workflows")}
    assert entries["shipped/quickstart.json"]["shipped"]
    listed = entries["workflows/listed.json"]
    assert (listed["title"], listed["about"], listed["problem"]) == ("Listed", "of a test", "")
    assert server.http.get(f"/{listed['thumbnail']}").headers["content-type"] == "image/png"
    assert "no valid JSON" in entries["workflows/broken.json"]["problem"]
    names = [entry["name"] for entry in server.call("files", folder="workflows")]
    assert {"listed.json", "listed.png"} <= set(names)


def test_shipped_workflows_have_the_pictures_of_the_documentation(server: RunningServer) -> None:
    entries = {entry["name"]: entry for entry in server.call("workflows") if entry["shipped"]}
    assert "quickstart" in {target.stem for target in pictures()}
    for target, picture in pictures().items():
        assert entries[target.stem]["thumbnail"], f"run python -m ui.thumbnails: {picture.name} is new"
        small = server.http.get(f"/{entries[target.stem]['thumbnail']}")
        assert small.headers["content-type"] == "image/webp"
        assert len(small.content) < 40_000
        with (
            Image.open(io.BytesIO(small.content)) as is_there,
            Image.open(io.BytesIO(thumbnail(picture, WIDTH))) as made,
        ):
            off = np.abs(np.asarray(is_there, dtype=float) - np.asarray(made)).mean()
        assert off < 2, "run python -m ui.thumbnails"  # of 255: encoders differ a little from version to version


def test_shipped_workflows_are_only_read(server: RunningServer) -> None:
    for path in ("shipped/quickstart.json", "workflows/shipped/x.json", "elsewhere/x.json", "workflows/x.txt"):
        assert server.refused("save", path=path, workflow=graph(TOY))[0] == 400
    assert server.refused("discard", path="shipped/quickstart.json")[0] == 400


def test_what_describe_gives_is_what_its_types_say() -> None:
    """Nothing missing, nothing more; mypy does not look into JSON Schemas and defaults."""
    from pydantic import TypeAdapter

    from graph_runner.catalog.describe import Catalog, describe_all
    from graph_runner.contract.registry import Registry

    described = describe_all(Registry.installed(NODES).values())
    TypeAdapter(Catalog).validate_python(described, strict=True, extra="forbid")


def test_names_of_workflows_mean_one_file_on_every_system(server: RunningServer) -> None:
    for name in ("sd-v1.4", "sd-v1.5", "Größe"):
        server.call("save", path=f"workflows/{name}.json", workflow=graph(TOY, title=name))
        assert server.call("open", path=f"workflows/{name}.json")["workflow"]["title"] == name
    for name, sentence in {
        "SD-v1.4": "in capitals alone", "con": "means a device on Windows", "x.": "ends in a space or a dot",
        "x" * 300: "longer than a file's name can be", "a?b": "some systems refuse", "": "hidden", "a//b": "part without letters",
    }.items():  # fmt: skip
        status, error = server.refused("save", path=f"workflows/{name}.json", workflow=graph(TOY))
        assert (status, sentence in error) == (400, True), (name, error)


@pytest.mark.parametrize(
    "name", ["9" * 250, "9" * 300, "9" * 5000, "x/" * 1000, "%00", "%ff", "quickstart/" + "y" * 300]
)
def test_an_app_view_of_no_file_is_not_there_whatever_its_name(name: str, server: RunningServer) -> None:
    answer = server.http.get(f"/app/{name}")
    assert answer.status_code in (400, 404)
    assert "content-security-policy" in answer.headers


def test_what_the_workflow_of_another_programs_picture_leaves_out_is_told(tmp_path: Path) -> None:
    registry = Registry([])
    registry.picture_describers = [
        lambda texts: Made("Them", {}, texts["workflow of theirs"], ("its LoRA is left out",))
    ]
    carried = PngImagePlugin.PngInfo()
    carried.add_text("workflow of theirs", write(read('{"loom": 1}')))
    Image.new("RGB", (4, 4)).save(tmp_path / "theirs.png", pnginfo=carried)
    found = Library(Workspace(tmp_path / "workspace"), registry).extract(tmp_path / "theirs.png")
    assert found.remarks == ["its LoRA is left out"]


def test_a_workflow_is_exported_as_python(server: RunningServer) -> None:
    drawn = {"x": {"type": "random_number", "params": {"seed": 2}}}
    script = server.call("export", workflow=graph(drawn, exposed={"outputs": {"x": "x"}}), seed=5)
    assert "SEED = 5" in script["text"]
    assert script["left_out"] == []
    values: dict[str, Any] = {"__name__": "exported"}
    exec(script["text"], values)
    assert values["run"]()["x"].ndim == 0
    status, told = server.refused("export", workflow=graph({"m": {"type": "measure"}}))
    assert status == 422
    assert told.startswith("m.x: ")
