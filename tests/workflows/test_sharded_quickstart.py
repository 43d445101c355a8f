"""The quickstart's models split among two processes, killed twice, finished by one process alone: it obeys as ever."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Engine
from tests.workflows.oracle import accuracy, oracle
from tests.workflows.test_quickstart import QUICKSTART, SAMPLES, asking_for
from tests.world import free_port

TRAININGS = 2
PATIENCE = 3600


def start(workspace: Path, split: bool, *settings: str) -> subprocess.Popen[str]:
    """The quickstart from the command line, on two processes that split its models, or on one."""
    command = ["-m", "graph_runner", "run", str(QUICKSTART), "--workspace", str(workspace), "--device", "cpu"]
    command += ["--checkpoint-seconds", "1", *(word for setting in settings for word in ("--set", setting))]
    if split:
        launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2"]
        command = [*launcher, "--master-addr", "127.0.0.1", "--master-port", str(free_port()), *command, "--shard"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *command], cwd=QUICKSTART.parents[1], env=environment, stderr=subprocess.PIPE, text=True
    )


def kill(process: subprocess.Popen[str], everything: bool) -> None:
    """End one of the processes that torchrun started by force, whereupon it ends the rest; or the rest as well."""
    workers = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    for pid in [*workers, process.pid] if everything else workers[-1:]:
        os.kill(pid, signal.SIGKILL)
    process.communicate()


def newest(workspace: Path) -> list[int]:
    """The newest step of each training."""
    found = []
    for training in (workspace / "checkpoints").glob("*"):
        steps = [int(path.name.removeprefix("step-")) for path in training.glob("step-*")]
        found += [max(steps)] if steps else []
    return sorted(found)


def killed_twice(workspace: Path, *settings: str) -> Path:
    """Train, killed in the first training and in the second; the folder of the run that ends it."""
    for training, everything in ((1, False), (2, True)):
        process, before = start(workspace, True, *settings), newest(workspace)
        deadline = time.monotonic() + PATIENCE
        while len(now := newest(workspace)) < training or now == before:
            assert process.poll() is None, process.communicate()[1][-3000:]
            assert time.monotonic() < deadline, "wedged"
            time.sleep(0.05)
        kill(process, everything)
    assert len(newest(workspace)) == TRAININGS
    parts = [path.name for path in (workspace / "checkpoints").glob("*/step-*/*.safetensors")]
    assert any(name.startswith("shard-00002") for name in parts), "both processes wrote"
    last = start(workspace, False, *settings)
    _, errors = last.communicate(timeout=PATIENCE)
    assert last.returncode == 0, errors[-3000:]
    assert not list(workspace.rglob(".writing-*")), "what killed writers left was swept"
    return max((workspace / "runs").iterdir(), key=lambda run: run.stat().st_mtime_ns)


# One process alone finds .973 to .996 of them (`test_quickstart`).
@pytest.mark.slow
@pytest.mark.timeout(3 * PATIENCE)
def test_split_killed_twice_and_finished_by_one_it_obeys_as_ever(tmp_path: Path) -> None:
    ended = killed_twice(tmp_path)
    events = [json.loads(line) for line in (ended / "events.jsonl").read_text().splitlines()]
    assert any("goes on from step" in event.get("message", "") for event in events)
    registry = Registry.scan(["graph_runner.zones", "nodes"])
    images = Engine(registry, tmp_path).run(asking_for(SAMPLES, 3.0), targets=["decoded"], only=True).values["decoded"]
    assert accuracy(oracle(), images, torch.arange(SAMPLES) % 24) >= 0.9
