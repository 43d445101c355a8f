"""Node packages: what is listed, and how an edited one is loaded while the server runs."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from graph_runner.contract.registry import Registry
from tests.ui.conftest import RunningServer
from ui.api import Api
from ui.ledger import Ledger
from ui.runs import RunManager
from ui.workspace import Workspace

BROKEN = '''"""Nodes of somebody who is trying them out."""
from graph_runner.contract import node
from trial.helper import factor


@node(category="trial", words=("times",))
def scale_up(x: float = 2.0) -> float:
    """A multiple."""
    return x * factor / 0
'''
MENDED = BROKEN.replace(" / 0", "")
GRAPH = {"a": {"type": "scale_up", "params": {"x": 3.0}}}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "trial"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "helper.py").write_text("factor = 2\n")
    (folder / "nodes.py").write_text(BROKEN)
    return folder


@pytest.fixture
def trying(tmp_path: Path, package: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningServer]:
    """A server that has the package."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    running = RunningServer(tmp_path / "workspace", "--nodes", "trial.nodes")
    yield running
    running.stop()


def plugin(server: RunningServer) -> dict[str, Any]:
    return next(each for each in server.call("plugins") if each["module"] == "trial.nodes")


def test_a_repaired_package_is_loaded_without_a_restart(trying: RunningServer, package: Path) -> None:
    run = trying.submit(GRAPH, targets=["a"], only=True)
    assert "ZeroDivisionError" in trying.over(run)["error"]
    assert not plugin(trying)["changed"]
    pid = trying.call("queue")["workers"][0]["pid"]

    (package / "nodes.py").write_text(MENDED)
    assert plugin(trying)["changed"]
    loaded = next(each for each in trying.call("reload") if each["module"] == "trial.nodes")
    assert (loaded["nodes"], loaded["error"], loaded["changed"]) == (["scale_up"], "", False)
    run = trying.submit(GRAPH, targets=["a"], only=True)
    assert trying.over(run)["status"] == "done"
    assert value_of(trying, run) == "6.0"
    assert trying.call("queue")["workers"][0]["pid"] != pid

    # What the node is made with counts as well, and a new parameter is in the catalogue.
    (package / "helper.py").write_text("factor = 5\n")
    (package / "nodes.py").write_text(MENDED.replace("x: float = 2.0", "x: float = 2.0, plus: float = 0.5"))
    trying.call("reload")
    inputs = trying.call("nodes")["nodes"]["scale_up"]["inputs"]
    assert [port["name"] for port in inputs] == ["x", "plus"]
    run = trying.submit(GRAPH, targets=["a"], only=True)
    trying.over(run)
    assert value_of(trying, run) == "15.0"


def test_a_package_that_cannot_be_loaded_takes_away_its_own_nodes_alone(trying: RunningServer, package: Path) -> None:
    (package / "nodes.py").write_text("import nothing_of_that_name\n")
    trying.call("reload")
    listed = plugin(trying)
    assert listed["nodes"] == []
    assert "nothing_of_that_name" in listed["error"]
    run = trying.submit({"n": {"type": "number", "params": {"value": 1}}}, targets=["n"], only=True)
    assert trying.over(run)["status"] == "done"
    status, said = trying.refused("submit", workflow={"loom": 1, "nodes": GRAPH})
    assert status == 422
    assert "scale_up" in said

    # Two nodes of one name are refused, and what there was stays.
    (package / "nodes.py").write_text(MENDED.replace("scale_up", "number"))
    status, said = trying.refused("reload")
    assert status == 409
    assert "two nodes are called 'number'" in said
    assert "number" in trying.call("nodes")["nodes"]


def test_packages_are_loaded_once_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loading, most = 0, 0

    def anew(_: object) -> Registry:
        nonlocal loading, most
        loading += 1
        most = max(most, loading)
        time.sleep(0.05)
        loading -= 1
        return registry

    async def both() -> None:
        await asyncio.gather(api.reload(), api.reload())

    registry = Registry.scan(["graph_runner.zones"])
    manager = RunManager(Ledger(tmp_path / "runs.db"), tmp_path, [], [])
    api = Api(Workspace(tmp_path), registry, manager, MagicMock(), MagicMock(), MagicMock(), confined=False)
    monkeypatch.setattr(Registry, "anew", anew)
    asyncio.run(both())
    assert most == 1


@pytest.mark.slow
def test_a_run_that_goes_on_is_finished_by_the_process_that_began_it(trying: RunningServer, package: Path) -> None:
    waiting = {
        "a": {"type": "number", "params": {"value": 1}},
        "w": {"type": "wait", "params": {"seconds": 1.5}, "wires": {"x": "a"}},
    }
    run = trying.submit(waiting, targets=["w"], only=True)
    trying.until(run, lambda summary: summary["status"] == "running")
    before = trying.call("queue")["workers"][0]["pid"]
    (package / "nodes.py").write_text(MENDED)
    trying.call("reload")
    assert trying.over(run)["status"] == "done"
    later = trying.submit(GRAPH, targets=["a"], only=True)
    assert trying.over(later)["status"] == "done"
    assert trying.call("queue")["workers"][0]["pid"] != before


def value_of(server: RunningServer, run: int) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        told = [event["text"] for event in server.call("events", run=run) if event["event"] == "value"]
        if told:
            return str(told[-1])
    raise AssertionError("no value was told")
