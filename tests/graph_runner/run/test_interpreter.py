"""One walk, many ways to do its steps: what a step is done by is an argument, and the plan stays as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from graph_runner.bind.validate import validate
from graph_runner.compile.compiler import compile_graph
from graph_runner.compile.plan import Plan, Unit
from graph_runner.contract import NodeSpec
from graph_runner.contract.registry import Registry
from graph_runner.estimate.dry import dry_run
from graph_runner.run.activation import Activation
from graph_runner.run.call import Calls
from graph_runner.run.failures import NodeError
from graph_runner.run.interpreter import Frame, Interpreter
from tests.graph_runner.conftest import graph
from tests.graph_runner.drawing import ONE, every, noted, record, repeat
from tests.graph_runner.toys import CALLS, RECORDED


class Around:
    """As much of an activation as these steps ask for."""

    when, step = "step 3 of fit", None

    class runtime:
        residence = None


NOWHERE: Any = Around()


def plan_of(registry: Registry, nodes: dict[str, Any]) -> Plan:
    top, _ = validate(graph(nodes), registry)
    return compile_graph(top, {}, None, only=set(top.nodes))


def spelled(unit: Unit, frame: Frame, around: Activation) -> Sequence[Any]:
    """Instead of calling anything, write down what would be called with what."""
    for step in unit.members:
        given = ", ".join(frame[slot] for slot in step.inputs())
        said.append(f"{step.id}({given})")
        for slot, _ in step.stores:
            frame[slot] = said[-1]
    return ()


said: list[str] = []


def test_a_plan_is_gone_through_in_another_way_without_calling_a_function(registry: Registry) -> None:
    nodes = {"one": ONE, "a": noted("one", "a"), "b": {"type": "add", "wires": {"a": "a", "b": "one"}}}
    nodes["c"] = noted("b", "c")
    plan = plan_of(registry, nodes)
    for _ in range(2):
        said.clear()
        Interpreter(spelled).perform(plan.code, [None] * plan.code.size, NOWHERE)
        assert said == ["one()", "a(one())", "b(a(one()), one())", "c(b(a(one()), one()))"]
    assert CALLS == []


def test_what_nobody_reads_any_more_is_forgotten_whatever_does_the_steps(registry: Registry) -> None:
    nodes: dict[str, Any] = {"n0": ONE} | {f"n{i}": noted(f"n{i - 1}", "") for i in range(1, 9)}
    plan = plan_of(registry, nodes)
    held: list[int] = []

    def count(unit: Unit, frame: Frame, around: Activation) -> Sequence[Any]:
        for step in unit.members:
            for slot, _ in step.stores:
                frame[slot] = step.id
        held.append(sum(value is not None for value in frame))
        return ()

    for do in (Interpreter(count), Interpreter(spelled)):
        do.perform(plan.code, [None] * plan.code.size, NOWHERE, count)
    Interpreter(count).perform(plan.code, [None] * plan.code.size, NOWHERE)
    assert max(held) == 2


def test_a_failure_names_the_step_and_a_quicker_way_is_taken_once_it_is_made(registry: Registry) -> None:
    plan = plan_of(registry, {"one": ONE, "a": noted("one", "a"), "b": noted("a", "b")})
    made: list[str] = []

    def fail(unit: Unit, frame: Frame, around: Any) -> Sequence[Any]:
        raise ValueError("no")

    def quick(unit: Unit, released: tuple[int, ...]) -> Any:
        made.append(unit.id)
        return None if unit.id == "b" else lambda frame, around: None

    interpreter = Interpreter(fail, quick)
    for _ in range(2):
        with pytest.raises(NodeError, match="b: no") as caught:
            interpreter.perform(plan.code, [None] * plan.code.size, NOWHERE)
        assert (caught.value.node, caught.value.when) == ("b", "step 3 of fit")
    assert made == ["one", "a", "b"]


def test_nobody_changes_a_plan(registry: Registry) -> None:
    plan = plan_of(registry, {"one": ONE, "loop": repeat(2, {"a": noted("loop.state.x", "a")}, "a")})
    [*_, loop] = plan.code.steps
    assert loop.members[0].body is not None
    for data, name in ((plan, "code"), (plan.code, "steps"), (loop, "spec"), (loop.members[0].body, "asides")):
        with pytest.raises(FrozenInstanceError):
            setattr(data, name, None)


def test_a_dry_run_and_then_a_run_of_the_same_graph(registry: Registry, run: Any) -> None:
    inner = {"a": noted("loop.state.x", "a"), "look": every(1, {"show": record("a")})}
    nodes = {"one": ONE, "loop": repeat(3, inner, "a")}
    top, _ = validate(graph(nodes), registry)
    before = (dry_run(top, Path("/nowhere")).to_json(), list(CALLS))
    CALLS.clear()
    run(nodes)
    assert RECORDED["x"] == [1, 1, 1]
    CALLS.clear()
    assert (dry_run(top, Path("/nowhere")).to_json(), list(CALLS)) == before


def test_how_a_function_is_entered_is_asked_for_by_each_step(registry: Registry) -> None:
    plan = plan_of(registry, {"one": ONE, "a": noted("one", "a")})
    entered: list[str] = []

    def enter(spec: NodeSpec) -> Any:
        entered.append(spec.type)
        return spec.function

    calls = Calls(enter)
    for interpreter in (Interpreter(calls), Interpreter(calls, calls.quick)):
        entered.clear()
        interpreter.perform(plan.code, [None] * plan.code.size, NOWHERE)
        assert entered == ["number", "noted"]
    assert CALLS == ["a", "a"]
