"""Execution: values in order and no longer than needed, failures and stops."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pytest
import torch
from torch import Tensor

from graph_runner.base import events
from graph_runner.base.problems import WorkflowError
from graph_runner.context import Device, Dtype, Processes, Workspace
from graph_runner.contract import Wire, node
from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Engine, Result, choose_device
from graph_runner.run.failures import NodeError
from tests.graph_runner.conftest import TOYS, graph
from tests.graph_runner.drawing import ONE, every, noted, record, repeat, scale
from tests.graph_runner.toys import CALLS, RECORDED, Number

Run = Callable[..., Result]


class Thing:
    """A value whose life can be watched."""


ALIVE: list[weakref.ref[Thing]] = []
Watched = Annotated[Thing, Wire("thing")]


def alive() -> int:
    return sum(reference() is not None for reference in ALIVE)


@node(category="toy")
def thing(x: Number) -> Watched:
    """A new thing."""
    made = Thing()
    ALIVE.append(weakref.ref(made))
    return made


@node(category="toy")
def things_alive(x: Number, thing: Watched | None = None) -> Number:
    """How many things live while this runs."""
    return torch.tensor(float(alive()))


@node(category="toy")
def surroundings(device: Device, dtype: Dtype, workspace: Workspace, processes: Processes) -> str:
    """What the engine hands in."""
    return f"{device} {dtype} {workspace.name} {processes.rank}/{processes.world}"


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan([*TOYS, __name__])


@pytest.fixture(autouse=True)
def nothing_alive() -> Iterator[None]:
    """Values go when they are no longer read, not when the collector of circles comes by."""
    ALIVE.clear()
    gc.disable()
    yield
    gc.enable()


def test_every_form_of_input_reaches_its_node(run: Run) -> None:
    nodes = {
        "one": ONE,
        "h": {"type": "halves", "wires": {"x": "three"}},
        "three": scale("one", 3),
        "sum": {"type": "total", "wires": {"numbers": ["h.low", "h.high", "one"]}},
        "most": {"type": "largest", "wires": {"numbers": {"a": "one", "b": "sum"}}},
        "alone": {"type": "maybe", "wires": {"x": "most"}},
    }
    values = run(nodes, "alone", "h").values
    assert {name: float(value) for name, value in values.items()} == {"alone": 4, "h.low": 1.5, "h.high": 1.5}


def test_values_are_released_after_their_last_reader(registry: Registry, tmp_path: Path) -> None:
    nodes = {
        "one": ONE,
        "thing": {"type": "thing", "wires": {"x": "one"}},
        "during": {"type": "things_alive", "wires": {"x": "one", "thing": "thing"}},
        "again": {"type": "things_alive", "wires": {"x": "during", "thing": "thing"}},
        "after": {"type": "things_alive", "wires": {"x": "again"}},
    }
    engine = Engine(registry, tmp_path, memory=0)
    values = engine.run(graph(nodes), targets=["during", "again", "after"]).values
    assert [float(values[name]) for name in ("during", "again", "after")] == [1, 1, 0]


def test_values_of_a_body_are_released_within_the_turn(registry: Registry, tmp_path: Path) -> None:
    inner = {
        "thing": {"type": "thing", "wires": {"x": "loop.state.x"}},
        "during": {"type": "things_alive", "wires": {"x": "loop.state.x", "thing": "thing"}},
        "after": {"type": "things_alive", "wires": {"x": "during"}},
        "r1": record("during", "during"),
        "r2": record("after", "after"),
    }
    Engine(registry, tmp_path).run(graph({"one": ONE, "loop": repeat(3, inner, "after")}))
    assert RECORDED == {"during": [1, 1, 1], "after": [0, 0, 0]}


def test_what_a_zone_read_from_outside_is_released_with_it(registry: Registry, tmp_path: Path) -> None:
    def watching(thing: str) -> dict[str, Any]:
        return {"type": "things_alive", "wires": {"x": "loop.state.x", "thing": thing}}

    look = {"w": watching("thing"), "s": record("w", "look")}
    nodes = {
        "one": ONE,
        "thing": {"type": "thing", "wires": {"x": "one"}},
        "loop": repeat(2, {"during": watching("thing"), "r": record("during"), "look": every(1, look)}, "during"),
        "after": {"type": "things_alive", "wires": {"x": "loop.x"}},
        "r2": record("after", "after"),
    }
    Engine(registry, tmp_path, memory=0).run(graph(nodes))
    assert RECORDED == {"x": [1, 1], "look": [1, 1], "after": [0]}


def test_a_chain_of_20000_nodes_runs(run: Run) -> None:
    nodes: dict[str, Any] = {"n0": ONE}
    for i in range(1, 20_000):
        nodes[f"n{i}"] = {"type": "add", "wires": {"a": f"n{i - 1}", "b": "n0"}}
    assert float(run(nodes, "n19999").values["n19999"]) == 20_000


def test_a_chain_of_2000_nodes_in_a_body_runs(run: Run) -> None:
    inner: dict[str, Any] = {"n0": scale("loop.state.x", 1)}
    for i in range(1, 2000):
        inner[f"n{i}"] = {"type": "add", "wires": {"a": f"n{i - 1}", "b": "n0"}}
    assert float(run({"one": ONE, "loop": repeat(2, inner, "n1999")}, "loop.x").values["loop.x"]) == 2000**2


def test_what_a_node_asks_of_its_surroundings(run: Run, engine: Engine) -> None:
    value = run({"s": {"type": "surroundings"}}, "s").values["s"]
    assert value == f"cpu torch.float32 {engine.workspace.name} 0/1"


def test_devices_by_name() -> None:
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(ValueError, match=r"no device called 'gpu'; it can be auto, cpu, cuda"):
        choose_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="use --device cpu"):
            choose_device("cuda")


# Failures, stops, what is told


class Halved(NamedTuple):
    half: Number
    rest: Number | None


@node(category="toy")
def halved(x: Number, even: bool = False) -> Halved:
    """Half of a number, and the rest where there is one."""
    return Halved(x // 2, None if even else x % 2)


@node(category="toy")
def perhaps(x: Number, there: bool = True) -> Number | None:
    """A number, or nothing."""
    return x if there else None


def test_reading_what_a_node_does_not_give_is_said_and_what_nobody_reads_may_be_absent(run: Run) -> None:
    nodes = {"one": ONE, "h": {"type": "halved", "wires": {"x": "one"}, "params": {"even": True}}}
    assert float(run(nodes | {"r": record("h.half")}, "h.half").values["h.half"]) == 0
    with pytest.raises(NodeError, match=r"^h: it gives no rest, which another node reads"):
        run(nodes | {"r": record("h.rest")})
    inner = {
        "p": {"type": "perhaps", "wires": {"x": "loop.state.x"}, "params": {"there": False}},
        "s": scale("p", 2),
    }
    with pytest.raises(NodeError, match=r"^p: it gives nothing, which another node reads"):
        run({"one": ONE, "loop": repeat(2, inner, "s")}, "loop.x")


def test_a_failure_names_the_innermost_node_and_keeps_the_cause(run: Run) -> None:
    inner = {"deep": repeat(2, {"bad": {"type": "fail", "wires": {"x": "deep.state.x"}}}, "bad", x="loop.state.x")}
    told: list[events.Event] = []
    with pytest.raises(NodeError, match=r"^bad: the toy broke$") as caught:
        run({"one": ONE, "loop": repeat(2, inner, "deep.x")}, "loop.x", listeners=[told.append])
    assert caught.value.node == "bad"
    assert isinstance(caught.value.__cause__, ValueError)
    [failed] = [event for event in told if isinstance(event, events.Failed)]
    assert failed.node == "bad"
    assert 'raise ValueError("the toy broke")' in failed.traceback
    assert isinstance(told[-1], events.Ended)
    assert told[-1].status == "failed"


def test_a_failure_mid_graph_keeps_what_was_done(run: Run) -> None:
    nodes = {
        "one": ONE,
        "done": noted("one", "done"),
        "bad": {"type": "fail", "wires": {"x": "done"}},
        "r": record("bad"),
    }
    result = run(nodes, raise_errors=False)
    assert result.status == "failed"
    assert result.error is not None
    nodes["bad"] = noted("done", "mended")
    run(nodes)
    assert CALLS == ["done", "mended"]


def test_a_run_stops_at_the_end_of_a_turn_and_between_nodes(run: Run) -> None:
    stop = threading.Event()

    def when_metric(event: events.Event) -> None:
        if isinstance(event, events.Metric) and event.values["x"] >= 4:
            stop.set()

    inner = {"next": scale("loop.state.x", 2), "m": {"type": "measure", "wires": {"x": "next"}}, "r": record("next")}
    nodes = {"one": ONE, "loop": repeat(100, inner, "next"), "after": record("loop.x", "after")}
    result = run(nodes, stop=stop, listeners=[when_metric])
    assert result.status == "stopped"
    assert RECORDED == {"x": [2, 4]}, "the turn in which the stop came was finished, and nothing after it began"
    assert isinstance(result.events[-1], events.Ended)
    stop.clear()


def test_there_must_be_something_to_do(run: Run) -> None:
    with pytest.raises(WorkflowError, match="nothing to do: no node saves or shows anything"):
        run({"one": ONE})
    with pytest.raises(WorkflowError, match=r"no node 'onee' at the top of the graph\. Did you mean 'one'"):
        run({"one": ONE}, "onee")
    with pytest.raises(WorkflowError, match="'one' has no output 'x'"):
        run({"one": ONE}, "one.x")


def test_tensors_of_a_run_carry_no_graph(run: Run) -> None:
    with torch.enable_grad():
        value: Tensor = run(
            {"m": {"type": "scalar_model"}, "w": {"type": "weight_of", "wires": {"model": "m"}}}, "w"
        ).values["w"]
    assert not value.requires_grad
    assert not value.is_inference(), "it may enter a training later"
