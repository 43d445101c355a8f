"""The history that run folders tell."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from graph_runner.run.engine import Engine
from graph_runner.run.failures import NodeError
from graph_runner.run.history import history
from tests.graph_runner.conftest import graph

ONE = {"one": {"type": "number", "params": {"value": 1}}}


def test_runs_tell_how_they_ended_and_what_they_showed(engine: Engine) -> None:
    look = {"look": {"type": "show_number", "wires": {"x": "one"}}}
    engine.run(graph(ONE | look, title="First"))
    with pytest.raises(NodeError):
        engine.run(graph({**ONE, "f": {"type": "fail", "wires": {"x": "one"}}, "look": {"type": "show_number", "wires": {"x": "f"}}}, title="Second"))  # fmt: skip
    failed, done = history(engine.workspace)
    assert (done.title, done.status, failed.title, failed.status) == ("First", "done", "Second", "failed")
    assert failed.message == "f: the toy broke"
    assert done.seconds is not None
    assert abs((datetime.now() - done.began).total_seconds()) < 60
    (shown,) = done.shown
    assert (engine.workspace / shown["path"]).read_text() == "1.0"
    assert (shown["node"], shown["preview"], failed.shown) == ("look", True, ())


def test_a_damaged_folder_hides_no_other(engine: Engine) -> None:
    engine.run(graph({**ONE, "look": {"type": "show_number", "wires": {"x": "one"}}}, title="Whole"))
    (empty := engine.workspace / "runs" / "20200102-030405-never-begun").mkdir()
    (broken := engine.workspace / "runs" / "odd").mkdir()
    (broken / "workflow.json").write_text("[")
    (broken / "events.jsonl").write_text('{"time": 0, "event": "ended", "stat')
    runs = {run.folder: run for run in history(engine.workspace)}
    assert len(runs) == 3
    assert runs[empty].began == datetime(2020, 1, 2, 3, 4, 5)
    assert (runs[empty].title, runs[empty].status) == ("never-begun", "unfinished")
    assert (runs[broken].status, runs[broken].seconds) == ("unfinished", None)


def test_no_workspace_no_runs(tmp_path: Path) -> None:
    assert history(tmp_path / "absent") == []
