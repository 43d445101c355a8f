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


TWICE = {
    "inputs": ["x", "y", "weight"],
    "body": {"ports": ["v", "other"], "results": ["found"]},
    "nodes": {
        "first": {"type": "body", "wires": {"v": "inputs.x", "other": "inputs.y"}},
        "second": {"type": "body", "wires": {"v": "inputs.y", "other": "first.found"}},
        "heavier": {"type": "scale", "wires": {"x": "second.found", "by": "inputs.weight"}},
        "sum": {"type": "add", "wires": {"a": "first.found", "b": "heavier"}},
    },
    "results": {"out": "sum"},
}
"""Calls its body twice: f(x, y) + weight · f(y, f(x, y))."""


def with_body(nodes: dict[str, Any], result: str, **more: Any) -> dict[str, Any]:
    return {"type": "twice", "body": {"nodes": nodes, "results": {"found": result}}, **more}


def test_a_definition_calls_the_body_of_each_use(engine: Engine) -> None:
    """A guided denoiser, as it were, in two loops: each use has a body of its own that reads what is around it."""
    inner = {"a": {"type": "add", "wires": {"a": "u.v", "b": "u.other"}}, "b": {"type": "scale", "wires": {"x": "a"}, "params": {"by": 2}}}  # fmt: skip
    loop = {
        "type": "iterate",
        "wires": {"x": "one"},
        "params": {"n": 2},
        "body": {
            "nodes": {
                "w": with_body({"c": {"type": "add", "wires": {"a": "w.v", "b": "three"}}}, "c", wires={"x": "it.x", "y": "one"}, params={"weight": 1})
            },
            "results": {"number": "w"},
        },
    }  # fmt: skip
    nodes = {
        "one": ONE,
        "three": {"type": "number", "params": {"value": 3}},
        "u": with_body(inner, "b", wires={"x": "one", "y": "three"}, params={"weight": 10}),
        "it": loop,
    }
    f = lambda v, other: 2 * (v + other)  # noqa: E731
    assert values(engine, nodes, "u", twice=TWICE) == [f(1, 3) + 10 * f(3, f(1, 3))]
    g = lambda x: (x + 3) + (1 + 3)  # noqa: E731
    assert values(engine, nodes, "it", twice=TWICE) == [g(g(1))]


def test_bodies_hold_zones_uses_and_inner_ports_of_each_other(engine: Engine) -> None:
    """A use in a use's body, a zone around the call, a definition that hands its body on to another."""
    looped = {
        "inputs": ["start"],
        "body": {"ports": ["now"], "results": ["next"]},
        "nodes": {
            "loop": {
                "type": "iterate",
                "wires": {"x": "inputs.start"},
                "params": {"n": 3},
                "body": {
                    "nodes": {"turn": {"type": "body", "wires": {"now": "loop.x"}}},
                    "results": {"number": "turn"},
                },
            }
        },
        "results": {"out": "loop"},
    }
    handing = {
        "inputs": ["a"],
        "body": {"ports": ["p"], "results": ["r"]},
        "nodes": {
            "l": {
                "type": "looped",
                "wires": {"start": "inputs.a"},
                "body": {
                    "nodes": {
                        "mine": {"type": "body", "wires": {"p": "l.now"}},
                        "more": {"type": "add", "wires": {"a": "mine.r", "b": "inputs.a"}},
                    },
                    "results": {"next": "more"},
                },
            }
        },
        "results": {"out": "l.out"},
    }
    inner = {
        "deep": {
            "type": "looped",
            "wires": {"start": "h.p"},
            "body": {
                "nodes": {
                    "g": {"type": "group", "body": {"nodes": {"d": {"type": "scale", "wires": {"x": "deep.now"}, "params": {"by": 2}}}, "results": {"v": "d"}}}
                },
                "results": {"next": "g.v"},
            },
        }
    }  # fmt: skip
    nodes = {
        "one": ONE,
        "h": {"type": "handing", "wires": {"a": "one"}, "body": {"nodes": inner, "results": {"r": "deep"}}},
    }
    x = 1
    for _ in range(3):
        x = 8 * x + 1
    assert values(engine, nodes, "h", looped=looped, handing=handing) == [x]


