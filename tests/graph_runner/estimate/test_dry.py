"""The dry run: shapes, cost and errors, known before anything is computed."""

from __future__ import annotations

import gc
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
import torch
from pydantic import Field
from torch import Tensor, nn

from graph_runner.base.events import Log
from graph_runner.base.telling import large
from graph_runner.bind.validate import errors, validate
from graph_runner.context import Tell
from graph_runner.contract import Wire, node
from graph_runner.contract.registry import Registry
from graph_runner.estimate.alike import MOST
from graph_runner.estimate.dry import Estimate, describe, dry_run
from graph_runner.run.engine import Engine
from tests.graph_runner import toys
from tests.graph_runner.conftest import TOYS, graph
from tests.graph_runner.drawing import ONE, every, noted, record, repeat, scale, sweep

Matrix = Annotated[Tensor, Wire("matrix", "n m")]
Layer = Annotated[nn.Linear, Wire("layer")]


@node(category="toy")
def matrix(rows: Annotated[int, Field(ge=1)] = 2, columns: Annotated[int, Field(ge=1)] = 3) -> Matrix:
    """A matrix of ones."""
    return torch.ones(rows, columns)


@node(category="toy", batched=("a",))
def product(a: Matrix, b: Matrix) -> Matrix:
    """The product of two matrices."""
    return a @ b


@node(category="toy")
def matrices(all: list[Matrix]) -> Matrix:
    """The first of some matrices."""
    return all[0]


@node(category="toy")
def layer(columns: int = 3, out: int = 5) -> Layer:
    """A linear layer."""
    return nn.Linear(columns, out)


@node(category="toy")
def through(layer: Layer, x: Matrix) -> Matrix:
    """Rows through a layer."""
    return layer(x)


@node(category="toy")
def positive_rows(x: Matrix) -> Matrix:
    """Rows with a positive sum: how many only shows in the run."""
    return x[x.sum(1) > 0]


@node(category="toy")
def refuse_large(x: Matrix) -> Matrix:
    """Look at numbers, and refuse some."""
    if float(x.max()) < 1:
        raise ValueError("the largest number is too small")
    return x


@node(category="toy")
def refuse_wide(x: Matrix) -> Matrix:
    """Look at the shape, and refuse some."""
    if x.shape[1] > 4:
        raise ValueError(f"{x.shape[1]} columns are too many")
    return x


@node(category="toy")
def doubtful(x: Matrix, tell: Tell) -> Matrix:
    """Say what it noticed, itself and through a library's log."""
    tell("it is as it is", "info")
    tell("three columns are few")
    logging.getLogger("some.library").warning("the library has its doubts.")
    return x


def _could_be_written(x: Matrix, name: str) -> None:
    if x.shape[1] > 4:
        raise ValueError(f"{name} takes no {x.shape[1]} columns")


@node(category="toy", effect=True, dry=_could_be_written)
def write_narrow(x: Matrix, name: str = "narrow") -> None:
    """An export that cannot hold everything."""
    raise AssertionError("a dry run has no effects")


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan([*TOYS, __name__])


def estimate(registry: Registry, nodes: dict[str, Any]) -> Estimate:
    top, problems = validate(graph(nodes), registry)
    assert not errors(problems)
    return dry_run(top, Path("/nowhere"))


def mul(a: str, b: str) -> dict[str, Any]:
    return {"type": "product", "wires": {"a": a, "b": b}}


A, B = {"type": "matrix"}, {"type": "matrix", "params": {"rows": 3, "columns": 4}}


def test_shapes_operations_and_parameters(registry: Registry) -> None:
    nodes = {
        "a": A,
        "b": B,
        "ab": mul("a", "b"),
        "layer": {"type": "layer", "params": {"columns": 4}},
        "y": {"type": "through", "wires": {"layer": "layer", "x": "ab"}},
        "same": {"type": "refuse_wide", "wires": {"x": "ab"}},
        "wide": {"type": "same", "wires": {"x": "y"}},
        "end": {"type": "same", "wires": {"x": "wide"}},
    }
    found = estimate(registry, nodes)
    assert not found.problems
    assert list(found.nodes["ab"].gives.values()) == ["2×4"]
    assert list(found.nodes["y"].gives.values()) == ["2×5"]
    assert found.nodes["ab"].flops == 2 * 2 * 3 * 4
    assert found.nodes["y"].flops == 2 * 2 * 4 * 5
    assert found.nodes["layer"].parameters == 4 * 5 + 5
    assert found.flops == 48 + 80


