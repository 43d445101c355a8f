"""An iteration that two processes share: what it gives, and how it ends where one of them fails or dies."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from graph_runner.base import events
from graph_runner.context import Processes
from graph_runner.contract import node
from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Engine, Result
from graph_runner.run.executors import Hear, Job, LostError
from graph_runner.run.failures import NodeError
from graph_runner.run.together import together
from tests.graph_runner.conftest import TOYS
from tests.graph_runner.drawing import run_in
from tests.graph_runner.run.test_elsewhere import sweep
from tests.graph_runner.toys import Number

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@node(category="toy")
def weighed(x: Number, processes: Processes) -> Number:
    """The number times the mean of 1, 2, ... over processes."""
    return x * processes.mean([torch.tensor(1.0 + processes.rank)])[0]


@node(category="toy")
def fails_in_one(x: Number, processes: Processes) -> Number:
    """Fails in the second process, for which the first waits."""
    if processes.rank:
        raise ValueError("the second process has had enough")
    return weighed(x, processes)


@node(category="toy")
def dies_in_one(x: Number, processes: Processes) -> Number:
    """Dies in the second process, for which the first waits."""
    if processes.rank:
        os.kill(os.getpid(), signal.SIGKILL)
    return weighed(x, processes)


class Shared:
    """Does items one after another, each in two processes. ask: that they stop."""

    def __init__(self, ask: bool = False) -> None:
        self.ask = ask
        self.stopped: list[bool] = []

    def opened(self) -> AbstractContextManager[None]:
        return nullcontext()

    def __call__(self, job: Job, hear: Hear, stop: threading.Event, _: threading.Event) -> Iterator[tuple[int, Any]]:
        assert job.shared
        for item in job.items:
            told: list[Any] = []
            if self.ask:
                stop = threading.Event()
                stop.set()
            outcome = together(job.work, item, told.append, stop, 2)
            self.stopped.append(outcome.stopped)
            for event in told:
                hear(item, event)
            yield item, outcome


def run(folder: Path, kind: str, on: Shared | None = None) -> Result:
    """Train one weight from .5 on the squares of twice itself, weighed by a node of this kind."""
    engine = Engine(Registry.scan([*TOYS, __name__]), folder)
    lesson = {
        "x": {"type": "scale", "wires": {"x": "one", "by": "sweep.item.by"}},
        "y": {"type": "apply", "wires": {"model": "fit.models.m", "x": "x"}},
        "square": {"type": "square", "wires": {"x": "y"}},
        "loss": {"type": kind, "wires": {"x": "square"}},
        "seen": {"type": "measure", "wires": {"x": "loss"}},
    }
    fit = {
        "type": "learn",
        "wires": {"models": {"m": "model"}},
        "body": {"nodes": lesson, "results": {"number": "loss"}},
    }
    nodes = {"fit": fit, "weight": {"type": "weight_of", "wires": {"model": "fit.m"}}}
    return run_in(engine, sweep([2], nodes, {"n": "weight"}), "sweep.n", on=on or Shared())


def test_two_processes_train_an_item_and_the_first_is_heard(tmp_path: Path) -> None:
    result = run(tmp_path, "weighed")
    assert [float(value) for value in result.values["sweep.n"]] == [pytest.approx(0.5 * (1 - 0.1 * 1.5 * 8) ** 3)]
    measured = [event.values["x"] for event in result.events if isinstance(event, events.Metric)]
    assert measured == pytest.approx([1.5, 1.5 * 0.04, 1.5 * 0.0016])


def test_the_failure_of_one_ends_the_other_and_is_told_by_its_node(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="loss: the second process has had enough"):
        run(tmp_path, "fails_in_one")


def test_the_wish_to_stop_reaches_both(tmp_path: Path) -> None:
    on = Shared(ask=True)
    assert run(tmp_path, "weighed", on).status == "stopped"
    assert on.stopped == [True]


def test_a_process_that_is_killed_is_told_as_lost(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="process 1 of 2 was killed") as told:
        run(tmp_path, "dies_in_one")
    assert isinstance(told.value.__cause__, LostError)
