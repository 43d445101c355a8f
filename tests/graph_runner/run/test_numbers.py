"""Values that are no numbers: the error names the node where they came up first, its turn, and weights or activations."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
import torch
from torch import Tensor, nn

from graph_runner.base import events
from graph_runner.context import Loop
from graph_runner.contract import Body, Field, node
from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Engine, Result
from graph_runner.run.failures import NodeError
from graph_runner.run.numbers import non_finite
from tests.graph_runner.conftest import TOYS, graph
from tests.graph_runner.drawing import ONE, every, noted, record, repeat, scale, sweep
from tests.graph_runner.toys import CALLS, RECORDED, Counter, Model, Number, Step


@node(category="toy", effect=True)
def show_finite(x: Number, label: str = "shown") -> None:
    """Show a number, and refuse what is none."""
    if not math.isfinite(float(x)):
        raise FloatingPointError("the number to show is none")
    RECORDED.setdefault(label, []).append(float(x))


@node(category="toy")
def root(x: Number, above: Annotated[float, Field()] = 0.0) -> Number:
    """A root, which is NaN of what is too small."""
    CALLS.append("root")
    return (x - above).sqrt()


@node(category="toy", mutates=("model",))
def spoil(model: Model) -> Model:
    """A model whose weight is no number any more."""
    with torch.no_grad():
        model.weight.fill_(float("nan"))
    return model


@node(category="toy", keep=True, continues="n")
def trained(body: Body[Step], x: Number, loop: Loop, n: int = 3) -> Number:
    """A loop with checkpoints, which refuses to go on from what is no number."""
    state = Counter(x)
    for _ in loop(n, state=state):
        CALLS.append("turn")
        state.x = body(state.x)
        if not bool(state.x.isfinite()):
            raise FloatingPointError("the loss became nan")
    return state.x


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan([*TOYS, __name__])


Run = Callable[..., Result]
SHOW = {"type": "show_finite", "wires": {"x": "y"}}


def failure(run: Run, nodes: dict[str, Any], **options: Any) -> tuple[NodeError, list[events.Event]]:
    """The error a run ends with, and what was told."""
    result = run(nodes, raise_errors=False, **options)
    assert result.status == "failed"
    assert result.error is not None
    [failed] = [event for event in result.events if isinstance(event, events.Failed)]
    assert (failed.node, failed.message) == (result.error.node, str(result.error)), (
        "told once, with the node it began at"
    )
    return result.error, result.events


def test_the_node_that_gave_the_first_nan_is_named_and_who_refused_it(run: Run) -> None:
    nodes = {
        "one": ONE,
        "r": {"type": "root", "wires": {"x": "one"}, "params": {"above": 2}},
        "y": scale("r", 2),
        "s": SHOW,
    }
    error, told = failure(run, nodes)
    assert error.node == "r"
    assert "1 of 1 values are NaN in what it gives" in str(error)
    assert "all that it was given are numbers" in str(error)
    assert str(error).endswith("s refused what came of it: the number to show is none")
    [log] = [event for event in told if isinstance(event, events.Log)]
    assert log.node == "s"
    assert "Going through it again" in log.message


@pytest.mark.parametrize("within", ["repeat", "for_each"])
def test_in_a_loop_the_turn_is_told(run: Run, within: str) -> None:
    if within == "repeat":
        inner = {
            "less": {"type": "add", "wires": {"a": "z.state.x", "b": "minus"}},
            "r": {"type": "root", "wires": {"x": "less"}},
        }
        zone = repeat(5, inner, "less")
        inner["keep"] = record("r")
        nodes = {"one": ONE, "minus": {"type": "number", "params": {"value": -0.4}}, "z": zone, "y": scale("z.x", 1)}
        inner["s"] = {"type": "show_finite", "wires": {"x": "r"}}
    else:
        inner = {
            "r": {"type": "root", "wires": {"x": "one", "above": "z.item.above"}},
            "s": {**SHOW, "wires": {"x": "r"}},
        }
        nodes = {"one": ONE, "z": sweep(inner, {"all": "r"}, {"above": [0, 0.5, 2]})}
    error, _ = failure(run, nodes)
    assert error.node == "r"
    assert ", in step 3 of z. s refused" in str(error)


def test_spoilt_weights_are_told_from_activations(run: Run) -> None:
    nodes = {
        "one": ONE,
        "m": {"type": "scalar_model"},
        "y": {"type": "apply", "wires": {"model": "m", "x": "one"}},
        "s": SHOW,
    }
    assert run(nodes).status == "done"
    nodes["bad"] = {"type": "spoil", "wires": {"model": "m"}}
    nodes["y"] = {"type": "apply", "wires": {"model": "bad", "x": "one"}}
    error, _ = failure(run, nodes)
    assert error.node == "bad"
    assert "(weight)" in str(error)


def test_what_a_loop_spoils_is_told_at_the_node_that_reads_it(registry: Registry, tmp_path: Path) -> None:
    """The zone changes the weights itself, as a training does: the first node that meets them says that it was the weights."""
    lesson = {
        "y": {"type": "apply", "wires": {"model": "fit.models.m", "x": "one"}},
        "big": {"type": "scale", "wires": {"x": "y"}, "params": {"by": 3e38}},
        "huge": {"type": "scale", "wires": {"x": "big"}, "params": {"by": 0.5}},
        "look": every(
            1,
            {
                "again": {"type": "weight_of", "wires": {"model": "fit.models.m"}},
                "s": {**SHOW, "wires": {"x": "again"}},
            },
        ),
    }
    zone = {
        "type": "learn",
        "wires": {"models": {"m": "m"}},
        "params": {"n": 40},
        "body": {"nodes": lesson, "results": {"number": "huge"}},
    }
    nodes = {
        "one": ONE,
        "m": {"type": "scalar_model"},
        "fit": zone,
        "y2": {"type": "weight_of", "wires": {"model": "fit.m"}},
    }
    result = Engine(registry, tmp_path).run(graph(nodes), targets=["y2"], raise_errors=False)
    assert result.error is not None
    assert result.error.node in ("again", "y", "big")
    assert " of fit" in str(result.error)


def test_a_cached_value_that_is_no_number_is_gone_through_again(run: Run) -> None:
    nodes = {"one": ONE, "r": {"type": "root", "wires": {"x": "one"}, "params": {"above": 2}}, "y": scale("r", 2)}
    assert math.isnan(float(run(nodes, "y").values["y"])), "nobody refused it"
    error, told = failure(run, {**nodes, "s": SHOW})
    assert error.node == "r"
    assert {event.node for event in told if isinstance(event, events.Cached)} == {"y"}


def test_what_is_no_number_is_not_kept_on_disk(registry: Registry, tmp_path: Path) -> None:
    nodes = {
        "one": ONE,
        "r": {"type": "root", "wires": {"x": "one"}, "params": {"above": 2}},
        "k": noted("r", "k", "kept"),
    }
    for _ in range(2):
        Engine(registry, tmp_path).run(graph(nodes), targets=["k"])
    assert CALLS.count("k") == 2
    nodes["r"]["params"]["above"] = 0
    for _ in range(2):
        Engine(registry, tmp_path).run(graph(nodes), targets=["k"])
    assert CALLS.count("k") == 3


def test_a_search_begins_at_the_last_checkpoint_and_writes_none(registry: Registry, tmp_path: Path) -> None:
    inner = {"less": {"type": "add", "wires": {"a": "t.x", "b": "minus"}}, "r": {"type": "root", "wires": {"x": "less"}},
             "next": {"type": "add", "wires": {"a": "less", "b": "nothing"}},
             "nothing": {"type": "scale", "wires": {"x": "r"}, "params": {"by": 0}}, "save": record("less", "seen")}  # fmt: skip
    zone = {
        "type": "trained",
        "wires": {"x": "one"},
        "params": {"n": 9},
        "body": {"nodes": inner, "results": {"number": "next"}},
    }
    nodes = {"one": ONE, "minus": {"type": "number", "params": {"value": -0.15}}, "t": zone}
    engine = Engine(registry, tmp_path)
    result = engine.run(graph(nodes), targets=["t"], checkpoint_seconds=0, raise_errors=False)
    assert result.error is not None
    assert result.error.node == "r"
    assert ", in step 7 of t. t refused" in str(result.error)
    assert CALLS.count("turn") == 8, "seven turns, and the seventh again"
    assert len(RECORDED["seen"]) == 7, "a search shows and saves nothing"
    steps = sorted(path.name for path in (tmp_path / "checkpoints").glob("*/step-*"))
    assert steps == ["step-5", "step-6"]


def test_looking_from_the_start_fails_at_the_node_itself(run: Run) -> None:
    nodes = {"one": ONE, "r": {"type": "root", "wires": {"x": "one"}, "params": {"above": 2}}, "y": noted("r", "after")}
    assert run(nodes, "y").status == "done"
    error, told = failure(run, {**nodes, "one": {**ONE, "params": {"value": 1.5}}, "s": SHOW}, check_numbers=True)
    assert error.node == "r"
    assert CALLS.count("after") == 1, "the second run stopped before it"
    assert not any(isinstance(event, events.Log) for event in told)


def test_float16_is_told_where_it_may_be_the_cause(registry: Registry, tmp_path: Path) -> None:
    nodes = {
        "one": ONE,
        "r": {"type": "root", "wires": {"x": "one"}, "params": {"above": 2}},
        "s": {**SHOW, "wires": {"x": "r"}},
    }
    with pytest.raises(NodeError, match=r"^r: .*float16 ends at 65,504: run with --dtype bfloat16 or float32"):
        Engine(registry, tmp_path, dtype="float16").run(graph(nodes))


def test_a_failure_of_another_kind_is_not_searched_for(run: Run) -> None:
    nodes = {"one": ONE, "f": {"type": "fail", "wires": {"x": "one"}}, "s": {**SHOW, "wires": {"x": "f"}}}
    error, told = failure(run, nodes)
    assert str(error) == "f: the toy broke"
    assert not any(isinstance(event, events.Log) for event in told)


def test_what_is_no_number_is_found_wherever_it_lies_in_a_value() -> None:
    nan, fine = torch.tensor([1.0, float("nan")]), torch.ones(3)
    layer = nn.Linear(2, 2)
    assert non_finite([fine, {"a": (1, fine)}, layer, torch.ones(2, dtype=torch.int64), torch.ones(0), None, "x"]) == ""
    assert non_finite({"a": [fine, nan]}) == "1 of 2 values are NaN (a.1)"
    assert non_finite(float("-inf")) == "1 of 1 values are infinite"
    with torch.no_grad():
        layer.bias[0] = float("inf")
    assert non_finite({"m": layer}) == "1 of 2 values are infinite (m.bias)"


def test_values_keep_their_bits_when_they_are_looked_at(registry: Registry, tmp_path: Path) -> None:
    draw = {"type": "random_number", "params": {"seed": 3}}
    zone = repeat(4, {"d": draw, "next": {"type": "add", "wires": {"a": "z.state.x", "b": "d"}}}, "next")
    found: list[Tensor] = [
        Engine(registry, tmp_path / str(look))
        .run(graph({"one": ONE, "z": zone}), targets=["z.x"], check_numbers=look)
        .values["z.x"]
        for look in (False, True)
    ]
    assert torch.equal(*found)