def test_nothing_is_computed_shown_or_kept(registry: Registry) -> None:
    nodes = {"one": ONE, "n": noted("one", "n"), "r": record("n"), "s": scale("n", 2)}
    found = estimate(registry, nodes)
    assert toys.RECORDED == {}
    assert found.nodes["r"].open == "it only has an effect"
    assert not found.problems


def test_a_loop_goes_round_once_and_counts_for_all(registry: Registry) -> None:
    inner = {"more": mul("r.state.x", "b")}
    nodes = {
        "a": A,
        "b": {"type": "matrix", "params": {"rows": 3, "columns": 3}},
        "r": repeat(10, inner, "more", x="a"),
        "wide": {"type": "refuse_wide", "wires": {"x": "r.x"}},
        "end": {"type": "same", "wires": {"x": "wide"}},
    }
    found = estimate(registry, nodes)
    assert found.nodes["more"].runs == 10
    assert found.nodes["more"].flops == 10 * 2 * 2 * 3 * 3
    assert list(found.nodes["r"].gives.values()) == ["2×3"]


def test_beside_the_turns_counts_as_often_as_it_runs(registry: Registry) -> None:
    inner = {"more": mul("r.state.x", "b"), "look": every(4, {"see": noted("one", "n"), "show": record("see")})}
    nodes = {
        "one": ONE,
        "a": A,
        "b": {"type": "matrix", "params": {"rows": 3, "columns": 3}},
        "r": repeat(10, inner, "more", x="a"),
        "end": {"type": "same", "wires": {"x": "r.x"}},
    }
    found = estimate(registry, nodes)
    assert found.nodes["see"].runs == 3  # after turns 4, 8 and the last


def test_lists_of_loops_have_their_length(registry: Registry) -> None:
    inner = {"s": {"type": "scale", "wires": {"x": "one", "by": "z.item.by"}}}
    nodes = {
        "one": ONE,
        "z": sweep(inner, {"scaled": "s"}, {"by": [2.0, 0.5, -1.0]}),
        "all": {"type": "total", "wires": {"numbers": "z.scaled"}},
        "end": scale("all", 2),
    }
    found = estimate(registry, nodes)
    assert list(found.nodes["z"].gives.values()) == ["3 of number"]
    assert not found.problems


def test_items_that_cost_otherwise_are_each_gone_through(registry: Registry) -> None:
    inner = {
        "b": {"type": "matrix", "params": {"rows": 3}, "wires": {"columns": "z.item.columns"}},
        "ab": mul("a", "b"),
        "layer": {"type": "layer", "params": {"out": 2}, "wires": {"columns": "z.item.columns"}},
        "y": {"type": "through", "wires": {"layer": "layer", "x": "ab"}},
        "wide": {"type": "refuse_wide", "wires": {"x": "ab"}},
    }
    nodes = {
        "a": A,
        "z": sweep(inner, {"y": "y", "wide": "wide"}, {"columns": [2, 4, 6, 4, 6]}),
        "ys": {"type": "matrices", "wires": {"all": "z.y"}},
    }
    found = estimate(registry, nodes)
    assert found.nodes["ab"].runs == 5
    assert found.nodes["ab"].flops == 2 * 2 * 3 * (2 + 4 + 6 + 4 + 6)
    assert found.nodes["layer"].parameters == 6 * 2 + 2  # the largest
    assert {*found.nodes["z"].gives.values()} == {"5 of 2×2"}
    assert [(problem.node, problem.message) for problem in found.problems] == [("wide", "6 columns are too many")]
    assert not found.nodes["ys"].open


