"""A server whose runs are done on a Ray cluster, which it starts for itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.ui.conftest import RunningServer, looping

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
pytest.importorskip("ray")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    on = "ray:address=auto" if "RAY_ADDRESS" in os.environ else "ray:cpus=2"  # one that is there already, or its own
    running = RunningServer(tmp_path_factory.mktemp("workspace"), "--device", "cpu", "--on", on)
    started = psutil.Process(running.process.pid).children(recursive=True)
    yield running
    running.stop()
    _, left = psutil.wait_procs(started, timeout=60)
    assert left == []


def swept(n: int, seconds: float) -> dict[str, Any]:
    """Two items, each a loop that reports a number at each turn and a picture at the end."""
    loop = looping(n, seconds)
    inner = {"by": {"type": "scale", "wires": {"x": "a", "by": "sweep.item.by"}}, "loop": loop["loop"]}
    inner["loop"]["wires"] = {"x": "by"}
    inner["show"] = {"type": "show_number", "wires": {"x": "by"}}
    body = {"nodes": inner, "results": {"y": "by"}}
    zone = {"type": "for_each", "params": {"over": {"by": [2, 3]}}, "body": body}
    return {"a": loop["a"], "sweep": zone, "sum": {"type": "total", "wires": {"numbers": "sweep.y"}}, "m": {"type": "measure", "wires": {"x": "sum"}}}  # fmt: skip


def test_the_canvas_is_told_all_of_a_sweep_on_the_cluster(server: RunningServer) -> None:
    run = server.submit(swept(3, 0.2))
    summary = server.until(run, lambda told: told["ended"] is not None, 600)
    told = server.call("events", run=run)
    assert (summary["status"], summary["error"]) == ("done", "")
    kinds = [event["event"] for event in told if event["event"] != "log"]
    assert (kinds[0], kinds[-1]) == ("planned", "ended")
    loops = {(event["node"], tuple(event.get("path", ()))) for event in told if event["event"] == "progress"}
    assert {("loop", (0,)), ("loop", (1,)), ("sweep", ())} <= loops
    assert sum(event["event"] == "metric" and event["node"] == "loop" for event in told) == 6
    assert [event["values"] for event in told if event["event"] == "metric" and event["node"] == "m"] == [{"x": 5.0}]
    outputs = server.call("outputs", run=run)
    assert sorted(each["path"].rpartition("/")[2] for each in outputs) == ["number-000001.txt", "number-000002.txt"]
    assert (server.workspace / summary["folder"] / "events.jsonl").exists()


def test_runs_wait_for_the_cluster_and_are_cancelled(server: RunningServer) -> None:
    runs = [server.submit(looping(10_000, 0.05)) for _ in range(4)]
    for run in runs:
        server.call("cancel", run=run)
    ends = [server.until(run, lambda told: told["ended"] is not None, 600)["status"] for run in runs]
    assert set(ends) == {"stopped"}
    failing = server.submit({"a": {"type": "number"}, "f": {"type": "fail", "wires": {"x": "a"}}, "m": {"type": "measure", "wires": {"x": "f"}}})  # fmt: skip
    summary = server.until(failing, lambda told: told["ended"] is not None, 600)
    assert (summary["status"], summary["node"]) == ("failed", "f")
    assert [worker["state"] for worker in server.call("queue")["workers"]] == ["idle"]
