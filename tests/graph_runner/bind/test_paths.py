"""Where paths lead: typed in or wired, each is placed in one way; nothing is read that the host does not allow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from graph_runner.__main__ import main
from graph_runner.base.problems import WorkflowError
from graph_runner.bind.paths import SHIPPED, PathError, Paths
from graph_runner.bind.validate import validate
from graph_runner.contract.registry import Registry
from graph_runner.estimate.dry import dry_run
from graph_runner.run.engine import Engine
from graph_runner.run.failures import NodeError
from tests.graph_runner.conftest import TOYS, graph
from tests.graph_runner.toys import CALLS

OUTSIDE = "is outside of the workspace, and others can reach this server"


def typed(path: str) -> dict[str, Any]:
    return {"f": {"type": "read_number", "params": {"path": path}}, "sum": {"type": "scale", "wires": {"x": "f"}}}


def wired(path: str) -> dict[str, Any]:
    body = {"nodes": {"f": {"type": "read_number", "wires": {"path": "z.item.path"}}}, "results": {"n": "f"}}
    zone = {"type": "for_each", "params": {"over": {"path": [path]}}, "body": body}
    return {"z": zone, "sum": {"type": "total", "wires": {"numbers": "z.n"}}}


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """A workspace with a file and links out of it, and a secret beside it."""
    workspace = tmp_path / "workspace"
    (workspace / "in").mkdir(parents=True)
    (tmp_path / "far" / "deep").mkdir(parents=True)
    for file in (workspace / "one.txt", tmp_path / "secret.txt", tmp_path / "far" / "one.txt"):
        file.write_text("1")
    (workspace / "link.txt").symlink_to(tmp_path / "secret.txt")
    (workspace / "own.txt").symlink_to(workspace / "one.txt")
    (workspace / "data").symlink_to(tmp_path / "far" / "deep")
    return workspace


@pytest.mark.parametrize("nodes", [typed, wired])
@pytest.mark.parametrize(
    "path", ["../secret.txt", "in/../../secret.txt", "/etc/hostname", "~/x", "link.txt", "data/../one.txt", "in/../link.txt"]
)  # fmt: skip
def test_nothing_outside_is_read(nodes: Any, path: str, places: Path) -> None:
    engine = Engine(Registry.scan(TOYS), places, roots=[places])
    with pytest.raises((WorkflowError, NodeError), match=OUTSIDE) as caught:
        engine.run(graph(nodes(path)), targets=["sum"])
    assert str(caught.value).startswith("f")
    assert CALLS == []
    top, problems = validate(graph(wired(path)), engine.registry)
    assert problems == []
    dry_run(top, places, roots=[places])
    assert CALLS == [], "nor by a dry run"


@pytest.mark.parametrize("nodes", [typed, wired])
@pytest.mark.parametrize("path", ["one.txt", "own.txt", "in/../one.txt", "{}/one.txt"])
def test_what_lies_inside_is_read(nodes: Any, path: str, places: Path) -> None:
    engine = Engine(Registry.scan(TOYS), places, roots=[places])
    assert float(engine.run(graph(nodes(path.format(places))), targets=["sum"]).values["sum"]) == 1


@pytest.mark.parametrize("nodes", [typed, wired])
def test_what_the_owner_lends_is_read_and_without_roots_everything(nodes: Any, places: Path) -> None:
    for roots, path in (((places, places.parent / "far"), "data/../one.txt"), ((), "../secret.txt")):
        engine = Engine(Registry.scan(TOYS), places, roots=roots)
        assert float(engine.run(graph(nodes(path)), targets=["sum"]).values["sum"]) == 1


@pytest.mark.parametrize("nodes", [typed, wired])
@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("~nosuchuser/x.txt", "there is no home ~nosuchuser"),
        ("x" * 300, r"x*… cannot be read \(file name too long\)"),
        ("x/" * 5000, r"(x/?)+… cannot be read \(file name too long\)"),
        ("a\0b", "is no path"),
        ("circle", "its links lead in a circle|too many levels"),
        ("gone.txt", "there is no file .*gone.txt"),
        ("in", "in is a folder, and a file is wanted"),
        ("one.txt/x", "there is no file|not a directory"),
    ],
)
def test_what_is_wrong_is_a_sentence(nodes: Any, path: str, sentence: str, places: Path) -> None:
    (places / "circle").symlink_to("circle")
    for roots in ((), (places,)):
        engine = Engine(Registry.scan(TOYS), places, roots=roots)
        with pytest.raises((WorkflowError, NodeError), match=f"{sentence}|{OUTSIDE}") as caught:
            engine.run(graph(nodes(path)), targets=["sum"])
        assert len(str(caught.value)) < 1500
        assert isinstance(caught.value, WorkflowError) or isinstance(caught.value.__cause__, PathError)


def test_a_folder_is_wanted(places: Path) -> None:
    assert Paths(places).place("in", "folder") == places / "in"
    assert Paths(places).place("in", "file or folder") == places / "in"
    with pytest.raises(PathError, match=r"one\.txt is a file, and a folder is wanted; give the path of a folder"):
        Paths(places).place("one.txt", "folder")


def test_a_model_that_ships_is_found_until_the_workspace_has_its_own(places: Path) -> None:
    shipped = SHIPPED / "models" / "quickstart" / "unet.safetensors"
    for roots in ((), (places,)):
        assert Paths(places, roots).place("models/quickstart/unet.safetensors", "file") == shipped
    for other in ("quickstart/unet.safetensors", "models/../sample.json", "sample.json", "models/quickstart"):
        with pytest.raises(PathError, match="there is no file"):
            Paths(places).place(other, "file")
    own = places / "models" / "quickstart" / "unet.safetensors"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    assert Paths(places).place("models/quickstart/unet.safetensors", "file") == own


def test_a_model_that_ships_is_found_where_the_program_was_installed_through_a_link(places: Path) -> None:
    (places.parent / "installed").symlink_to(SHIPPED.parent)
    code = "import sys; from pathlib import Path; from graph_runner.bind.paths import Paths; here = Path(sys.argv[1])\n"
    code += "print(Paths(here, (here,)).place('models/quickstart/unet.safetensors', 'file'))"
    environment = {**os.environ, "PYTHONPATH": str(places.parent / "installed")}
    asked = [sys.executable, "-c", code, str(places)]
    found = subprocess.run(asked, env=environment, cwd=places, capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()) == SHIPPED / "models" / "quickstart" / "unet.safetensors"


@pytest.mark.parametrize("command", [["run"], ["check"], ["check", "--graph-only"]])
def test_the_command_line_reads_below_what_it_is_told_only(
    command: list[str], places: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = places.parent / "w.json"
    nodes = {"f": {"type": "read_number", "params": {"path": "~nosuchuser/x"}}, "m": {"type": "measure", "wires": {"x": "f"}}}  # fmt: skip
    file.write_text(json.dumps({"loom": 1, "nodes": nodes}))
    options = [*command, str(file), "--workspace", str(places), *(o for module in TOYS for o in ("--nodes", module))]
    assert main(options) == 2
    assert "f.path: there is no home ~nosuchuser" in capsys.readouterr().err
    assert main([*options, "--set", "f.path=~nosuchuser/y"]) == 2
    assert main([*options, "--set", f"f.path={places.parent / 'secret.txt'}"]) == 0
    assert main([*options, "--set", f"f.path={places.parent / 'secret.txt'}", "--only-below", str(places)]) == 2
    assert OUTSIDE in capsys.readouterr().err
    assert main([*options, "--workspace", "~nosuchuser/w"]) == 2
    assert "there is no home ~nosuchuser" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="such paths are understood there")
@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        (r"C:\Users\me\cat.png", "Copy it to this machine"),
        ("D:/models/sd.safetensors", "Copy it to this machine"),
        (r"\\server\share\cat.png", "Copy it to this machine"),
        (r"in\one.txt", "Write in/one.txt"),
        (r"in\nothing.txt", "Copy it to this machine"),
    ],
)
def test_a_path_as_windows_writes_it_is_told_as_such(path: str, remedy: str, places: Path) -> None:
    (places / "in" / "one.txt").write_text("1")
    with pytest.raises(PathError) as caught:
        Paths(places).place(path, "file")
    assert caught.value.message == f"{path} is written as Windows writes paths"
    assert caught.value.remedy.startswith(remedy)


def test_a_name_that_only_holds_a_colon_is_no_path_of_windows(places: Path) -> None:
    for path in ("a:b.txt", "C.txt", "in/C:b"):
        with pytest.raises(PathError, match="there is no file"):
            Paths(places).place(path, "file")


def test_a_file_that_many_nodes_name_is_looked_for_once(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    place = Paths.place

    def counted(self: Paths, text: str, kind: str) -> Path:
        asked.append(text)
        return place(self, text, kind)

    monkeypatch.setattr(Paths, "place", counted)
    names = {"a": "one.txt", "b": "none.txt", "c": "one.txt", "d": "none.txt"}
    nodes = {id: {"type": "read_number", "params": {"path": path}} for id, path in names.items()}
    top, problems = validate(graph(nodes), Registry.scan(TOYS), Paths(places))
    assert sorted(asked) == ["none.txt", "one.txt"]
    assert [(problem.node, problem.message) for problem in problems] == [
        (id, f"there is no file {places / 'none.txt'}") for id in ("b", "d")
    ]
    assert top.nodes["a"].params == top.nodes["c"].params == {"path": str(places / "one.txt")}
