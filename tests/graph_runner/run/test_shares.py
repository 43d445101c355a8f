"""What each of several processes holds a share of, and who sees the whole."""

from __future__ import annotations

from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from graph_runner.base.events import Metric
from graph_runner.context import Processes
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from graph_runner.run.shares import put_together
from tests.world import in_two

TURNS = 2


class Pair(NamedTuple):
    a: Tensor
    b: Tensor


@dataclass(frozen=True)
class Told:
    x: Tensor | None
    note: str = "kept"


class Recorded(Processes):
    """The first of two processes; the other holds the same, but for numbers that are larger by 1."""

    def gather(self, value: Any) -> list[Any]:
        return [value, [leaf if isinstance(leaf, list) else leaf + 1 for leaf in value]]


def test_rows_are_put_together_and_numbers_averaged_wherever_they_are() -> None:
    model = torch.nn.Linear(1, 1)
    value = {
        "images": torch.zeros(2, 3, requires_grad=True) + 0,
        "captions": ["a", "b"],
        "loss": torch.tensor(1.0),
        "pair": Pair(torch.zeros(1), torch.tensor(4)),
        "told": Told(torch.zeros(1, 2)),
        "share": 0.5,
        "n": 3,
        "models": [model],
    }
    (whole,) = put_together([value], Recorded(0, 2))
    assert whole["images"].shape == (4, 3)
    assert not whole["images"].requires_grad
    assert whole["images"][:, 0].tolist() == [0, 0, 1, 1]
    assert whole["captions"] == ["a", "b", "a", "b"]
    assert whole["loss"] == 1.5
    assert whole["pair"].a.tolist() == [0, 1]
    assert whole["pair"].b == 4
    assert whole["told"].x.shape == (2, 2)
    assert whole["told"].note == "kept"
    assert (whole["share"], whole["n"], whole["models"]) == (1.0, 3, [model])
    assert put_together([Told(None)], Recorded(0, 2)) == [Told(None)]


def test_rows_of_another_length_are_filled_up_as_a_batch_is() -> None:
    class Uneven(Processes):
        def gather(self, value: Any) -> list[Any]:
            return [value, [torch.ones(1, 3, 4), torch.ones(1, 3, dtype=torch.int64)]]

    boxes, labels = put_together([torch.ones(1, 1, 4), torch.ones(1, 1, dtype=torch.int64)], Uneven(0, 2))
    assert boxes.shape == (2, 3, 4)
    assert boxes[0, 1:].eq(0).all()
    assert labels.tolist() == [[1, -1, -1], [1, 1, 1]]


def a_training() -> Workflow:
    """A training whose body differs from process to process; what it tells, it tells in five places."""

    def told(name: str, x: str) -> dict[str, Any]:
        return {name: {"type": "measure", "wires": {"x": x}}}

    within = {
        "rows_whole": {"type": "count", "wires": {"rows": "drawn"}},
        "met_beside": {"type": "meets", "wires": {"x": "x2"}},
        "alone": {
            "type": "gather",
            "params": {"n": 1},
            "wires": {"x": "x2"},
            "body": {
                "nodes": {"again": {"type": "ranked", "wires": {"x": "alone.x"}}},
                "results": {"number": "again"},
            },
        },
        **told("tell_rows", "rows_whole"),
        **told("tell_mean", "x2"),
        **told("tell_outer", "one"),
        **told("tell_met_beside", "met_beside"),
        **told("tell_alone", "alone"),
    }
    body = {
        "x2": {"type": "ranked", "wires": {"x": "training.x"}},
        "drawn": {"type": "rows", "wires": {"x": "training.x"}},
        "met": {"type": "meets", "wires": {"x": "training.x"}},
        "part": {
            "type": "group",
            "body": {
                "nodes": {"deep": {"type": "count", "wires": {"rows": "drawn"}}, **told("tell_deep", "x2")},
                "results": {"n": "deep"},
            },
        },
        "beside": {"type": "every", "params": {"steps": 1}, "body": {"nodes": within}},
        **told("tell_mean_each_turn", "x2"),
        **told("tell_met", "met"),
        **told("tell_own_rows", "part.n"),
    }
    nodes = {
        "one": {"type": "number", "params": {"value": 2}},
        "met_top": {"type": "meets", "wires": {"x": "one"}},
        **told("tell_met_top", "met_top"),
        "training": {
            "type": "gather",
            "params": {"n": TURNS},
            "wires": {"x": "one"},
            "body": {"nodes": body, "results": {"number": "x2"}},
        },
    }
    return Workflow.model_validate({"loom": 1, "nodes": nodes})


def in_a_world(processes: Processes) -> dict[str, list[dict[str, float]]]:
    """What the nodes tell when both processes run the graph, and when one does."""
    packages = ["toys", "slow_toys", "world_toys"]
    registry = Registry.scan([*(f"tests.graph_runner.{name}" for name in packages), "graph_runner.zones"])
    told: dict[str, list[dict[str, float]]] = {}
    with TemporaryDirectory() as workspace:
        result = Engine(registry, processes.agree(workspace), processes=processes).run(
            a_training(), targets=["training"]
        )
        for event in result.events:
            if isinstance(event, Metric):
                told.setdefault(event.node, []).append(event.values)
        processes.agree(None)
    return told


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float]]:
    first, _ = in_two("tests.graph_runner.run.test_shares:in_a_world", tmp_path_factory.mktemp("world"))
    return {node: [next(iter(values.values())) for values in each] for node, each in first.items()}


def test_numbers_told_in_a_training_are_the_mean_over_processes(told: dict[str, list[float]]) -> None:
    assert told["tell_mean_each_turn"] == told["tell_mean"] == told["tell_deep"] == [3.0] * TURNS
    assert told["tell_outer"] == [2.0] * TURNS


def test_every_sees_the_rows_of_all_processes(told: dict[str, list[float]]) -> None:
    assert told["tell_own_rows"] == [3.0] * TURNS
    assert told["tell_rows"] == [6.0] * TURNS


def test_only_where_all_processes_take_part_is_there_a_group(told: dict[str, list[float]]) -> None:
    assert told["tell_met_top"] == [1.0]
    assert told["tell_met"] == [2.0] * TURNS
    assert told["tell_met_beside"] == [1.0] * TURNS


def test_a_training_within_every_trains_on_one_process(told: dict[str, list[float]]) -> None:
    assert told["tell_alone"] == [0.0] * TURNS, "its only turn is turn 0"
