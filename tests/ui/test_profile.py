"""What a run took, node by node: asked for, told by the engine in the run's folder, and shown."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tests.ui.conftest import RunningServer, looping
from ui.adoption import finished_elsewhere

NODE = {"type": "iterate", "calls": 1, "seconds": 0.4, "own_seconds": 0.1, "device_seconds": None, "memory": 4096}
PROFILE: dict[str, Any] = {"seconds": 0.5, "memory_of": "the process' memory", "device": "cpu", "nodes": {"z": NODE}}


def test_the_profile_of_a_run_is_told(server: RunningServer) -> None:
    run = server.submit(looping(3, 0.01))
    folder = server.workspace / server.over(run)["folder"]
    assert "no profile: run it anew" in server.refused("profile", run=run)[1]
    (folder / "profile.json").write_text(json.dumps(PROFILE))
    told = {name: PROFILE[name] for name in ("seconds", "memory_of", "nodes")}
    assert server.call("profile", run=run) == {**told, "trace": ""}
    (folder / "trace.json").write_text('{"traceEvents": []}')
    trace = server.call("profile", run=run)["trace"]
    assert server.http.get(f"/{trace}").json() == {"traceEvents": []}


def test_a_damaged_profile_is_refused_in_words(server: RunningServer) -> None:
    run = server.submit(looping(3, 0.01))
    path = server.workspace / server.over(run)["folder"] / "profile.json"
    for text in ("", "{", "[1]", '{"seconds": 1}', json.dumps({**PROFILE, "nodes": {"z": {}}}), "\xff"):
        path.write_bytes(text.encode("latin-1"))
        status, said = server.refused("profile", run=run)
        assert (status, "run it anew" in said) == (400, True), text
    path.unlink()
    path.mkdir()
    assert server.refused("profile", run=run)[0] == 404
    assert server.refused("profile", run=10**6)[0] == 404


def test_a_run_of_the_command_line_brings_its_profile_along(tmp_path: Path) -> None:
    for name in ("with", "without"):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / "events.jsonl").write_text('{"event": "ended", "time": 1, "status": "done", "seconds": 1}')
        (folder / "workflow.json").write_text('{"loom": 1, "nodes": {}}')
        (folder / "environment.json").write_text("{}")
        for path in folder.iterdir():
            os.utime(path, (1, 1))
    (tmp_path / "runs" / "with" / "profile.json").write_text(json.dumps(PROFILE))
    assert [found.profile for found in finished_elsewhere(tmp_path, set())] == [True, False]
