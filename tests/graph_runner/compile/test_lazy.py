"""Values that nobody needs are not computed: inputs that a node does not always read, and what a switch does not run or pass on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from graph_runner.bind.validate import validate
from graph_runner.contract import ContractError, node
from graph_runner.contract.registry import Registry
from graph_runner.estimate.dry import dry_run
from graph_runner.run.engine import Result
from tests.graph_runner.conftest import TOYS, graph
from tests.graph_runner.drawing import ONE, noted, record, repeat, scale
from tests.graph_runner.toys import CALLS, Number

Run = Callable[..., Result]


@node(category="toy", lazy={"b": lambda share: share != 0})
def mix(a: Number, b: Number, share: float = 0.5) -> Number:
    """A share of b in a."""
    return a if share == 0 else torch.lerp(a, b, share)


@node(category="toy")
def odd(i: int) -> float:
    """1 for odd numbers, 0 for even ones."""
    return float(i % 2)


@node(category="toy")
def value_of(x: Number) -> float:
    """A number as a plain one."""
    return float(x)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan([*TOYS, __name__])


def mixing(share: Any = None, **more: Any) -> dict[str, Any]:
    """A loop of four iterations whose body mixes, and logs what it computes for that."""
    inner = {
        "b0": noted("loop.state.x", "before"),
        "b": noted("b0", "b"),
        "odd": {"type": "odd", "wires": {"i": "loop.iteration"}},
        "mix": {"type": "mix", "wires": {"a": "loop.state.x", "b": "b"}},
        **more,
    }
    if share is None:
        inner["mix"]["wires"]["share"] = "odd"
    else:
        inner["mix"]["params"] = {"share": share}
    return {"one": ONE, "loop": repeat(4, inner, "mix")}


@pytest.mark.parametrize(("share", "times"), [(None, 2), (0, 0), (0.5, 4)])
def test_what_only_an_unread_input_needs_is_not_computed(run: Run, share: Any, times: int) -> None:
    assert float(run(mixing(share), "loop.x").values["loop.x"]) == 1
    assert CALLS.count("b") == CALLS.count("before") == times


@pytest.mark.parametrize(
    "reader",
    [
        {"also": record("b")},
        {"look": {"type": "every", "params": {"steps": 9}, "body": {"nodes": {"r": record("b")}}}},
        {"g": {"type": "group", "body": {"nodes": {"r": record("b")}}}},
    ],
    ids=["an effect", "a callback", "a zone"],
)
def test_what_another_reads_is_computed(run: Run, reader: dict[str, Any]) -> None:
    run(mixing(0, **reader), "loop.x")
    assert CALLS.count("b") == 4


def test_what_says_itself_whether_it_is_read_is_computed(run: Run) -> None:
    nodes = mixing()
    inner = nodes["loop"]["body"]["nodes"]
    inner["share"] = {"type": "value_of", "wires": {"x": "b"}}
    inner["mix"]["wires"]["share"] = "share"
    assert float(run(nodes, "loop.x").values["loop.x"]) == 1
    assert CALLS.count("b") == 4


def test_one_of_two_readers_is_enough(run: Run) -> None:
    more = {"second": {"type": "mix", "wires": {"a": "mix", "b": "b"}, "params": {"share": 0.25}}}
    nodes = mixing(**more)
    nodes["loop"]["body"]["results"]["x"] = "second"
    run(nodes, "loop.x")
    assert CALLS.count("b") == 4


def test_of_a_switch_only_the_way_that_is_taken_is_computed(run: Run) -> None:
    """Wherever it is drawn: what the body reads from outside of it, and what passes by."""
    inner = {
        "odd": {"type": "odd", "wires": {"i": "loop.iteration"}},
        "yes": noted("loop.state.x", "yes"),
        "no": noted("loop.state.x", "no"),
        "s": {
            "type": "switch",
            "wires": {"when": "odd", "otherwise": {"y": "no"}},
            "body": {"nodes": {"twice": scale("yes", 2)}, "results": {"y": "twice"}},
        },
    }
    assert float(run({"one": ONE, "loop": repeat(5, inner, "s.y")}, "loop.x").values["loop.x"]) == 4
    assert CALLS == ["no", "yes", "no", "yes", "no"]


def test_what_both_ways_of_a_switch_read_is_computed(run: Run) -> None:
    inner = {
        "odd": {"type": "odd", "wires": {"i": "loop.iteration"}},
        "both": noted("loop.state.x", "both"),
        "s": {
            "type": "switch",
            "wires": {"when": "odd", "otherwise": {"y": "both"}},
            "body": {"nodes": {"twice": scale("both", 2)}, "results": {"y": "twice"}},
        },
    }
    assert float(run({"one": ONE, "loop": repeat(5, inner, "s.y")}, "loop.x").values["loop.x"]) == 4
    assert CALLS == ["both"] * 5


def test_calls_that_are_joined_are_made_alone_where_the_other_is_not_needed(run: Run) -> None:
    inner = {
        "odd": {"type": "odd", "wires": {"i": "loop.iteration"}},
        "a": {"type": "joined", "wires": {"x": "loop.state.x", "model": "model"}},
        "b": {"type": "joined", "wires": {"x": "loop.state.x", "model": "model"}},
        "mix": {"type": "mix", "wires": {"a": "a", "b": "b", "share": "odd"}},
    }
    row = {"type": "row"}
    nodes = {"model": {"type": "scalar_model"}, "row": row, "loop": repeat(4, inner, "mix", x="row")}
    run(nodes, "loop.x")
    assert [label for label in CALLS if label.startswith("joined")] == ["joined 1", "joined 2"] * 2


@node(category="toy")
def row() -> Number:
    """A batch of one."""
    return torch.ones(1)


def test_a_dry_run_counts_what_may_be_needed(registry: Registry, tmp_path: Path) -> None:
    top, _ = validate(graph(mixing()), registry)
    estimate = dry_run(top, tmp_path)
    assert not estimate.problems
    assert estimate.nodes["b"].runs == 4


def test_a_node_that_says_it_wrongly_is_refused() -> None:
    def half(a: Number, share: float = 0.0) -> Number:
        """A half."""
        return a

    with pytest.raises(ContractError, match="lazy names 'b', which is no wired input"):
        node(category="toy", lazy={"b": lambda share: share})(half)
    with pytest.raises(ContractError, match="whether 'a' is read goes by 'b', which is no parameter"):
        node(category="toy", lazy={"a": lambda b: b})(half)
