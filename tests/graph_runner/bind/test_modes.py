"""Muted and bypassed nodes, taken out of a workflow's nodes."""

from __future__ import annotations

from typing import Any

from graph_runner.base.problems import Problem
from graph_runner.bind.modes import without_modes
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import walk
from tests.graph_runner.conftest import graph

ONE = {"type": "number"}


def taken_out(nodes: dict[str, Any], registry: Registry) -> tuple[dict[str, dict[str, Any]], list[Problem]]:
    problems: list[Problem] = []
    left = without_modes(graph(nodes).nodes, registry, set(), problems)
    return {id: dict(node.wires) for id, node in walk(left)}, problems


def test_nothing_to_take_out_changes_nothing(registry: Registry) -> None:
    nodes = graph({"a": ONE, "b": {"type": "noted", "wires": {"x": "a"}}}).nodes
    assert without_modes(nodes, registry, set(), []) is nodes


def test_a_muted_node_goes_with_the_wires_from_it(registry: Registry) -> None:
    nodes = {
        "a": ONE,
        "off": {"type": "noted", "mode": "mute", "wires": {"x": "a"}},
        "m": {"type": "maybe", "wires": {"x": "a", "y": "off"}},
        "t": {"type": "total", "wires": {"numbers": ["a", "off", "a"]}},
    }
    wires, problems = taken_out(nodes, registry)
    assert wires == {"a": {}, "m": {"x": "a"}, "t": {"numbers": ["a", "a"]}}
    assert problems == []


def test_wires_are_led_past_a_row_of_bypassed_nodes(registry: Registry) -> None:
    row = {f"b{i}": {"type": "noted", "mode": "bypass", "wires": {"x": f"b{i - 1}" if i else "a"}} for i in range(50)}
    wires, _ = taken_out({"a": ONE, **row, "n": {"type": "noted", "wires": {"x": "b49.number"}}}, registry)
    assert wires == {"a": {}, "n": {"x": "a"}}


def test_bypassed_nodes_that_wait_for_each_other_are_dropped(registry: Registry) -> None:
    circle = {
        "p": {"type": "noted", "mode": "bypass", "wires": {"x": "q"}},
        "q": {"type": "noted", "mode": "bypass", "wires": {"x": "p"}},
    }
    wires, _ = taken_out({**circle, "n": {"type": "noted", "wires": {"x": "p"}}}, registry)
    assert wires == {"n": {}}


def test_what_has_no_input_of_its_outputs_type_cannot_be_bypassed(registry: Registry) -> None:
    _, problems = taken_out({"a": {**ONE, "mode": "bypass"}}, registry)
    assert [str(problem) for problem in problems] == [
        "a.number: cannot be bypassed: no wired input has the type number of its output. Mute it, or wire one"
    ]


def test_inside_of_bodies_too(registry: Registry) -> None:
    inner = {"s": {"type": "noted", "mode": "bypass", "wires": {"x": "loop.x"}}}
    loop = {"type": "iterate", "wires": {"x": "a"}, "body": {"nodes": inner, "results": {"number": "s"}}}
    left = without_modes(graph({"a": ONE, "loop": loop}).nodes, registry, set(), [])
    body = left["loop"].body
    assert body is not None
    assert (body.nodes, body.results) == ({}, {"number": "loop.x"})