def test_seeds_cost_nothing(registry: Registry) -> None:
    drawn = {"type": "random_number"}

    def gone_through(inner: dict[str, Any], over: dict[str, Any]) -> int:
        toys.CALLS.clear()
        read = {"inside": "inside.x", "around": "around.x"}.get(first := [*inner, "r"][0], first)
        inner = {"r": drawn} | inner | {"n": noted(read, "n")}
        found = estimate(registry, {"z": sweep(inner, {"n": "n"}, over), "end": every_number("z.n")})
        assert found.nodes["n"].runs == len(next(iter(over.values())))
        return toys.CALLS.count("n")

    def every_number(numbers: str) -> dict[str, Any]:
        return {"type": "total", "wires": {"numbers": numbers}}

    seeded = {"r": drawn | {"wires": {"seed": "z.item.seed"}}}
    inside = {"inside": repeat(2, {"q": drawn | {"wires": {"seed": "z.item.seed"}}}, "q", "r")}
    scaled = {"s": {"type": "scale", "wires": {"x": "r", "by": "z.item.by"}}}
    assert gone_through(seeded, {"seed": [0, 1, 2]}) == 1
    assert gone_through(inside | seeded, {"seed": [0, 1, 2]}) == 1
    assert gone_through({}, {"unread": [0, 1, 2]}) == 1
    assert gone_through(scaled | seeded, {"seed": [0, 1, 2, 3], "by": [5, 6, 5, 6]}) == 2
    assert gone_through({"around": repeat(2, scaled, "s", "r")}, {"by": [0, 1, 1]}) == 2
    assert gone_through(scaled, {"by": [*range(40)]}) == MOST


def test_a_shape_that_does_not_fit_is_told_where_it_is_with_what_was_given(registry: Registry) -> None:
    nodes = {
        "a": A,
        "z": repeat(3, {"wrong": mul("a", "z.state.x"), "after": {"type": "same", "wires": {"x": "wrong"}}}, "after", "a"),
        "five": {"type": "matrix", "params": {"columns": 5}},
        "refused": {"type": "refuse_wide", "wires": {"x": "five"}},
    }  # fmt: skip
    found = {problem.node: problem.message for problem in estimate(registry, nodes).problems}
    assert set(found) == {"wrong", "refused"}  # what comes after is not blamed
    assert "2×3" in found["wrong"]
    assert found["refused"] == "5 columns are too many"


def test_what_depends_on_numbers_is_left_open_and_no_error(registry: Registry) -> None:
    nodes = {
        "a": A,
        "some": {"type": "positive_rows", "wires": {"x": "a"}},
        "after": {"type": "refuse_wide", "wires": {"x": "some"}},
        "large": {"type": "refuse_large", "wires": {"x": "a"}},
        "end": {"type": "same", "wires": {"x": "large"}},
    }
    found = estimate(registry, nodes)
    assert not found.problems
    assert "only the run gives" in found.nodes["some"].open
    assert found.nodes["after"].open == "what it reads is not known"
    assert "only the run gives" in found.nodes["large"].open


def test_what_a_loop_in_a_loop_collects_is_left_open_too(registry: Registry) -> None:
    some = {"some": {"type": "positive_rows", "wires": {"x": "a"}}}
    inner = sweep(some, {"rows": "some"}, {"i": [0, 1]})
    outer = sweep({"inner": inner}, {"rows": "inner.rows"}, {"j": [0, 1]})
    nodes = {"a": A, "outer": outer, "end": {"type": "same", "wires": {"x": "outer.rows"}}}
    found = estimate(registry, nodes)
    assert not found.problems
    assert found.nodes["end"].open == "what it reads is not known"


def test_joined_calls_are_each_told(registry: Registry) -> None:
    nodes = {
        "a": A,
        "b": {"type": "matrix", "params": {"rows": 3, "columns": 3}},
        "z": {
            "type": "repeat",
            "wires": {"state": {"x": "a", "y": "a"}},
            "params": {"iterations": 2},
            "body": {"nodes": {"c": mul("z.state.x", "b"), "u": mul("z.state.y", "b")}, "results": {"x": "c", "y": "u"}},
        },
        "end": {"type": "same", "wires": {"x": "z.x"}},
        "too": {"type": "same", "wires": {"x": "z.y"}},
    }  # fmt: skip
    found = estimate(registry, nodes)
    assert not found.problems
    assert {"c", "u"} <= {id for id, each in found.nodes.items() if "2×3" in each.gives.values()}
    assert found.nodes["c"].flops + found.nodes["u"].flops == 2 * 2 * (2 * 2 * 3 * 3)


