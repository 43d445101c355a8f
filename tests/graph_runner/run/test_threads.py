"""How many threads a run computes with: by what is free, once, told, and again when a training goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from graph_runner.base import events, processors
from graph_runner.contract.registry import Registry
from graph_runner.run import threads
from graph_runner.run.engine import Engine, Result
from tests.graph_runner.conftest import graph

MANY = 12


@pytest.fixture
def twelve(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """A machine of twelve processors, where PyTorch would take them all; what others use of it may be changed."""
    machine = {"busy": 0, "available": MANY}
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: MANY)
    monkeypatch.setattr(processors, "busy", lambda: machine["busy"])
    monkeypatch.setattr(processors, "available", lambda: machine["available"])
    torch.set_num_threads(MANY)
    yield machine
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("busy", "available", "processes", "wanted"),
    [
        (0, 12, 1, 12),
        (5, 12, 1, 7),
        (11, 12, 1, 1),
        (40, 12, 1, 1),
        (0, 4, 1, 4),
        (6, 4, 1, 4),
        (0, 12, 4, 3),
        (7, 12, 4, 1),
        (0, 12, 24, 1),
    ],
)
def test_threads_are_what_others_leave(
    busy: int, available: int, processes: int, wanted: int, twelve: dict[str, int]
) -> None:
    twelve |= {"busy": busy, "available": available}
    assert threads.choose(processes=processes).count == wanted


def test_what_the_user_says_wins(twelve: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    twelve["busy"] = 11
    assert threads.choose(3).count == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "12")
    assert threads.choose().count == 12
    assert threads.choose().fixed
    assert threads.choose(2).count == 2, "an option is nearer than the environment"


def summing(n: int) -> Any:
    inner = {"inner": {"type": "scale", "wires": {"x": "gathered.x"}}}
    gathered = {
        "type": "gather",
        "params": {"n": n},
        "wires": {"x": "one"},
        "body": {"nodes": inner, "results": {"number": "inner"}},
    }
    save = {"type": "save_number", "wires": {"x": "gathered"}}
    return graph({"one": {"type": "number", "params": {"value": 2}}, "gathered": gathered, "save": save})


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    registry = Registry.scan(["tests.graph_runner.toys", "tests.graph_runner.slow_toys", "graph_runner.zones"])
    return Engine(registry, tmp_path)


def told(result: Result) -> str:
    return " | ".join(each.message for each in result.events if isinstance(each, events.Log))


def recorded(result: Result) -> int:
    return int(json.loads((result.folder / "environment.json").read_text())["threads"])


def test_a_run_computes_with_its_threads_and_leaves_those_that_were(
    engine: Engine, twelve: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    twelve["busy"] = 9
    seen: list[int] = []
    result = engine.run(summing(2), listeners=[lambda _: seen.append(torch.get_num_threads())])
    assert seen[-2] == 3
    assert torch.get_num_threads() == MANY
    assert recorded(result) == 3
    assert "computes with 3 threads (3 of 12 processors free, 12 allowed)" in told(result)


def test_a_training_goes_on_with_the_threads_that_it_had(engine: Engine, twelve: dict[str, int]) -> None:
    twelve["busy"] = 7
    engine.run(summing(2))
    twelve["busy"] = 0
    result = engine.run(summing(4))
    assert "goes on from step 2 of an earlier run, with 5 threads, as the steps before" in told(result)
    assert recorded(result) == 5
    assert recorded(engine.run(summing(6))) == 5, "and so do those after it"


def test_on_a_smaller_machine_it_takes_what_there_is(engine: Engine, twelve: dict[str, int]) -> None:
    engine.run(summing(2))
    twelve["available"] = 2
    result = engine.run(summing(4))
    assert "with 2 threads, where the steps before had 12: last bits may differ" in told(result)
    assert recorded(result) == 2


def test_other_threads_that_the_user_wants_are_taken_and_told(engine: Engine, twelve: dict[str, int]) -> None:
    engine.run(summing(2), threads=1)
    result = engine.run(summing(4), threads=2)
    assert "with 2 threads, where the steps before had 1: last bits may differ" in told(result)
    assert recorded(result) == 2
