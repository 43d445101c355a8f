"""Workflow files that are renamed, copied, put into folders, deleted and had back; and names that try to get elsewhere."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from PIL import Image

from graph_runner.contract.registry import Registry
from tests.ui.conftest import RunningServer, graph
from ui import shelf
from ui.library import Library
from ui.workspace import Workspace

TOY = {"a": {"type": "number", "params": {"value": 1}}, "m": {"type": "measure", "wires": {"x": "a"}}}


def saved(server: RunningServer, name: str, title: str = "") -> str:
    path = f"workflows/{name}.json"
    server.call("save", path=path, workflow=graph(TOY, title=title or name), overwrite=True)
    return path


def listed(server: RunningServer) -> dict[str, str]:
    return {entry["path"]: entry["title"] for entry in server.call("workflows") if not entry["shipped"]}


def test_a_workflow_gets_another_name_and_a_folder_with_its_picture(server: RunningServer) -> None:
    path = saved(server, "first", "One")
    Image.new("RGB", (8, 8)).save(server.workspace / "workflows/first.png")
    assert server.call("move", path=path, to="workflows/studies/2026/second.json") == {
        "path": "workflows/studies/2026/second.json"
    }
    assert path not in listed(server)
    assert listed(server)["workflows/studies/2026/second.json"] == "One"
    assert (server.workspace / "workflows/studies/2026/second.png").is_file()
    assert not (server.workspace / "workflows/first.png").exists()
    server.call("move", path="workflows/studies/2026/second.json", to="workflows/third.json")
    assert not (server.workspace / "workflows/studies").exists(), "a folder goes with its last workflow"
    server.call("move", path="workflows/third.json", to="workflows/Third.json")  # capitals of its own name may change
    assert "workflows/Third.json" in listed(server)


def test_nothing_is_written_over(server: RunningServer) -> None:
    one, two = saved(server, "one", "One"), saved(server, "two", "Two")
    for name, arguments in (("move", {"path": one}), ("duplicate", {"path": one})):
        status, told = server.refused(name, **arguments, to=two)
        assert (status, "exists already; choose another name" in told) == (409, True)
        assert server.refused(name, **arguments, to="workflows/TWO.json")[0] == 400
        status, told = server.refused(name, **arguments, to="workflows/two.json/three.json")
        assert status == 400, told
    assert server.refused("move", path=one, to=one)[0] == 409
    assert {one: "One", two: "Two"}.items() <= listed(server).items()
    three, lonely = saved(server, "three"), server.workspace / "workflows/lonely.png"
    Image.new("RGB", (8, 8)).save(server.workspace / "workflows/three.png")
    lonely.write_bytes(b"a picture that somebody put there")
    server.call("duplicate", path=three, to="workflows/lonely.json")
    server.call("discard", path="workflows/lonely.json")
    server.call("restore", path="workflows/lonely.json")
    server.call("discard", path="workflows/lonely.json")
    lonely.write_bytes(b"another")
    server.call("move", path=three, to="workflows/lonely.json")
    assert lonely.read_bytes() == b"another"
    server.call("discard", path="workflows/lonely.json")


def test_a_folder_that_is_called_like_a_workflow_is_none_of_the_deleted(server: RunningServer) -> None:
    path = saved(server, "odd.json/inside")
    server.call("discard", path=path)
    assert [each["path"] for each in server.call("discarded") if "odd.json" in each["path"]] == [path]
    assert server.refused("restore", path="workflows/odd.json")[0] == 404


def test_a_copy_is_the_same_bytes_of_an_example_too(server: RunningServer) -> None:
    server.call("duplicate", path="shipped/quickstart.json", to="workflows/mine/quickstart.json")
    copy = server.call("open", path="workflows/mine/quickstart.json")
    assert copy["text"] == server.call("open", path="shipped/quickstart.json")["text"]
    assert not copy["shipped"]
    assert server.http.get("/thumbnails/workflows/mine/quickstart.json").status_code == 200


def test_what_is_deleted_can_be_had_back(server: RunningServer) -> None:
    path = saved(server, "left/gone", "First")
    Image.new("RGB", (8, 8)).save(server.workspace / "workflows/left/gone.png")
    before = (server.workspace / path).read_bytes()
    assert server.call("discard", path=path) is True
    assert path not in listed(server)
    assert not (server.workspace / "workflows/left").exists()
    assert path in [gone["path"] for gone in server.call("discarded")]
    assert server.refused("discard", path=path)[0] == 404

    saved(server, "left/gone", "Second")
    status, told = server.refused("restore", path=path)
    assert (status, "exists already" in told) == (409, True)
    server.call("discard", path=path)
    server.call("restore", path=path)
    assert listed(server)[path] == "Second"  # the newest
    server.call("move", path=path, to="workflows/left_second.json")
    server.call("restore", path=path)
    assert (server.workspace / path).read_bytes() == before
    assert (server.workspace / "workflows/left/gone.png").is_file()
    assert server.refused("restore", path=path)[0] == 409
    assert path not in [gone["path"] for gone in server.call("discarded")]


def test_only_so_many_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "KEPT", 2)
    kept = shelf.Shelf(Library(Workspace(tmp_path), Registry({})))
    (tmp_path / "workflows").mkdir(exist_ok=True)
    for i in range(4):
        path = f"workflows/row{i}.json"
        (tmp_path / path).write_text(json.dumps(graph(TOY)))
        kept.discard(path)
    assert [gone.path for gone in kept.discarded()] == ["workflows/row3.json", "workflows/row2.json"]


ELSEWHERE = (
    "../x.json", "/etc/passwd", "workflows/../x.json", "workflows/../../x.json", "..\\x.json", "C:/x.json", "~/x.json", "x.json",
    "elsewhere/x.json", "workflows/x.txt", "workflows/.hidden.json", "workflows/.git/x.json", "workflows/con.json", "workflows/x\0.json",
    "workflows/shipped/x.json", "shipped/quickstart.json", "shipped/../x.json", ".server/server.db", ".server/discarded/x.json",
    "workflows/" + "x" * 300 + ".json", "workflows/" + "a/" * 900 + "x.json", "workflows/a?.json", "workflows/x .json ", "workflows/",
    "workflows/x\n.json", "", "workflows//x.json", "workflows/out/x.json",
)  # fmt: skip


@pytest.mark.parametrize("path", ELSEWHERE)
def test_no_name_leads_elsewhere(server: RunningServer, path: str) -> None:
    out = server.workspace.parent / "out"
    out.mkdir(exist_ok=True)
    link = server.workspace / "workflows/out"
    if not link.is_symlink():
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(out)
    mine = saved(server, "mine", "Mine")
    for name, arguments in (
        ("move", {"path": mine, "to": path}),
        ("move", {"path": path, "to": "workflows/taken.json"}),
        ("duplicate", {"path": mine, "to": path}),
        ("discard", {"path": path}),
        ("restore", {"path": path}),
    ):
        assert server.refused(name, **arguments)[0] in (400, 404), (name, arguments)
    if path != "shipped/quickstart.json":
        assert server.refused("duplicate", path=path, to="workflows/taken.json")[0] in (400, 404)
    assert listed(server)[mine] == "Mine"
    assert "workflows/taken.json" not in listed(server)
    assert list(out.iterdir()) == []


def test_of_many_that_want_one_name_one_gets_it(server: RunningServer, tmp_path: Path) -> None:
    names = [saved(server, f"many{i}", f"Many {i}") for i in range(8)]
    answers: list[int] = []

    def go(path: str) -> None:
        answers.append(server.http.post("/api/move", json={"path": path, "to": "workflows/won.json"}).status_code)

    threads = [threading.Thread(target=go, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200] + [409] * 7
    assert sum(path in listed(server) for path in [*names, "workflows/won.json"]) == 8