def test_memory_is_what_lives_at_once(registry: Registry) -> None:
    big = {"type": "matrix", "params": {"rows": 1000, "columns": 1000}}
    one = estimate(registry, {"m": big, "p": mul("m", "m"), "end": {"type": "same", "wires": {"x": "p"}}})
    nodes: dict[str, Any] = {"m": big}
    for i in range(8):
        nodes[f"p{i}"] = mul(f"p{i - 1}" if i else "m", f"p{i - 1}" if i else "m")
    nodes["end"] = {"type": "same", "wires": {"x": "p7"}}
    assert one.memory == 2 * 4_000_000
    assert estimate(registry, nodes).memory == one.memory  # what was read for the last time is gone
    assert one.memory_at == "p"


def test_tensors_made_later_in_the_process_are_real(registry: Registry) -> None:
    for _ in range(3):
        estimate(
            registry, {"one": ONE, "two": {"type": "add", "wires": {"a": "one", "b": "one"}}, "s": scale("two", 3)}
        )
        gc.collect()
    assert torch.tensor([1.0, 2.0]).sum().item() == 3


@dataclass
class Told:
    """Holds one thing, and is no more than that."""

    parts: Any


def test_descriptions() -> None:
    assert describe(torch.zeros(2, 3)) == "2×3"
    assert describe(torch.zeros(2, dtype=torch.int64)) == "2 int64"
    assert describe(torch.zeros(())) == "number"
    assert describe([torch.zeros(2)] * 4) == "4 of 2"
    assert describe({"a": torch.zeros(1), "b": 3}) == "a 1"
    assert describe(nn.Linear(9, 100)) == "Linear, 1 k parameters"
    assert describe("text") == ""
    assert describe(Told({"a": torch.zeros(1), "b": Told(torch.zeros(2))})) == "a 1, b 2"


def test_large_numbers() -> None:
    assert [large(n) for n in (0, 12, 999, 999.6, 1234, 4.741e12, 5e21)] == [
        "0",
        "12",
        "999",
        "1 k",
        "1.23 k",
        "4.74 T",
        "5e+03 E",
    ]
    assert [large(n, "B") for n in (0, 12, 1234)] == ["0 B", "12 B", "1.23 kB"]


def test_what_a_run_would_warn_of_is_told_once_and_with_its_node(registry: Registry) -> None:
    doubt = {"type": "doubtful", "wires": {"x": "a"}}
    found = estimate(registry, {"a": A, "first": doubt, "again": {"type": "doubtful", "wires": {"x": "first"}}})
    assert {(p.node, p.message, p.severity) for p in found.problems} == {
        (id, message, "warning")
        for id in ("first", "again")
        for message in ("three columns are few", "the library has its doubts")
    }
    assert len(found.problems) == 4
    assert not errors(found.problems)


def test_an_export_that_cannot_hold_what_it_is_given_is_foreseen(registry: Registry) -> None:
    wide = {"type": "matrix", "params": {"columns": 5}}
    nodes = {id: {"type": "write_narrow", "wires": {"x": x}} for id, x in (("fits", "a"), ("fails", "wide"))}
    [problem] = estimate(registry, {"a": A, "wide": wide, **nodes}).problems
    assert (problem.node, problem.message) == ("fails", "narrow takes no 5 columns")


def test_the_same_is_told_in_a_run(registry: Registry, tmp_path: Path) -> None:
    result = Engine(registry, tmp_path).run(
        graph({"a": A, "doubt": {"type": "doubtful", "wires": {"x": "a"}}}), targets=["doubt"]
    )
    logs = [(e.node, e.message, e.level) for e in result.events if isinstance(e, Log)]
    assert ("doubt", "it is as it is", "info") in logs
    assert ("doubt", "three columns are few", "warning") in logs
