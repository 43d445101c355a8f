"""The command line as real processes: what it imports, real signals, torchrun."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
MAIN = """
import sys
import graph_runner.contract.registry
graph_runner.contract.registry.entry_points = lambda group: ()
from graph_runner.__main__ import main

if __name__ == "__main__":
    packages = ["tests.graph_runner.toys", "tests.graph_runner.slow_toys", "graph_runner.zones"]
    sys.exit(main([*sys.argv[1:], *(word for package in packages for word in ("--nodes", package))]))
"""
EVENTS = "workspace/runs/*/events.jsonl"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "loom.py").write_text(MAIN)
    return tmp_path


TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def gathering(here: Path, n: int, pause: float, inner: dict[str, Any] | None = None) -> list[str]:
    """The command that runs a training-like loop around an inner node."""
    nodes: dict[str, Any] = {
        "one": {"type": "number", "params": {"value": 2}},
        "gathered": {
            "type": "gather",
            "params": {"n": n, "pause": pause},
            "wires": {"x": "one"},
            "body": {
                "nodes": {"inner": {"type": "scale", "wires": {"x": "gathered.x"}, **(inner or {})}},
                "results": {"number": "inner"},
            },
        },
        "save": {"type": "save_number", "wires": {"x": "gathered"}},
    }
    (here / "gather.json").write_text(json.dumps({"loom": 1, "nodes": nodes}))
    return ["loom.py", "gather.json", "--device", "cpu"]


@contextmanager
def started(here: Path, command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A process of its own, which does not outlive the test."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, *command], cwd=here, env=ENVIRONMENT, stdout=pipe, stderr=pipe, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def outputs(here: Path) -> list[float]:
    return [float(path.read_text()) for path in sorted(here.glob("workspace/runs/*/outputs/*.txt"))]


@pytest.mark.parametrize("argv", [["--help"], ["run", "--help"], ["nodes", "--help"], ["--version"], ["runs"]])
def test_help_answers_without_heavy_imports(argv: list[str], here: Path) -> None:
    code = f"""
import sys
from graph_runner.__main__ import main
try:
    main({argv})
except SystemExit as ended:
    assert ended.code == 0
heavy = {{"torch", "numpy", "networkx", "PIL"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=here, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_ctrl_c_stops_with_a_checkpoint_and_the_same_command_goes_on(here: Path) -> None:
    command = gathering(here, n=60, pause=0.05)
    with started(here, command) as process:
        wait_for(lambda: any('"progress"' in path.read_text() for path in here.glob(EVENTS)), process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
        assert process.returncode == 130, err
    assert "the same command goes on" in out
    assert outputs(here) == []
    with started(here, command) as process:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    assert "goes on from step" in err
    assert outputs(here) == [2.0 * sum(range(60))]


def test_a_second_ctrl_c_ends_at_once(here: Path) -> None:
    with started(here, gathering(here, n=2, pause=200)) as process:
        wait_for(lambda: any(here.glob("workspace/runs/*/checkpoints.json")), process)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        line = ""
        while "Ctrl-C again" not in line:
            line = process.stderr.readline()
            assert line, "it ended although the turn is not over"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=300)
        assert process.returncode == -signal.SIGINT


def test_two_processes_run_one_graph_and_one_of_them_tells(here: Path) -> None:
    command = [*TORCHRUN, *gathering(here, n=4, pause=0)]
    with started(here, command) as process:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    assert outputs(here) == [2.0 * (0 + 1 + 2 + 3) * (1 + 2) / 2], "the mean over ranks 0 and 1"
    assert out.count("Done in") == 1
    assert "2 processes" in err
    assert len(list(here.glob("workspace/runs/*"))) == 1
    environment = json.loads(next(here.glob("workspace/runs/*/environment.json")).read_text())
    assert environment["processes"] == 2


@pytest.mark.slow
def test_two_processes_stop_at_the_same_turn_and_go_on(here: Path) -> None:
    command = [*TORCHRUN, *gathering(here, 100, 0.05)]
    with started(here, command) as process:
        wait_for(lambda: any('"progress"' in path.read_text() for path in here.glob(EVENTS)), process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=300)
    ended = json.loads(next(here.glob(EVENTS)).read_text().splitlines()[-1])
    assert ended["status"] == "stopped", err
    with started(here, command) as process:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    assert "goes on from step" in err
    assert outputs(here) == [2.0 * sum(range(100)) * 1.5]


@pytest.mark.parametrize("kill", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_one_process_that_fails_ends_all_and_the_same_command_goes_on(kill: bool, here: Path) -> None:
    inner = {"type": "trip", "params": {"kill": kill}}
    command = [*TORCHRUN, *gathering(here, 12, 0, inner), "--checkpoint-seconds", "0"]
    with started(here, command) as process:  # nobody waits for who is gone: the limit is far below any patience
        _, err = process.communicate(timeout=300)
        assert process.returncode == 1, err
    told = [json.loads(line) for line in next(here.glob(EVENTS)).read_text().splitlines()]
    (failed,) = [event for event in told if event["event"] == "failed"]
    assert told[-1]["status"] == "failed"
    if kill:
        assert "another is gone" in failed["message"]
    else:
        assert failed["message"].endswith("inner: it tripped; look where you go (in process 1)")
        assert failed["node"] == "inner"
        assert err.count("process 1: inner: it tripped; look where you go") == 1
    with started(here, command) as process:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    assert "goes on from step 4" in err
    assert outputs(here) == [2.0 * sum(range(12)) * 1.5]
