"""Definitions: a named graph used as a node, any number of times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from graph_runner.base.problems import Problem, WorkflowError
from graph_runner.bind.validate import validate
from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Engine
from tests.graph_runner import toys
from tests.graph_runner.conftest import graph

ONE = {"type": "number", "params": {"value": 1}}
LINE = {
    "inputs": ["x", "slope", "offset"],
    "nodes": {
        "scaled": {"type": "scale", "wires": {"x": "inputs.x", "by": "inputs.slope"}},
        "moved": {"type": "maybe", "wires": {"x": "scaled", "y": "inputs.offset"}},
    },
    "results": {"out": "moved", "steep": "scaled"},
}


@pytest.fixture
def problems(registry: Registry) -> Callable[..., list[Problem]]:
    return lambda nodes, **definitions: validate(graph(nodes, definitions=definitions), registry)[1]


def values(engine: Engine, nodes: dict[str, Any], *targets: str, **definitions: Any) -> list[Any]:
    result = engine.run(graph(nodes, definitions=definitions), targets=targets).values
    return [[float(x) for x in v] if isinstance(v, list) else float(v) for v in result.values()]


def test_each_use_has_its_own_inputs_typed_wired_or_left_out(engine: Engine) -> None:
    nodes = {
        "one": ONE,
        "a": {"type": "line", "wires": {"x": "one"}, "params": {"slope": 3}},
        "b": {"type": "line", "wires": {"x": "a.out", "offset": "one"}},
        "r": {"type": "record", "wires": {"x": "b.out"}},
    }
    assert values(engine, nodes, "a", "b.out", line=LINE) == [3, 3, 4], "a use stands for all its results"
    assert toys.RECORDED["x"] == [4]


def test_inside_a_zone_and_with_a_zone_inside(engine: Engine) -> None:
    power = {
        "inputs": ["base", "n"],
        "nodes": {
            "it": {
                "type": "iterate",
                "wires": {"x": "inputs.base", "n": "inputs.n"},
                "body": {
                    "nodes": {"sum": {"type": "add", "wires": {"a": "it.x", "b": "it.x"}}},
                    "results": {"number": "sum"},
                },
            }
        },
        "results": {"out": "it"},
    }
    nodes = {
        "one": ONE,
        "sweep": {
            "type": "for_each",
            "params": {"over": {"n": [1, 2, 3]}},
            "body": {
                "nodes": {"p": {"type": "power", "wires": {"base": "one", "n": "sweep.item.n"}}},
                "results": {"powers": "p"},
            },
        },
    }
    assert values(engine, nodes, "sweep.powers", power=power) == [[2, 4, 8]]


def test_definitions_of_definitions_pass_on_lists_names_and_results(engine: Engine) -> None:
    twice = {
        "inputs": ["x", "all"],
        "nodes": {
            "first": {"type": "line", "wires": {"x": "inputs.x"}, "params": {"slope": 2}},
            "second": {"type": "line", "wires": {"x": "first.out"}, "params": {"slope": 2}},
            "sum": {"type": "total", "wires": {"numbers": ["second.out", "inputs.all"]}},
        },
        "results": {"out": "sum", "unchanged": "inputs.x"},
    }
    nodes = {
        "one": ONE,
        "t": {"type": "twice", "wires": {"x": "one", "all": ["one", "one"]}},
        "n": {"type": "largest", "wires": {"numbers": {"a": "t.out", "b": "t.unchanged"}}},
    }
    assert values(engine, nodes, "n", "t.unchanged", line=LINE, twice=twice) == [6, 1]


def test_a_muted_use_is_not_there(engine: Engine) -> None:
    nodes = {
        "one": ONE,
        "off": {"type": "line", "wires": {"x": "one"}, "mode": "mute"},
        "sum": {"type": "total", "wires": {"numbers": ["one", "off.out"]}},
    }
    assert values(engine, nodes, "sum", line=LINE) == [1]


def test_problems_name_the_use_and_what_is_inside(problems: Callable[..., list[Problem]]) -> None:
    def found(use: dict[str, Any], wire: str = "u.out", **definitions: Any) -> list[tuple[str, str, str]]:
        nodes = {"one": ONE, "u": use, "r": {"type": "record", "wires": {"x": wire}}}
        told = problems(nodes, **({"line": LINE} | definitions))
        return [(p.node, p.port, str(p)) for p in told]

    fine = {"type": "line", "wires": {"x": "one"}}
    assert found(fine) == []
    [(node, port, text)] = found({"type": "line", "wires": {"x": "one", "slop": "one"}})
    assert (node, port) == ("u", "slop")
    assert "Did you mean 'slope'?" in text
    [(node, port, text)] = found(fine, "u.oout")
    assert (node, port) == ("u", "oout")
    assert "gives no result 'oout'. Did you mean 'out'?" in text
    [(node, port, text)] = found({"type": "line"})
    assert (node, port) == ("u/scaled", "x")
    [(node, port, text)] = found({**fine, "mode": "bypass"})
    assert node == "u"
    assert "cannot be bypassed" in text
    [(node, _, text)] = found({"type": "own"}, own={"nodes": {"o": {"type": "own"}}, "results": {"out": "o"}})
    assert node == "u/o"
    assert "uses itself (own → own)" in text
    [(node, port, text)] = found(fine, line={**LINE, "inputs": ["x"], "results": {"out": "scaled"}, "nodes": {
        "scaled": {"type": "scale", "wires": {"x": "inputs.x", "by": "inputs.steepness"}}}})  # fmt: skip
    assert (node, port) == ("u", "steepness")
    assert "has no input 'steepness'" in text
    all_ = {
        "inputs": ["n"],
        "nodes": {"t": {"type": "total", "wires": {"numbers": ["inputs.n"]}}},
        "results": {"out": "t"},
    }
    [(node, port, text)] = found({"type": "sum_of", "params": {"n": 1}}, sum_of=all_)
    assert (node, port) == ("u", "n")
    assert "needed as a wire" in text


def test_uses_that_only_hand_on_each_others_results_are_refused(problems: Callable[..., list[Problem]]) -> None:
    passing = {"inputs": ["x"], "nodes": {}, "results": {"out": "inputs.x"}}
    nodes = {
        "a": {"type": "passing", "wires": {"x": "b.out"}},
        "b": {"type": "passing", "wires": {"x": "a.out"}},
        "r": {"type": "record", "wires": {"x": "a.out"}},
    }
    assert "hand on each other's results" in str(problems(nodes, passing=passing)[0])
    listing = {**passing, "results": {"out": ["inputs.x"]}}
    assert "hand on each other's results" in str(problems(nodes, passing=listing)[0])


def test_exposed_reaches_inputs_and_results_of_a_use(
    problems: Callable[..., list[Problem]], registry: Registry
) -> None:
    nodes = {"one": ONE, "u": {"type": "line", "wires": {"x": "one"}, "params": {"slope": 2}}}
    exposed = {"params": {"slope": "u.slope", "p": "u.nothing"}, "outputs": {"out": "u.out", "o": "u.nothing"}}
    workflow = graph(nodes, definitions={"line": LINE}, exposed=exposed)
    assert [(p.node, p.port) for p in validate(workflow, registry)[1]] == [("exposed", "p"), ("exposed", "o")]


def test_asking_for_a_result_that_a_use_does_not_give(engine: Engine) -> None:
    nodes = {"one": ONE, "u": {"type": "line", "wires": {"x": "one"}}}
    with pytest.raises(WorkflowError, match=r"'u' has no output 'up'\. It can be 'out', 'steep'"):
        values(engine, nodes, "u.up", line=LINE)
