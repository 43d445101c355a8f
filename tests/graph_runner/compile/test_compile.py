"""Compilation: what nobody needs is dropped, what does not change leaves the loop, copies are made where others would see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graph_runner.contract import Ports, node
from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Engine, Result
from tests.graph_runner import toys
from tests.graph_runner.conftest import TOYS, graph
from tests.graph_runner.drawing import ONE, noted, record, repeat
from tests.graph_runner.toys import CALLS, RECORDED, Model, Number

Run = Callable[..., Result]


def test_what_no_effect_and_no_target_needs_is_dropped(run: Run) -> None:
    nodes = {
        "one": ONE,
        "dead": noted("one", "dead"),
        "more": noted("dead", "more"),
        "live": noted("one", "live"),
        "r": record("live"),
        "wanted": noted("one", "wanted"),
    }
    run(nodes)
    assert CALLS == ["live"]
    run(nodes, "wanted", only=True)
    assert CALLS == ["live", "wanted"]
    assert RECORDED["x"] == [1]


def test_dead_nodes_of_a_body_are_dropped_and_do_not_keep_others_alive(run: Run) -> None:
    inner = {
        "dead": noted("outside", "dead"),
        "sum": {"type": "add", "wires": {"a": "loop.state.x", "b": "one"}},
    }
    nodes = {"one": ONE, "outside": noted("one", "outside"), "loop": repeat(2, inner, "sum")}
    assert float(run(nodes, "loop.x").values["loop.x"]) == 3
    assert CALLS == []


def test_what_depends_on_no_port_is_computed_once_outside(run: Run) -> None:
    inner = {
        "still": noted("one", "still"),
        "doubled": {"type": "scale", "wires": {"x": "still"}, "params": {"by": 2}},
        "turning": noted("loop.state.x", "turning"),
        "sum": {"type": "add", "wires": {"a": "turning", "b": "doubled"}},
    }
    assert float(run({"one": ONE, "loop": repeat(3, inner, "sum")}, "loop.x").values["loop.x"]) == 7
    assert sorted(CALLS) == ["still", "turning", "turning", "turning"]


def two_levels(kind: str = "noted") -> dict[str, Any]:
    """A loop in a loop, with a node for each place that what it depends on allows."""
    inmost = {
        "outermost": noted("one", "outermost", kind),
        "middle": noted("outer.state.x", "middle", kind),
        "both": {"type": "add", "wires": {"a": "outermost", "b": "middle"}},
        "inner_turn": noted("inner.state.x", "inner turn", kind),
        "sum": {"type": "add", "wires": {"a": "both", "b": "inner_turn"}},
    }
    outer = {"inner": repeat(3, inmost, "sum", x="outer.state.x")}
    return {"one": ONE, "outer": repeat(2, outer, "inner.x")}


def test_hoisting_goes_out_as_far_as_it_can_over_two_levels(run: Run) -> None:
    values = run(two_levels(), "outer.x").values
    assert (CALLS.count("outermost"), CALLS.count("middle"), CALLS.count("inner turn")) == (1, 2, 6)
    x = 1.0
    for _ in range(2):
        middle = x
        for _ in range(3):
            x = 1 + middle + x
    assert float(values["outer.x"]) == x


def test_a_zone_that_depends_on_nothing_inside_is_hoisted_whole(run: Run) -> None:
    fixed = repeat(2, {"step": noted("fixed.state.x", "step")}, "step")
    inner = {"fixed": fixed, "sum": {"type": "add", "wires": {"a": "loop.state.x", "b": "fixed.x"}}}
    assert float(run({"one": ONE, "loop": repeat(5, inner, "sum")}, "loop.x").values["loop.x"]) == 6
    assert CALLS == ["step", "step"]


def test_nothing_is_hoisted_out_of_what_may_never_run(run: Run) -> None:
    inner = {
        "next": noted("loop.state.x", "turn"),
        "look": {
            "type": "every",
            "params": {"steps": 2},
            "body": {"nodes": {"costly": noted("one", "costly"), "r": record("costly")}},
        },
    }
    nodes = {"one": ONE, "loop": repeat(4, inner, "next")}
    run(nodes, "loop.x")
    assert CALLS == ["turn", "turn", "costly", "turn", "turn", "costly"]
    CALLS.clear()
    nodes["loop"]["params"]["n"] = 0
    run(nodes, "loop.x")
    assert CALLS == []


def test_what_draws_changes_or_shows_stays_in_its_turn(run: Run) -> None:
    inner = {
        "chance": {"type": "random_number"},
        "seen": record("one", "seen"),
        "sum": {"type": "add", "wires": {"a": "loop.state.x", "b": "chance"}},
        "drawn": record("chance", "drawn"),
    }
    run({"one": ONE, "loop": repeat(3, inner, "sum")}, "loop.x")
    assert RECORDED["seen"] == [1, 1, 1]
    assert len(set(RECORDED["drawn"])) == 3


# Copies: counted by how often a model's weight is deep-copied.


@node(category="toy")
def same_model(model: Model) -> Model:
    """The very object that came in."""
    return model


@node(category="toy")
def first_of(model: Model, x: Number) -> Model:
    """The very object that came in, whatever else did."""
    return model


@node(category="toy", mutates=("models",))
def nudge_all(models: Ports[Model]) -> Ports[Model]:
    """Change many models in place."""
    for model in models.values():
        model.weight += 1
    return models


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    made: list[int] = []

    def copied(self: toys.Scalar, memo: dict[int, Any]) -> toys.Scalar:
        made.append(1)
        return toys.Scalar(float(self.weight)).requires_grad_(False)

    monkeypatch.setattr(toys.Scalar, "__deepcopy__", copied, raising=False)
    return made


@pytest.fixture
def weights(tmp_path: Path) -> Callable[..., list[float]]:
    engine = Engine(Registry.scan([*TOYS, __name__]), tmp_path)

    def call(nodes: dict[str, Any], *models: str) -> list[float]:
        values = engine.run(graph(nodes), targets=models).values
        return [float(values[model].weight) for model in models]

    return call


MODEL = {"type": "scalar_model"}
NUDGE = {"type": "nudge", "wires": {"model": "model"}}


def test_no_copy_where_nobody_else_reads(weights: Callable[..., list[float]], copies: list[int]) -> None:
    nodes = {"model": MODEL, "a": NUDGE}
    assert weights(nodes, "a") == [2]
    assert copies == []
    nodes["a"] = {**NUDGE, "params": {"by": 5}}
    assert weights(nodes, "a") == [6], "what was changed in place was never stored"
    assert copies == []


def test_a_copy_where_others_read(weights: Callable[..., list[float]], copies: list[int]) -> None:
    assert weights({"model": MODEL, "a": NUDGE}, "model", "a") == [1, 2]
    assert len(copies) == 1
    more = {"a": {**NUDGE, "params": {"by": 2}}, "b": {**NUDGE, "params": {"by": 3}}}
    assert weights({"model": MODEL, **more}, "a", "b") == [3, 4]
    assert len(copies) == 3


def test_what_may_be_somebody_elses_is_copied(weights: Callable[..., list[float]], copies: list[int]) -> None:
    for handed_on in (
        {"type": "same_model", "wires": {"model": "model"}},
        {"type": "same", "wires": {"x": "model"}},
        {"type": "first_of", "wires": {"model": "model", "x": "one"}},
    ):
        nodes = {"one": ONE, "model": MODEL, "on": handed_on, "a": {**NUDGE, "wires": {"model": "on"}}}
        assert weights(nodes, "model", "a") == [1, 2]
        assert weights(nodes, "model", "a") == [1, 2], "nor was the cache's model changed"


def test_a_number_that_is_only_handed_on_is_not_changed_in_the_cache(tmp_path: Path) -> None:
    @node(category="toy", mutates=("x",))
    def bump(x: Number) -> Number:
        """Change a number in place."""
        return x.add_(1)

    engine = Engine(Registry([*Registry.scan(TOYS).values(), bump.__node__]), tmp_path)  # type: ignore[attr-defined]
    nodes = {"one": ONE, "on": {"type": "maybe", "wires": {"x": "one"}}, "b": {"type": "bump", "wires": {"x": "on"}}}
    for _ in range(2):
        values = engine.run(graph(nodes), targets=["b", "one"]).values
        assert (float(values["b"]), float(values["one"])) == (2, 1)
    nodes["b"] = {"type": "bump", "wires": {"x": "one"}}
    assert float(engine.run(graph(nodes), targets=["b"]).values["b"]) == 2


def test_models_by_name_are_copied_together(weights: Callable[..., list[float]], copies: list[int]) -> None:
    nodes = {"model": MODEL, "other": {**MODEL, "params": {"weight": 5}}}
    nodes["all"] = {"type": "nudge_all", "wires": {"models": {"a": "model", "b": "other"}}}
    assert weights(nodes, "all.a", "all.b", "other") == [2, 6, 5]
    assert weights(nodes, "all.a", "model") == [2, 1]


def test_a_model_from_outside_a_loop_is_copied_each_turn(weights: Callable[..., list[float]]) -> None:
    inner = {"changed": NUDGE, "w": {"type": "weight_of", "wires": {"model": "changed"}}, "r": record("w", "w")}
    nodes = {"model": MODEL, "one": ONE, "loop": repeat(3, {**inner, "next": noted("loop.state.x", "n")}, "next")}
    assert weights(nodes, "model") == [1]
    assert RECORDED["w"] == [2, 2, 2], "each turn changes a copy of its own"


def test_the_state_of_a_loop_may_be_changed_in_place(weights: Callable[..., list[float]]) -> None:
    inner = {"changed": {"type": "nudge", "wires": {"model": "loop.state.x"}}}
    assert weights({"model": MODEL, "loop": repeat(3, inner, "changed", x="model")}, "loop.x", "model") == [4, 1]


def test_models_on_wires_are_in_eval_mode_without_gradients(run: Run) -> None:
    model = run({"model": MODEL, "a": NUDGE}, "a").values["a"]
    assert not model.training
    assert not model.weight.requires_grad
