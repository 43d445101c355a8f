"""Calls that differ only in their rows are made as one, and give what they would have given apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
import torch
from torch import Tensor

from graph_runner.contract import Wire, node
from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Engine
from graph_runner.run.failures import NodeError
from tests.graph_runner.conftest import TOYS, graph
from tests.graph_runner.toys import CALLS, RECORDED, Model, Number


@dataclass(frozen=True)
class Hint:
    """A condition of rows that joins by methods of its own."""

    rows: Tensor

    @staticmethod
    def cat(values: Sequence[Hint]) -> Hint:
        return Hint(torch.cat([value.rows for value in values]))

    def expand(self, n: int) -> Hint:
        if len(self.rows) not in (1, n):
            raise ValueError("rows do not fit")
        return Hint(self.rows.expand(n, *self.rows.shape[1:]))


Condition = Annotated[Hint, Wire("condition")]


@node(category="toy")
def hint(values: list[float]) -> Condition:
    """One row a value."""
    return Hint(torch.tensor(values)[:, None])


@node(category="toy", batched=("z", "t", "context"))
def denoised(z: Number, t: Number, context: Condition, model: Model, gain: float = 1.0) -> Number:
    """A toy denoiser of (b, 1) rows, under a condition."""
    CALLS.append(f"denoised {len(z)}")
    if len(context.expand(len(z)).rows) != len(z):
        raise ValueError("the condition does not fit")
    return model(z) * gain + context.expand(len(z)).rows * (t.reshape(-1, 1) if t.ndim else t)


@node(category="toy")
def rows(values: list[float]) -> Number:
    """A column."""
    return torch.tensor(values)[:, None]


@node(category="toy")
def stretched(x: Number) -> Number:
    """One row more."""
    return torch.cat([x, x[-1:]])


@node(category="toy")
def largest_of(a: Number, b: Number) -> Number:
    """The largest number of all."""
    return torch.cat([a, b]).max()


@node(category="toy", batched=("x",))
def summed(x: Number) -> Number:
    """A node that promised rows and gives none."""
    CALLS.append(f"summed {len(x)}")
    return x.sum()


@node(category="toy", batched=("x",))
def picky(x: Number) -> Number:
    """A node that breaks on one value."""
    if bool((x == 13).any()):
        raise ValueError("thirteen")
    return x + 0


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Any]:
    engine = Engine(Registry.scan([*TOYS, __name__]), tmp_path)

    def call(inner: dict[str, Any], result: str, n: int = 2, **outside: Any) -> Any:
        nodes = {
            "x": {"type": "vector", "params": {"values": [1, 2]}},
            "model": {"type": "scalar_model", "params": {"weight": 0.5}},
            "other": {"type": "scalar_model", "params": {"weight": 2}},
            "it": {
                "type": "iterate",
                "wires": {"x": "x"},
                "params": {"n": n},
                "body": {"nodes": inner, "results": {"number": result}},
            },
            **outside,
        }
        return engine.run(graph(nodes), targets=["it"], fresh=True).values["it"]

    return call


def joined(x: str, model: str = "model") -> dict[str, Any]:
    return {"type": "joined", "wires": {"x": x, "model": model}}


def add(a: str, b: str) -> dict[str, Any]:
    return {"type": "add", "wires": {"a": a, "b": b}}


def test_two_calls_become_one_with_equal_results(run: Callable[..., Any]) -> None:
    inner = {
        "twice": {"type": "scale", "wires": {"x": "it.x"}, "params": {"by": 2}},
        "a": joined("it.x"),
        "b": joined("twice"),
        "sum": add("a", "b"),
    }
    together = run(inner, "sum")
    assert CALLS == ["joined 4", "joined 4"], "one call a turn, of both calls' rows"
    assert torch.equal(together, torch.tensor([1.0, 2.0]) * 1.5**2)


def test_guidance_drawn_as_two_nodes_costs_one_pass(run: Callable[..., Any]) -> None:
    def guided(*gains: float) -> Tensor:
        def call(context: str, gain: float) -> dict[str, Any]:
            wires = {"z": "it.x", "t": "time", "context": context, "model": "model"}
            return {"type": "denoised", "wires": wires, "params": {"gain": gain}}

        inner = {"cond": call("prompt", gains[0]), "uncond": call("null", gains[1]), "sum": add("cond", "uncond")}
        return run(
            inner,
            "sum",
            n=3,
            x={"type": "rows", "params": {"values": [1, 2]}},
            prompt={"type": "hint", "params": {"values": [5, 6]}},
            null={"type": "hint", "params": {"values": [1]}},
            time={"type": "number", "params": {"value": 3}},
        )

    together = guided(1, 1)
    assert CALLS == ["denoised 4"] * 3, "a condition of one row, and one time, serve all rows"
    CALLS.clear()
    apart = guided(1, 1 + 1e-9)
    assert CALLS == ["denoised 2"] * 6, "what differs in more than rows is called apart"
    assert torch.allclose(together, apart)


def test_calls_that_wait_for_each_other_or_differ_stay_apart(run: Callable[..., Any]) -> None:
    run({"a": joined("it.x"), "b": joined("a")}, "b", n=1)
    assert CALLS == ["joined 2", "joined 2"]
    CALLS.clear()
    run({"a": joined("it.x"), "b": joined("it.x", "other"), "sum": add("a", "b")}, "sum", n=1)
    assert CALLS == ["joined 2", "joined 2"]
    CALLS.clear()
    first = {"a": joined("it.x"), "between": {"type": "scale", "wires": {"x": "a"}}, "b": joined("between")}
    run({**first, "sum": add("a", "b")}, "sum", n=1)
    assert CALLS == ["joined 2", "joined 2"]


def test_groups_that_would_wait_for_each_other_are_not_both_joined(run: Callable[..., Any]) -> None:
    """a → c and d → b: joining a with b and c with d would make a circle."""
    inner = {
        "a": joined("it.x"),
        "d": joined("it.x", "other"),
        "c": joined("a", "other"),
        "b": joined("d"),
        "sum": add("b", "c"),
    }
    value = run(inner, "sum", n=1)
    assert torch.equal(value, torch.tensor([2.0, 4.0]))
    assert sorted(CALLS) == ["joined 2", "joined 2", "joined 4"]


def test_three_calls_of_different_sizes_join_and_split_again(run: Callable[..., Any]) -> None:
    inner = {
        "long": {"type": "stretched", "wires": {"x": "it.x"}},
        "a": joined("it.x"),
        "b": joined("long"),
        "c": joined("it.x"),
        "most": {"type": "largest_of", "wires": {"a": "a", "b": "b"}},
        "sum": add("most", "c"),
    }
    value = run(inner, "sum", n=1)
    assert CALLS == ["joined 7"]
    assert torch.equal(value, torch.tensor([1.5, 2.0]))


def test_shapes_that_disagree_are_tried_once_and_called_apart(run: Callable[..., Any]) -> None:
    inner = {"a": joined("it.x"), "b": joined("column"), "sum": add("a", "b")}
    value = run(inner, "sum", n=1, column={"type": "rows", "params": {"values": [1, 2]}})
    assert CALLS == ["joined 2", "joined 2"]
    assert value.shape == (2, 2)


def test_a_result_without_rows_is_noticed_and_called_apart(run: Callable[..., Any]) -> None:
    inner = {
        "a": {"type": "summed", "wires": {"x": "it.x"}},
        "b": {"type": "summed", "wires": {"x": "it.x"}},
        "sum": add("a", "b"),
        "next": add("sum", "it.x"),
    }
    value = run(inner, "next", n=3)
    assert ["summed 4", *["summed 2"] * 6] == CALLS, "joined once, apart from then on"
    x = torch.tensor([1.0, 2.0])
    for _ in range(3):
        x = x + 2 * x.sum()
    assert torch.equal(value, x)


def test_with_gradients_on_calls_stay_apart(run: Callable[..., Any]) -> None:
    inner = {
        "a": joined("it.x"),
        "b": joined("it.x"),
        "y": {"type": "total", "wires": {"numbers": ["a", "b"]}},
        "dy": {"type": "slope", "wires": {"y": "y", "x": "it.x"}},
    }
    assert torch.equal(run(inner, "dy", n=1), torch.tensor([1.0, 1.0]))
    assert CALLS == ["joined 2", "joined 2"]


def test_in_training_calls_stay_apart_and_in_its_previews_they_join(run: Callable[..., Any]) -> None:
    def both(name: str) -> dict[str, Any]:
        return {
            f"{name}a": joined("x", "fit.models.m"),
            f"{name}b": joined("x", "fit.models.m"),
            f"{name}sum": {"type": "total", "wires": {"numbers": [f"{name}a", f"{name}b"]}},
        }

    seen = {**both("seen"), "r": {"type": "record", "wires": {"x": "seensum"}}}
    inner = {**both("step"), "look": {"type": "every", "params": {"steps": 1}, "body": {"nodes": seen}}}
    body = {"nodes": inner, "results": {"number": "stepsum"}}
    fit = {"type": "learn", "wires": {"models": {"m": "model"}}, "params": {"n": 1}, "body": body}
    run({"w": {"type": "scale", "wires": {"x": "it.x"}}}, "w", n=1, fit=fit)
    assert CALLS == ["joined 2", "joined 2", "joined 4"]
    assert RECORDED["x"] == pytest.approx([2 * 3 * (0.5 - 0.1 * 6)])


def test_a_failure_names_the_call_that_failed(run: Callable[..., Any]) -> None:
    inner = {
        "fine": {"type": "picky", "wires": {"x": "it.x"}},
        "shifted": {"type": "scale", "wires": {"x": "it.x"}, "params": {"by": 13}},
        "breaks": {"type": "picky", "wires": {"x": "shifted"}},
        "sum": add("fine", "breaks"),
    }
    with pytest.raises(NodeError, match="thirteen") as caught:
        run(inner, "sum", n=1)
    assert caught.value.node == "breaks"
