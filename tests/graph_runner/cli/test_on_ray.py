"""`--on ray` without an address: a cluster of this machine for one run, and nothing left of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
pytest.importorskip("ray")
ROOT = Path(__file__).parents[3]


def workflow(turns: int, pause: float) -> dict[str, Any]:
    """Two items, each a training of so many turns."""
    gather = {
        "type": "gather",
        "wires": {"x": "x"},
        "params": {"n": turns, "pause": pause},
        "body": {
            "nodes": {"y": {"type": "scale", "wires": {"x": "x", "by": "sweep.item.by"}}},
            "results": {"number": "y"},
        },
    }
    body = {"nodes": {"gather": gather}, "results": {"n": "gather"}}
    nodes = {
        "x": {"type": "number", "params": {"value": 1}},
        "sweep": {"type": "for_each", "params": {"over": {"by": [2, 3]}}, "body": body},
    }
    return {"loom": 1, "title": "two sums", "nodes": nodes}


def begun(folder: Path, turns: int, pause: float) -> subprocess.Popen[str]:
    (folder / "w.json").write_text(json.dumps(workflow(turns, pause)))
    command = [sys.executable, "-m", "graph_runner", "w.json", "--to", "sweep", "--on", "ray:cpus=2", "--device", "cpu"]
    for module in ("tests.graph_runner.toys", "tests.graph_runner.slow_toys"):
        command += ["--nodes", module]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def started_by(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def test_a_run_on_a_cluster_of_its_own_says_little_and_leaves_nothing(tmp_path: Path) -> None:
    process = begun(tmp_path, 3, 0.0)
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert "sweep = [6, 9]" in said
    assert len(said.splitlines()) < 15, said


def test_ctrl_c_stops_items_with_checkpoints_and_ends_the_cluster(tmp_path: Path) -> None:
    process = begun(tmp_path, 100_000, 0.05)
    deadline = time.monotonic() + 600
    while not list(tmp_path.glob("workspace/checkpoints/*")):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.2)
    cluster = started_by(process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all that run in it
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 130, said
    assert list(tmp_path.glob("workspace/checkpoints/*/step-*"))
    assert len(said.splitlines()) < 20, said
    assert psutil.wait_procs(cluster, timeout=60)[1] == []
