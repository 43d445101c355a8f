"""Zones that choose, end early and carry: `switch`, `repeat_until`, `accumulate`, `scan`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from graph_runner.base.problems import WorkflowError
from graph_runner.bind.validate import errors, validate
from graph_runner.contract import node
from graph_runner.contract.registry import Registry
from graph_runner.estimate.dry import dry_run
from graph_runner.run.engine import Engine, Result
from graph_runner.run.failures import NodeError
from tests.graph_runner.conftest import TOYS, graph
from tests.graph_runner.drawing import ONE, every, noted, record, repeat, run_in, scale
from tests.graph_runner.toys import CALLS, RECORDED, Number

Run = Callable[..., Result]


@node(category="toy")
def at_least(x: Number, y: float = 0.0) -> bool:
    """Whether a number is as large."""
    return float(x) >= y


@node(category="toy")
def is_even(i: int) -> bool:
    """Whether a whole number is even."""
    return i % 2 == 0


@node(category="toy")
def nothing(x: Number) -> Number:
    """What is no number."""
    return x * float("nan")


@node(category="toy")
def several(x: Number) -> Any:
    """Two numbers."""
    return torch.stack([x, x])


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan([*TOYS, __name__])


def switch(inner: dict[str, Any], result: str, otherwise: str = "one", **when: Any) -> dict[str, Any]:
    made = {
        "type": "switch",
        "body": {"nodes": inner, "results": {"y": result}},
        "wires": {"otherwise": {"y": otherwise}},
    }
    made["wires"] |= {"when": when["wire"]} if "wire" in when else {}
    return made | ({"params": {"when": when["literal"]}} if "literal" in when else {})


def until(n: int, inner: dict[str, Any], x: str, end: str) -> dict[str, Any]:
    body = {"nodes": inner, "results": {"state.x": x, "until": end}}
    return {"type": "repeat_until", "wires": {"state": {"x": "one"}}, "params": {"iterations": n}, "body": body}


def doubling(bound: float, most: int = 10) -> dict[str, Any]:
    inner = {
        "next": scale("loop.state.x", 2),
        "large": {"type": "at_least", "wires": {"x": "next"}, "params": {"y": bound}},
    }
    return {"one": ONE, "loop": until(most, inner, "next", "large")}


# switch


@pytest.mark.parametrize(("when", "given", "called"), [(True, 3, 1), (False, 1, 0), (0.0, 1, 0), (0.5, 3, 1)])
def test_a_switch_computes_its_body_only_where_it_is_on(run: Run, when: Any, given: float, called: int) -> None:
    """Not even what depends on nothing in the body is computed before."""
    inner = {"far": noted("one", "far"), "three": scale("far", 3)}
    nodes = {"one": ONE, "s": switch(inner, "three", literal=when)}
    assert float(run(nodes, "s.y").values["s.y"]) == given
    assert CALLS.count("far") == called


def test_a_switch_chooses_anew_in_each_iteration_and_shows_what_it_runs(run: Run) -> None:
    inner = {
        "even": {"type": "is_even", "wires": {"i": "loop.iteration"}},
        "s": switch({"t": scale("loop.state.x", 10), "seen": record("t")}, "t", "loop.state.x", wire="even"),
    }
    values = run({"one": ONE, "loop": repeat(5, inner, "s.y")}, "loop.x").values
    assert float(values["loop.x"]) == 1000
    assert RECORDED["x"] == [10, 100, 1000]


def test_a_switch_inside_a_training_passes_gradients_of_the_branch_that_ran(run: Run) -> None:
    def weight(when: bool) -> float:
        inner = {
            "y": {"type": "apply", "wires": {"model": "fit.models.m", "x": "one"}},
            "s": switch({"sq": {"type": "square", "wires": {"x": "y"}}}, "sq", "y", literal=when),
        }
        body = {"nodes": inner, "results": {"number": "s.y"}}
        nodes = {
            "one": ONE,
            "model": {"type": "scalar_model"},
            "fit": {"type": "learn", "wires": {"models": {"m": "model"}}, "body": body},
            "w": {"type": "weight_of", "wires": {"model": "fit.m"}},
        }
        return float(run(nodes, "w").values["w"])

    squared, plain = weight(True), weight(False)
    assert squared == pytest.approx(0.8**3), "the slope of w² is 2w"
    assert plain == pytest.approx(1 - 3 * 0.1), "that of w is 1"


def test_what_differentiates_may_stand_in_a_switch(run: Run) -> None:
    def slope(when: bool) -> float:
        inner = {
            "sq": {"type": "square", "wires": {"x": "it.x"}},
            "s": switch({"dy": {"type": "slope", "wires": {"y": "sq", "x": "it.x"}}}, "dy", "one", literal=when),
        }
        it = {"type": "iterate", "wires": {"x": "three"}, "params": {"n": 1},
              "body": {"nodes": inner, "results": {"number": "s.y"}}}  # fmt: skip
        three = {"type": "number", "params": {"value": 3}}
        value = run({"one": ONE, "three": three, "it": it}, "it").values["it"]
        assert not value.requires_grad
        return float(value)

    assert (slope(True), slope(False)) == (6, 1)


def test_a_switch_says_what_it_lacks(run: Run) -> None:
    nodes = {"one": ONE, "s": switch({"t": scale("one", 3)}, "t", literal=True)}
    del nodes["s"]["wires"]["otherwise"]
    with pytest.raises(WorkflowError, match=r"'y' is given by the body alone, which may not run.*by the same name"):
        run(nodes, "s.y")
    two = {"type": "text", "params": {"value": "two"}}
    with pytest.raises(NodeError, match=r"s: 'when' takes true, false or one number, and is given a str"):
        run({"one": ONE, "two": two, "s": switch({"t": scale("one", 3)}, "t", wire="two")}, "s.y")


@pytest.mark.parametrize(("kind", "why"), [("nothing", "'when' is not a number"), ("several", "is given 2 numbers")])
def test_what_says_neither_is_told_of_the_switch_in_a_loop_too(run: Run, kind: str, why: str) -> None:
    """Although it is asked before, for whether what passes by is needed."""
    inner = {
        "odd": {"type": kind, "wires": {"x": "loop.state.x"}},
        "no": noted("loop.state.x", "no"),
        "s": switch({"t": scale("loop.state.x", 3)}, "t", "no", wire="odd"),
    }
    with pytest.raises(NodeError, match=f"^s: .*{why}"):
        run({"one": ONE, "loop": repeat(2, inner, "s.y")}, "loop.x")


def test_a_switch_without_results_runs_for_what_it_shows(run: Run) -> None:
    def shown(when: bool) -> list[float]:
        RECORDED.clear()
        run({"one": ONE, "s": {"type": "switch", "params": {"when": when}, "body": {"nodes": {"r": record("one")}}}})
        return RECORDED.get("x", [])

    assert (shown(True), shown(False)) == ([1], [])


# repeat_until


def test_a_loop_ends_where_its_body_says_and_at_its_bound_at_last(run: Run) -> None:
    assert float(run(doubling(10), "loop.x").values["loop.x"]) == 16
    assert float(run(doubling(1e9, most=3), "loop.x").values["loop.x"]) == 8
    assert float(run(doubling(1e9, most=0), "loop.x").values["loop.x"]) == 1


def test_a_loop_does_not_end_by_what_is_no_number(run: Run) -> None:
    inner = {"next": scale("loop.state.x", 2), "end": {"type": "nothing", "wires": {"x": "next"}}}
    with pytest.raises(NodeError, match=r"loop: 'until' is not a number \(nan\)"):
        run({"one": ONE, "loop": until(5, inner, "next", "end")}, "loop.x")


def test_callbacks_see_the_iteration_with_which_a_loop_ends(run: Run) -> None:
    nodes = doubling(10)
    nodes["loop"]["body"]["nodes"]["look"] = every(3, {"r": record("next")})
    run(nodes, "loop.x")
    assert RECORDED["x"] == [8, 16]


def test_loops_that_end_early_nest(run: Run) -> None:
    """A loop inside that ends leaves the loop around, and its state, as they are."""
    inner = {
        "next": scale("loop.state.x", 2),
        "large": {"type": "at_least", "wires": {"x": "next"}, "params": {"y": 10}},
        "r": record("next"),
    }
    loop = until(10, inner, "next", "large")
    loop["wires"]["state"]["x"] = "around.state.x"
    value = run({"one": ONE, "around": repeat(3, {"loop": loop}, "loop.x")}, "around.x").values["around.x"]
    assert float(value) == 64
    assert RECORDED["x"] == [2, 4, 8, 16, 32, 64]


# accumulate and scan


def test_a_fold_and_a_scan_over_lists(run: Run) -> None:
    inner = {
        "by": {"type": "scale", "wires": {"x": "one", "by": "z.item.n"}},
        "sum": {"type": "add", "wires": {"a": "z.state.x", "b": "by"}},
    }
    fold = {"type": "accumulate", "wires": {"state": {"x": "one"}}, "params": {"over": {"n": [1, 2, 3]}},
            "body": {"nodes": inner, "results": {"x": "sum"}}}  # fmt: skip
    assert float(run({"one": ONE, "z": fold}, "z.x").values["z.x"]) == 7
    steps = {
        **fold,
        "type": "scan",
        "body": {"nodes": inner, "results": {"state.x": "sum", "each.x": "sum", "each.i": "z.index"}},
    }
    values = run({"one": ONE, "z": steps, "t": {"type": "total", "wires": {"numbers": "z.each.x"}}}, "z", "t").values
    assert float(values["z.state.x"]) == 7
    assert [float(x) for x in values["z.each.x"]] == [2, 4, 7]
    assert values["z.each.i"] == [0, 1, 2]
    assert float(values["t"]) == 13
    empty = {**steps, "params": {"over": {"n": []}}}
    values = run({"one": ONE, "z": empty}, "z.state.x", "z.each.x").values
    assert (float(values["z.state.x"]), values["z.each.x"]) == (1, [])


def test_lists_of_different_lengths_are_refused(run: Run) -> None:
    fold = {"type": "accumulate", "wires": {"state": {"x": "one"}}, "params": {"over": {"n": [1, 2], "m": [1]}},
            "body": {"nodes": {"s": scale("z.state.x", 2)}, "results": {"x": "s"}}}  # fmt: skip
    with pytest.raises(NodeError, match=r"z: the lists of 'over' have different lengths \(\{'n': 2, 'm': 1\}\)"):
        run({"one": ONE, "z": fold}, "z.x")


# Cached, restarted, stopped, estimated


def test_what_these_zones_give_is_cached_by_all_that_it_depends_on(engine: Engine) -> None:
    def drawn(bound: float, otherwise: float) -> dict[str, Any]:
        nodes = doubling(bound)
        nodes["two"] = {"type": "number", "params": {"value": otherwise}}
        nodes["s"] = switch({"n": noted("loop.x", "inside")}, "n", "two", literal=True)
        return nodes

    for bound, otherwise, computed in ((10, 2, 1), (10, 2, 0), (100, 2, 1), (100, 3, 1)):
        run_in(engine, drawn(bound, otherwise), "s.y")
        assert CALLS.count("inside") == computed


def test_random_numbers_in_a_switch_are_those_of_the_iteration(run: Run) -> None:
    def drawn(inside: bool) -> list[float]:
        RECORDED.clear()
        n = {"n": {"type": "random_number"}}
        part = {"s": switch(n, "n", literal=True), "r": record("s.y")} if inside else {**n, "r": record("n")}
        run({"one": ONE, "loop": repeat(3, {**part, "x": scale("loop.state.x", 1)}, "x")}, "loop.x", fresh=True)
        return RECORDED["x"]

    assert drawn(True) == drawn(False)
    assert len(set(drawn(True))) == 3


def test_a_loop_that_would_end_early_can_be_stopped_before(run: Run) -> None:
    stop = threading.Event()
    stop.set()
    assert run(doubling(1e30, most=1000), "loop.x", stop=stop).status == "stopped"


def test_a_dry_run_goes_through_what_may_not_run(registry: Registry, tmp_path: Path) -> None:
    nodes = doubling(10)
    nodes["s"] = switch({"n": scale("loop.x", 2)}, "n", literal=False)
    nodes["t"] = switch({"m": scale("s.y", 2)}, "m", "s.y", wire="loop_large")
    nodes["loop_large"] = {"type": "at_least", "wires": {"x": "loop.x"}}
    top, problems = validate(graph(nodes), registry)
    assert not errors(problems)
    estimate = dry_run(top, tmp_path)
    assert not estimate.problems
    assert {id: estimate.nodes[id].gives for id in ("n", "m", "next")} == {
        "n": {"number": "number"}, "m": {"number": "number"}, "next": {"number": "number"},
    }  # fmt: skip
    assert estimate.nodes["next"].runs == 10


def test_one_number_in_a_tensor_is_a_condition(run: Run) -> None:
    nodes = {"one": ONE, "zero": {"type": "number"}, "s": switch({"t": scale("one", 3)}, "t", wire="zero")}
    assert torch.equal(run(nodes, "s.y").values["s.y"], torch.tensor(1.0))
