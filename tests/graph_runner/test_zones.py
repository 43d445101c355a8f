"""Zones: loops, groups and previews, and gradients taken through them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, Protocol

import pytest

from graph_runner import zones
from graph_runner.contract import Body, Ports, node
from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Result
from graph_runner.run.failures import NodeError
from tests.graph_runner.conftest import TOYS
from tests.graph_runner.drawing import ONE, every, noted, record, repeat, scale, sweep
from tests.graph_runner.toys import CALLS, RECORDED, Number

Run = Callable[..., Result]


class Found(NamedTuple):
    best: Number
    second: Number | None
    rest: Ports[Number]


class Search(Protocol):
    def __call__(self) -> Found: ...


@node(category="toy")
def search(body: Body[Search]) -> Number:
    """Count what the body gave."""
    found = body()
    return found.best + (0 if found.second is None else 10) + 100 * len(found.rest)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan([*TOYS, __name__])


def test_for_each_over_typed_lists(run: Run) -> None:
    inner = {"s": {"type": "scale", "wires": {"x": "one", "by": "z.item.by"}}, "r": record("s")}
    nodes = {"one": ONE, "z": sweep(inner, {"scaled": "s", "turns": "z.index"}, {"by": [2, 0.5, -1]})}
    values = run(nodes, "z").values
    assert [float(x) for x in values["z.scaled"]] == [2, 0.5, -1]
    assert values["z.turns"] == [0, 1, 2]
    assert RECORDED["x"] == [2, 0.5, -1]


def test_for_each_over_wired_lists_side_by_side(run: Run) -> None:
    first = sweep({"s": {"type": "scale", "wires": {"x": "one", "by": "a.item.by"}}}, {"n": "s"}, {"by": [1, 2, 3]})
    both = sweep(
        {"sum": {"type": "add", "wires": {"a": "b.item.x", "b": "b.item.y"}}}, {"sums": "sum"}, x="a.n", y="a.n"
    )
    nodes = {"one": ONE, "a": first, "b": both, "all": {"type": "total", "wires": {"numbers": "b.sums"}}}
    assert float(run(nodes, "all").values["all"]) == 12


def test_for_each_over_nothing_and_over_lists_of_different_lengths(run: Run) -> None:
    inner = {"s": {"type": "scale", "wires": {"x": "one", "by": "z.item.a"}}}
    assert run({"one": ONE, "z": sweep(inner, {"n": "s"}, {"a": []})}, "z.n").values["z.n"] == []
    nodes = {"one": ONE, "z": sweep(inner, {"n": "s"}, {"a": [1], "b": [1, 2]})}
    with pytest.raises(NodeError, match=r"z: the lists of 'over' have different lengths \(\{'a': 1, 'b': 2\}\)"):
        run(nodes, "z.n")


def test_repeat_carries_several_states_and_zero_turns_change_nothing(run: Run) -> None:
    inner = {"next": {"type": "add", "wires": {"a": "f.state.a", "b": "f.state.b"}}}
    fibonacci = {
        "type": "repeat",
        "wires": {"state": {"a": "one", "b": "one"}},
        "params": {"iterations": 6},
        "body": {"nodes": inner, "results": {"a": "f.state.b", "b": "next"}},
    }
    values = run({"one": ONE, "f": fibonacci}, "f").values
    assert (float(values["f.a"]), float(values["f.b"])) == (13, 21)
    fibonacci["params"] = {"iterations": 0}
    assert float(run({"one": ONE, "f": fibonacci}, "f.b").values["f.b"]) == 1


def test_repeat_with_a_typed_state(run: Run) -> None:
    state = {
        "type": "repeat",
        "params": {"iterations": 3, "state": {"last": 7}},
        "body": {"nodes": {}, "results": {"last": "z.iteration"}},
    }
    assert run({"z": state}, "z.last").values["z.last"] == 2


def test_group_runs_its_body_once(run: Run) -> None:
    body = {"nodes": {"twice": scale("one", 2), "more": scale("twice", 2)}, "results": {"a": "twice", "b": "more"}}
    values = run({"one": ONE, "g": {"type": "group", "body": body}}, "g").values
    assert (float(values["g.a"]), float(values["g.b"])) == (2, 4)


def test_optional_and_named_results_may_be_left_out(run: Run) -> None:
    body = {"nodes": {}, "results": {"best": "one"}}
    assert float(run({"one": ONE, "s": {"type": "search", "body": body}}, "s").values["s"]) == 1
    body["results"] |= {"second": "one", "rest.a": "one", "rest.b": "one"}
    assert float(run({"one": ONE, "s": {"type": "search", "body": body}}, "s").values["s"]) == 211


def test_every_runs_each_nth_turn_and_after_the_last_with_that_turns_values(run: Run) -> None:
    inner = {
        "next": scale("loop.state.x", 2),
        "look": every(
            3, {"new": record("next", "new"), "old": record("loop.state.x", "old"), "fixed": record("one", "o")}
        ),
        "often": every(2, {"r": record("next", "often")}),
    }
    run({"one": ONE, "loop": repeat(7, inner, "next")}, "loop.x")
    assert RECORDED == {"new": [8, 64, 128], "old": [4, 32, 64], "o": [1, 1, 1], "often": [4, 16, 64, 128]}


def test_every_with_a_zone_inside_and_failing(run: Run) -> None:
    inner = {
        "next": scale("loop.state.x", 2),
        "look": every(2, {"sum": repeat(3, {"a": {"type": "add", "wires": {"a": "sum.state.x", "b": "next"}}}, "a"),
                          "r": record("sum.x")}),
    }  # fmt: skip
    run({"one": ONE, "loop": repeat(2, inner, "next")}, "loop.x")
    assert RECORDED["x"] == [13]
    inner["look"]["body"]["nodes"]["bad"] = {"type": "fail", "wires": {"x": "next"}}
    inner["look"]["body"]["nodes"]["show"] = record("bad")
    run({"one": ONE, "loop": repeat(2, inner, "next")}, "loop.x")  # an edited preview: the loop is not run again
    with pytest.raises(NodeError, match="bad: the toy broke"):
        run({"one": ONE, "loop": repeat(2, inner, "next")}, "loop.x", fresh=True)


# Gradients


def test_a_node_differentiates_through_its_zone_while_gradients_are_off(run: Run) -> None:
    inner = {
        "model_out": {"type": "apply", "wires": {"model": "model", "x": "it.x"}},
        "square": {"type": "square", "wires": {"x": "model_out"}},
        "dy": {"type": "slope", "wires": {"y": "square", "x": "it.x"}},
        "down": scale("dy", -0.125),
        "next": {"type": "add", "wires": {"a": "it.x", "b": "down"}},
        "r": record("square"),
    }
    it = {
        "type": "iterate",
        "wires": {"x": "one"},
        "params": {"n": 3},
        "body": {"nodes": inner, "results": {"number": "next"}},
    }
    nodes = {"one": ONE, "model": {"type": "scalar_model", "params": {"weight": 2}}, "it": it}
    value = run(nodes, "it").values["it"]
    assert value == 0, "(2x)² has slope 8x, an eighth of it leads to 0"
    assert RECORDED["x"] == [4, 0, 0]
    assert not value.requires_grad


def test_what_differentiates_may_have_a_zone_on_its_way(run: Run) -> None:
    inner = {
        "g": {
            "type": "group",
            "body": {"nodes": {"sq": {"type": "square", "wires": {"x": "it.x"}}}, "results": {"y": "sq"}},
        },
        "dy": {"type": "slope", "wires": {"y": "g.y", "x": "it.x"}},
    }
    it = {
        "type": "iterate",
        "wires": {"x": "one"},
        "params": {"n": 2},
        "body": {"nodes": inner, "results": {"number": "dy"}},
    }
    assert float(run({"one": ONE, "it": it}, "it").values["it"]) == 4


def test_a_model_that_trains_may_pass_through_nodes(run: Run) -> None:
    """A node that hands a model on does not put it to rest, nor does a preview of it."""
    inner = {
        "on": {"type": "same", "wires": {"x": "fit.models.m"}},
        "y": {"type": "apply", "wires": {"model": "on", "x": "one"}},
        "loss": {"type": "square", "wires": {"x": "y"}},
        "look": every(1, {"on2": {"type": "same", "wires": {"x": "fit.models.m"}},
                          "w": {"type": "weight_of", "wires": {"model": "on2"}}, "r": record("w", "w")}),
    }  # fmt: skip
    nodes = {
        "one": ONE,
        "model": {"type": "scalar_model"},
        "fit": {
            "type": "learn",
            "wires": {"models": {"m": "model"}},
            "body": {"nodes": inner, "results": {"number": "loss"}},
        },
        "again": {"type": "same", "wires": {"x": "fit.m"}},
    }
    model = run(nodes, "again").values["again"]
    assert RECORDED["w"] == pytest.approx([0.8, 0.64, 0.512])
    assert float(model.weight) == pytest.approx(0.512)
    assert not model.training
    assert not model.weight.requires_grad


class Looking:
    """An observer that writes down what it is shown."""

    def __init__(self) -> None:
        self.turns: list[tuple[str, int, float]] = []
        self.values: dict[str, Any] = {}

    def on_values(self, node: str, values: Any, types: Any) -> None:
        assert values.keys() <= types.keys()
        self.values[node] = [float(value) for value in values.values()]

    def on_turn(self, folder: Path, zone: str, turn: int, given: Any) -> None:
        assert folder.is_dir()
        self.turns.append((zone, turn, float(given["state"]["x"])))


def test_an_observer_sees_what_the_loops_of_the_top_are_at(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graph_runner.run.loop.PROGRESS_SECONDS", 0.0)
    looking = Looking()
    inner = {"half": scale("outer.state.x", 0.5), "inner": repeat(2, {"s": scale("inner.state.x", 1)}, "s", x="half")}
    nodes = {"one": ONE, "outer": repeat(3, inner, "inner.x")}
    run(nodes, "outer.x", observer=looking)
    assert looking.turns == [("outer", 0, 1), ("outer", 1, 0.5), ("outer", 2, 0.25)]


def test_an_observer_sees_what_nodes_at_the_top_give_computed_or_not(run: Run) -> None:
    nodes = {"one": ONE, "loop": repeat(2, {"half": scale("loop.state.x", 0.5)}, "half")}
    for _ in range(2):
        looking = Looking()
        run(nodes, "one", "loop.x", observer=looking)
        assert looking.values == {"one": [1], "loop": [0.25]}


@pytest.mark.parametrize("clock", ["wall", "processor"])
def test_timed_tells_the_least_time_of_its_runs_and_gives_what_the_last_gave(
    run: Run, monkeypatch: pytest.MonkeyPatch, clock: str
) -> None:
    readings = iter([0.0, 5.0, 10.0, 12.5, 20.0, 29.0])
    other = "process_time" if clock == "wall" else "perf_counter"
    asked = "perf_counter" if clock == "wall" else "process_time"
    monkeypatch.setattr(zones, "time", SimpleNamespace(**{asked: lambda: next(readings), other: lambda: 0.0}))
    inner = {"drawn": {"type": "random_number"}, "r": record("drawn"), "constant": noted("one", "constant")}
    body = {"nodes": inner, "results": {"x": "drawn", "y": "constant"}}
    timed = {"type": "timed", "params": {"runs": 3, "clock": clock}, "body": body}
    values = run({"one": ONE, "clocked": timed}, "clocked").values
    assert values["clocked.seconds"] == 2.5
    assert len(set(RECORDED["x"])) == 3, "each run draws anew"
    assert CALLS == ["constant"] * 3, "and does all of it"
    assert float(values["clocked.results.x"]) == pytest.approx(RECORDED["x"][-1])
