"""Changes of workflow files, whoever makes them: the stamps, and the word to every page."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.ui.conftest import RunningServer, graph
from ui import watching

TOY = graph({"a": {"type": "number", "params": {"value": 1}}})


def test_stamps_are_the_etags_of_the_files_as_they_are(server: RunningServer) -> None:
    path = "workflows/stamped.json"
    saved = server.call("save", path=path, workflow=TOY, overwrite=True)
    assert server.call("stamps", paths=[path, "workflows/none.json", "../x", "shipped/quickstart.json"]) == {
        path: saved["etag"],
        "workflows/none.json": "",
        "../x": "",
        "shipped/quickstart.json": server.call("open", path="shipped/quickstart.json")["etag"],
    }
    (server.workspace / path).write_text(saved["text"] + "\n")
    assert server.call("stamps", paths=[path])[path] != saved["etag"]
    (server.workspace / path).unlink()
    assert server.call("stamps", paths=[path]) == {path: ""}
    status, said = server.refused("stamps", paths=["x"] * 201)
    assert status == 400
    assert "paths" in said


def test_a_file_that_something_else_writes_is_told_to_pages(server: RunningServer) -> None:
    folder = server.workspace / "workflows"
    folder.mkdir(exist_ok=True)
    with connect(server.url.replace("http", "ws") + "/ws", proxy=None) as page:
        while "hello" not in json.loads(page.recv(20)):
            pass
        (folder / "by_an_editor.json").write_text(json.dumps(TOY))
        while not json.loads(page.recv(20)).get("workflows"):
            pass


def test_only_workflows_count_and_only_while_somebody_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "EVERY", 0.005)
    folder = tmp_path / "workflows"

    async def scene() -> None:
        told, looked = asyncio.Event(), asyncio.Event()
        somebody = False

        def wanted() -> bool:
            looked.set()
            return somebody

        async def more_looks() -> None:
            for _ in range(3):
                looked.clear()
                await looked.wait()

        task = asyncio.create_task(watching.watch(folder, told.set, wanted))
        await more_looks()
        (folder / "deep").mkdir(parents=True)
        (folder / "deep/a.json").write_text("{}")
        await more_looks()
        assert not told.is_set()
        somebody = True
        await told.wait()
        told.clear()
        (folder / "a.webp").write_text("")
        (folder / ".hidden.json").write_text("")
        await more_looks()
        assert not told.is_set()
        (folder / "deep/a.json").unlink()
        await told.wait()
        task.cancel()

    asyncio.run(asyncio.wait_for(scene(), 60))