def test_one_mistake_about_a_body_is_one_problem(problems: Callable[..., list[Problem]]) -> None:
    def found(use: dict[str, Any], **more: Any) -> list[tuple[str, str, str]]:
        nodes = {"one": ONE, "u": use, "r": {"type": "record", "wires": {"x": "u.out"}}}
        return [(p.node, p.port, str(p)) for p in problems(nodes, **({"twice": TWICE, "line": LINE} | more))]

    given = {"wires": {"x": "one", "y": "one"}, "params": {"weight": 1}}
    fine = {"c": {"type": "add", "wires": {"a": "u.v", "b": "u.other"}}}
    assert found(with_body(fine, "c", **given)) == []
    [(node, port, text)] = found({"type": "twice", **given})
    assert (node, port) == ("u", "body")
    assert "is a zone and has no body" in text
    [(node, port, text)] = found({"type": "line", "wires": {"x": "one"}, "params": {"slope": 1}, "body": {"nodes": {}}})
    assert (node, port) == ("u", "body")
    assert "takes no body" in text
    [(node, port, text)] = found({"type": "twice", **given, "body": {"nodes": fine, "results": {}}})
    assert (node, port) == ("u", "results.found")
    [(node, port, text)] = found({"type": "twice", **given, "body": {"nodes": fine, "results": {"fund": "c"}}})
    assert (node, port) == ("u", "results.fund")
    assert "Did you mean 'found'?" in text
    [(node, port, text)] = found(with_body({"c": {"type": "scale", "wires": {"x": "u.w"}}}, "c", **given))
    assert (node, port) == ("u", "body")
    assert "'u' has no inner port 'w'" in text
    [(node, port, text)] = found(with_body({"c": {"type": "scal", "wires": {"x": "u.v"}}}, "c", **given))
    assert node == "u/first/c", "told once, though the body is called twice"
    assert "unknown node type" in text
    [(node, port, text)] = found(with_body({}, "u.other", **given), twice={**TWICE, "nodes": {**TWICE["nodes"], "first": {"type": "body", "wires": {"v": "inputs.x", "other": "second.found"}}}})  # fmt: skip
    assert "is made of itself" in text
    unwired = {**TWICE["nodes"], "second": {"type": "body", "wires": {"v": "inputs.y"}}}
    [(node, port, text)] = found(with_body(fine, "c", **given), twice={**TWICE, "nodes": unwired})
    assert (node, port) == ("u/second", "other")
    twins = {"c": ONE, "g": {"type": "group", "body": {"nodes": {"one": ONE}}}}
    [(node, port, text)] = found(with_body(twins, "c", **given))
    assert (node, port) == ("one", "")


def test_a_mistake_in_a_definition_is_told_once_and_a_missing_input_once_a_use(
    problems: Callable[..., list[Problem]],
) -> None:
    wrong = {**LINE, "nodes": {**LINE["nodes"], "odd": {"type": "nunber"}}}
    uses = {name: {"type": "line", "wires": {"x": "one"}} for name in ("a", "b", "c")}
    told = problems({"one": ONE, **uses}, line=wrong)
    assert [(p.node, p.message) for p in told] == [("a/odd", "unknown node type 'nunber'")]
    both = {
        "inputs": ["x"],
        "nodes": {"s": {"type": "scale", "wires": {"x": "inputs.x"}}, "t": {"type": "add", "wires": {"a": "inputs.x", "b": "inputs.x"}}},
        "results": {"out": "t"},
    }  # fmt: skip
    told = problems({"u": {"type": "both"}, "v": {"type": "both"}}, both=both)
    assert [(p.node, p.port, p.remedy) for p in told] == [
        ("u/s", "x", "Give 'x' of 'u'"),
        ("v/s", "x", "Give 'x' of 'v'"),
    ]


def test_bodies_that_multiply_are_counted_before_they_are_made(problems: Callable[..., list[Problem]]) -> None:
    calls = {f"c{i}": {"type": "body", "wires": {"p": "inputs.x"}} for i in range(30)}
    many = {"inputs": ["x"], "body": {"ports": ["p"], "results": ["r"]}, "nodes": calls, "results": {"out": "c0"}}
    inner: dict[str, Any] = {"n": {"type": "scale", "wires": {"x": "u0.p"}}}
    result = "n"
    for i in range(6):
        inner = {
            f"u{i}": {"type": "many", "wires": {"x": f"u{i + 1}.p"}, "body": {"nodes": inner, "results": {"r": result}}}
        }
        result = f"u{i}"
    [problem] = problems({"u6": {"type": "many", "body": {"nodes": inner, "results": {"r": result}}}}, many=many)
    assert "at most 20,000 are possible" in problem.message
