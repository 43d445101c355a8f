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
from graph_runner.format.workflow import load
from graph_runner.run.engine import Engine
from tests.effort import THOROUGH
from tests.workflows.oracle import accuracy, oracle
from tests.workflows.test_quickstart import QUICKSTART, SAMPLES, asking_for
from tests.world import free_port

TRAININGS = {"autoencoder": "autoencoder_steps", "diffusion": "unet_steps"}
"""The zones in their order, and what the workflow calls their numbers of steps."""
PATIENCE = 3600


def start(workspace: Path, split: bool, *settings: str) -> subprocess.Popen[bytes]:
    """The quickstart from the command line, on two processes that split its models, or on one."""
    command = ["-m", "graph_runner", "run", str(QUICKSTART), "--workspace", str(workspace), "--device", "cpu"]
    command += ["--checkpoint-seconds", "5", *(word for setting in settings for word in ("--set", setting))]
    if split:
        launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2"]
        command = [*launcher, "--master-addr", "127.0.0.1", "--master-port", str(free_port()), *command, "--shard"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, *command], cwd=QUICKSTART.parents[1], env=environment)


def kill(process: subprocess.Popen[bytes], everything: bool) -> None:
    """End one of the processes that torchrun started by force, whereupon it ends the rest; or the rest as well."""
    workers = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    for pid in [*workers, process.pid] if everything else workers[-1:]:
        os.kill(pid, signal.SIGKILL)
    process.wait()


def newest(workspace: Path, zone: str) -> int:
    """The newest step that a training has a checkpoint of."""
    indices = [json.loads(path.read_text()) for path in (workspace / "runs").glob("*/checkpoints.json")]
    folders = {workspace / "checkpoints" / name for index in indices for name in index.get(zone, ())}
    return max((int(path.name.removeprefix("step-")) for each in folders for path in each.glob("step-*")), default=0)


def killed_twice(workspace: Path, steps: dict[str, int], *settings: str) -> Path:
    """Train, killed in the middle of the first training and of the second; the folder of the run that ends it.

    steps: of each training.
    """
    settings = (*settings, *(f"{TRAININGS[zone]}={count}" for zone, count in steps.items()))
    for (zone, count), everything in zip(steps.items(), (False, True), strict=True):
        process, deadline = start(workspace, True, *settings), time.monotonic() + PATIENCE
        while newest(workspace, zone) < count // 2:
            assert process.poll() is None, "it ended by itself"
            assert time.monotonic() < deadline, "wedged"
            time.sleep(0.05)
        kill(process, everything)
    (middle,) = (workspace / "checkpoints").glob(f"*/step-{newest(workspace, 'diffusion')}")
    assert len(list(middle.glob("*.safetensors"))) == 2, "a file from each process"
    last = start(workspace, False, *settings)
    assert last.wait(PATIENCE) == 0
    assert not list(workspace.rglob(".writing-*")), "what killed writers left was swept"
    return max((workspace / "runs").iterdir(), key=lambda run: run.stat().st_mtime_ns)


# One process alone finds .973 to .996 of them (`test_quickstart`).
@pytest.mark.slow
@pytest.mark.skipif(not THOROUGH, reason="a quarter of an hour of two processors: ./loom test --thorough")
@pytest.mark.timeout(3 * PATIENCE)
def test_split_killed_twice_and_finished_by_one_it_obeys_as_ever(tmp_path: Path) -> None:
    shipped = load(QUICKSTART)
    ended = killed_twice(tmp_path, {zone: shipped.nodes[zone].params["steps"] for zone in TRAININGS})
    events = [json.loads(line) for line in (ended / "events.jsonl").read_text().splitlines()]
    assert any("goes on from step" in event.get("message", "") for event in events)
    assert "autoencoder" in next(event for event in events if event["event"] == "planned")["cached"]
    registry = Registry.scan(["graph_runner.zones", "nodes"])
    images = Engine(registry, tmp_path).run(asking_for(SAMPLES, 3.0), targets=["decoded"], only=True).values["decoded"]
    assert accuracy(oracle(), images, torch.arange(SAMPLES) % 24) >= 0.9
