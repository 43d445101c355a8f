"""A training with two objectives and a worker is killed again and again, at random moments, sometimes two at once on one workspace.

Each run is a fork of one process, which has imported all there is and computes nothing itself, so that a life takes a second; that
it is the same through the command line is `test_resume.py`. Each is killed once it has moved on from the checkpoint it began with.
Where a training comes to its end in spite of all, it is compared with the uninterrupted one, and the next begins.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo  # an optimizer would import it in each life, for seconds

from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from graph_runner.store.folders import load_tree
from graph_runner.store.space import prepare
from tests import crashes
from tests.effort import cases
from tests.nodes.test_processes import gan, leaves

ROOT = Path(__file__).parents[2]
STEPS = cases(30, 60)
PATIENCE = 120.0
"""Seconds after which a training that does not move on is wedged."""


def training() -> Workflow:
    document = gan(STEPS).model_dump(mode="json", exclude_defaults=True)
    document["nodes"]["gan"]["params"]["workers"] = 1
    return Workflow.model_validate(document)


@contextmanager
def workers_of_forks() -> Iterator[None]:
    """One server for the loader's workers of all forks: each would import torch for its own.

    It ends once they have ended: as they must, soon after the runs that they worked for were killed.
    """
    forkserver.set_forkserver_preload(["torch", "core.data.loader", "tests.nodes.toy_gan"])
    forkserver.ensure_running()
    resource_tracker.ensure_running()
    try:
        yield
    finally:
        forkserver._forkserver._stop()  # type: ignore[attr-defined]


class Run:
    """A run in a process of its own."""

    def __init__(self, workspace: Path, registry: Registry) -> None:
        self.code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            try:
                forkserver._forkserver.ensure_running = lambda: None  # type: ignore[attr-defined] # it is no child of ours
                torch.set_num_threads(1)
                Engine(registry, workspace).run(training(), targets=["gan.models.g"], only=True, checkpoint_seconds=0)
            except BaseException:
                (workspace / "failure.txt").write_text(traceback.format_exc())
                os._exit(1)
            os._exit(0)

    def over(self, wait: bool = False) -> bool:
        """Whether it has ended."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, 0 if wait else os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code is not None

    def kill(self) -> bool:
        """End it by force; whether it lived until then."""
        if not self.over():
            os.kill(self.pid, signal.SIGKILL)
        return self.over(wait=True) and self.code == -signal.SIGKILL


def newest(workspace: Path) -> int:
    steps = [int(path.name.removeprefix("step-")) for path in (workspace / "checkpoints").glob("*/step-*")]
    return max(steps, default=0)


def moved_on(workspace: Path, runs: list[Run]) -> bool:
    """Wait until the training has moved on; False where a run came to its end instead."""
    before, deadline = newest(workspace), time.monotonic() + PATIENCE
    while newest(workspace) <= before:
        if any(run.over() for run in runs):
            return False
        assert time.monotonic() < deadline, "wedged"
        time.sleep(0.005)
    return True


def killed(workspace: Path, registry: Registry, chance: random.Random, two: bool) -> tuple[int, bool]:
    """Start a run, or two at once, and kill them; returns how many were, and whether the training came to its end."""
    runs, kills = [Run(workspace, registry) for _ in range(1 + two)], 0
    while runs and moved_on(workspace, runs):
        time.sleep(chance.uniform(0, 0.4))
        kills += runs.pop(chance.randrange(len(runs))).kill()
    for run in runs:  # the other of two does what is left, or finds all done
        assert run.over(wait=True)
        assert run.code == 0, (workspace / "failure.txt").read_text()
    return kills, bool(runs)


def trained(workspace: Path) -> dict[str, Any]:
    """The last checkpoint, and what the cache keeps of the training."""
    (last,) = (workspace / "checkpoints").glob(f"*/step-{STEPS}")
    kept = [leaves(load_tree(path), "kept") for path in (workspace / "cache").iterdir()]
    assert len(kept) == 1
    return leaves(load_tree(last)) | kept[0]


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_killed_at_random_moments_every_training_ends_with_the_same_bits(tmp_path: Path) -> None:
    """In a process of its own: autograd's threads, which a device such as the pretend one has, do not live through a fork."""
    done = subprocess.run([sys.executable, "-m", __name__, str(tmp_path)], cwd=ROOT, check=False)
    assert done.returncode == 0


def kill_again_and_again(tmp_path: Path) -> None:
    registry = Registry.scan(["graph_runner.zones", "nodes", "tests.nodes.toy_gan"])
    with workers_of_forks():
        assert Run(tmp_path / "whole", registry).over(wait=True)
    whole = trained(tmp_path / "whole")
    assert sum("exp_avg_sq" in key for key in whole) > 4, "both optimizers' states"

    chance, wanted = random.Random(7), cases(6, 200)
    kills = pairs = ends = 0
    while kills < wanted or not ends:
        workspace = tmp_path / f"killed{ends}"
        ended = False
        while not ended:
            with workers_of_forks():
                for _ in range(10):
                    two = kills < wanted and chance.random() < 0.25
                    if kills < wanted:
                        more, ended = killed(workspace, registry, chance, two)
                    else:
                        more, ended = 0, Run(workspace, registry).over(wait=True)
                    kills, pairs = kills + more, pairs + (two and more > 0)
                    if ended:
                        break
        prepare(
            workspace
        )  # as the next start does: of two runs, one may have been killed while the other wrote its last
        same(trained(workspace), whole)
        assert crashes.leftovers(workspace) == []
        ends += 1
        print(f"{kills} kills, {pairs} times of two runs at once; {ends} trainings ended, as the uninterrupted one")


def same(found: dict[str, Any], whole: dict[str, Any]) -> None:
    assert found.keys() == whole.keys()
    for key, value in whole.items():
        assert torch.equal(value, found[key]) if isinstance(value, torch.Tensor) else value == found[key], key


if __name__ == "__main__":
    kill_again_and_again(Path(sys.argv[1]))
