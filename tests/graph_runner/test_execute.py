"""Execution: values in order and no longer than needed, zones, gradients, random numbers, failures and stops."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Protocol

import pytest
import torch
from torch import Tensor

from graph_runner import events
from graph_runner.context import Device, Dtype, Processes, Rng, Workspace
from graph_runner.contract import Body, Ports, Wire, node
from graph_runner.engine import Engine, Result, choose_device
from graph_runner.plan import NodeError
from graph_runner.problems import WorkflowError
from graph_runner.registry import Registry
from tests.graph_runner.conftest import TOYS, graph
from tests.graph_runner.toys import CALLS, RECORDED, Number

ONE = {"type": "number", "params": {"value": 1}}
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


@node(category="toy")
def surroundings(device: Device, dtype: Dtype, workspace: Workspace, processes: Processes) -> str:
    """What the engine hands in."""
    return f"{device} {dtype} {workspace.name} {processes.rank}/{processes.world}"


@node(category="toy")
def global_draw(rng: Rng) -> Number:
    """A draw from torch's global generator."""
    return torch.randn(())


@node(category="toy")
def own_seed(rng: Rng, seed: int = 0) -> Number:
    """A node that reads its seed itself."""
    return torch.tensor(float(seed))


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


def noted(x: str, label: str) -> dict[str, Any]:
    return {"type": "noted", "wires": {"x": x}, "params": {"label": label}}


def scale(x: str, by: float) -> dict[str, Any]:
    return {"type": "scale", "wires": {"x": x}, "params": {"by": by}}


def record(x: str, label: str = "x") -> dict[str, Any]:
    return {"type": "record", "wires": {"x": x}, "params": {"label": label}}


def repeat(n: int, inner: dict[str, Any], result: str, x: str = "one") -> dict[str, Any]:
    body = {"nodes": inner, "results": {"x": result}}
    return {"type": "repeat", "wires": {"state": {"x": x}}, "params": {"n": n}, "body": body}


# Order and life of values


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


# Zones


def sweep(
    inner: dict[str, Any], results: dict[str, Any], over: dict[str, Any] | None = None, **wires: str
) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "for_each", "body": {"nodes": inner, "results": results}}
    return made | ({"params": {"over": over}} if over is not None else {"wires": {"over": wires}})


def test_for_each_over_typed_lists(run: Run) -> None:
    inner = {"s": {"type": "scale", "wires": {"x": "one", "by": "z.item.by"}}, "r": record("s")}
    nodes = {"one": ONE, "z": sweep(inner, {"scaled": "s", "turns": "z.turn"}, {"by": [2, 0.5, -1]})}
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
        "params": {"n": 6},
        "body": {"nodes": inner, "results": {"a": "f.state.b", "b": "next"}},
    }
    values = run({"one": ONE, "f": fibonacci}, "f").values
    assert (float(values["f.a"]), float(values["f.b"])) == (13, 21)
    fibonacci["params"] = {"n": 0}
    assert float(run({"one": ONE, "f": fibonacci}, "f.b").values["f.b"]) == 1


def test_repeat_with_a_typed_state(run: Run) -> None:
    state = {
        "type": "repeat",
        "params": {"n": 3, "state": {"last": 7}},
        "body": {"nodes": {}, "results": {"last": "z.turn"}},
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


def every(n: int, inner: dict[str, Any]) -> dict[str, Any]:
    return {"type": "every", "params": {"n": n}, "body": {"nodes": inner}}


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


# Random numbers


def draws(run: Run, nodes: dict[str, Any], *labels: str, **options: Any) -> list[list[float]]:
    RECORDED.clear()
    run(nodes, fresh=True, **options)
    return [RECORDED[label] for label in labels]


def test_draws_depend_on_seeds_and_turns_and_not_on_names_order_or_company(run: Run) -> None:
    def nodes(name: str, **more: Any) -> dict[str, Any]:
        inner = {**more, name: {"type": "random_number", "params": {"seed": 3}}, "r": record(name)}
        return {"one": ONE, "loop": repeat(3, {**inner, "next": noted("loop.state.x", "n")}, "next")}

    [first] = draws(run, nodes("a"), "x")
    assert len(set(first)) == 3
    other = {"zzz": {"type": "random_number", "params": {"seed": 9}}, "r2": record("zzz", "y")}
    assert draws(run, nodes("renamed", **other), "x") == [first]
    assert draws(run, nodes("a"), "x", seed=1) != [first]


def test_draws_in_two_levels_of_loops_are_all_different_and_the_same_again(run: Run) -> None:
    inmost = {
        "deep": {"type": "random_number", "params": {"seed": 1}},
        "sum": {"type": "add", "wires": {"a": "inner.state.x", "b": "deep"}},
        "r": record("deep", "deep"),
    }
    inner = repeat(3, inmost, "sum", x="outer.state.x")
    shallow = {"shallow": {"type": "random_number", "params": {"seed": 1}}, "r2": record("shallow", "shallow")}
    nodes = {"one": ONE, "outer": repeat(2, {"inner": inner, **shallow}, "inner.x")}
    deep, shallow_draws = draws(run, nodes, "deep", "shallow")
    assert len(set(deep)) == 6
    assert len(set(shallow_draws)) == 2
    assert draws(run, nodes, "deep", "shallow") == [deep, shallow_draws]
    more = {"one": ONE, "outer": repeat(3, {"inner": inner, **shallow}, "inner.x")}
    assert draws(run, more, "deep")[0][:6] == deep, "more turns change no earlier one"


def test_micro_batches_draw_anew_within_a_turn(run: Run) -> None:
    inner = {
        "chance": {"type": "random_number"},
        "w": {"type": "weight_of", "wires": {"model": "fit.models.m"}},
        "loss": {"type": "add", "wires": {"a": "w", "b": "chance"}},
        "r": record("chance"),
    }
    nodes = {
        "model": {"type": "scalar_model"},
        "fit": {
            "type": "learn",
            "wires": {"models": {"m": "model"}},
            "params": {"n": 2, "accumulate": 3},
            "body": {"nodes": inner, "results": {"number": "loss"}},
        },
        "w2": {"type": "weight_of", "wires": {"model": "fit.m"}},
        "r2": record("w2", "weight"),
    }
    [first] = draws(run, nodes, "x")
    assert len(first) == len(set(first)) == 6
    assert RECORDED["weight"] == pytest.approx([1 - 2 * 0.1 * 3])


def test_torchs_global_generators_are_seeded_around_a_call(run: Run) -> None:
    nodes = {
        "a": {"type": "global_draw", "params": {"seed": 1}},
        "b": {"type": "global_draw", "params": {"seed": 2}},
        "r": record("a", "a"),
        "s": record("b", "b"),
    }
    torch.manual_seed(1)
    first = draws(run, nodes, "a", "b")
    torch.manual_seed(2)
    assert draws(run, nodes, "a", "b") == first
    assert first[0] != first[1]


def test_dropout_draws_anew_each_turn_of_training_and_the_same_again(run: Run) -> None:
    inner = {
        "y": {"type": "applied_with_dropout", "wires": {"model": "fit.models.m", "x": "one"}},
        "r": record("y"),
        "m": {"type": "measure", "wires": {"x": "y"}},
    }
    body = {"nodes": inner, "results": {"number": "y"}}
    nodes = {
        "one": ONE,
        "model": {"type": "scalar_model", "params": {"weight": 100}},
        "fit": {"type": "learn", "wires": {"models": {"m": "model"}}, "params": {"n": 6}, "body": body},
        "still": {"type": "applied_with_dropout", "wires": {"model": "model", "x": "one"}},
        "s": record("still", "still"),
    }
    [first, still] = draws(run, nodes, "x", "still")
    assert len({round(y / 25) for y in first}) > 1, "eighths of the weight are dropped at random"
    assert draws(run, nodes, "x") == [first]
    assert still == [100], "outside of training nothing is dropped"


def test_a_seed_may_be_wired_or_read_by_the_node_itself(run: Run) -> None:
    inner = {
        "chance": {"type": "random_number", "wires": {"seed": "z.item.seed"}},
        "read": {"type": "own_seed", "wires": {"seed": "z.item.seed"}},
    }
    values = run({"z": sweep(inner, {"draws": "chance", "seeds": "read"}, {"seed": [4, 4, 5]})}, "z").values
    assert [float(x) for x in values["z.seeds"]] == [4, 4, 5]
    assert len({float(x) for x in values["z.draws"]}) == 3, "the turn counts as well"


def test_of_several_processes_only_the_first_saves_and_shows(registry: Registry, tmp_path: Path) -> None:
    class Second(Processes):
        def agree(self, value: Any) -> Any:
            return (tmp_path / "runs" / "r") if value is None else value

        def any(self, flag: bool) -> bool:
            return flag

    nodes = {
        "one": ONE,
        "r": record("one"),
        "loop": repeat(2, {"next": scale("loop.state.x", 2), "inside": record("next", "inside")}, "next"),
    }
    second = Engine(registry, tmp_path, processes=Second(rank=1, world=2))
    values = second.run(graph(nodes), targets=["loop.x"]).values
    assert float(values["loop.x"]) == 4
    assert RECORDED == {}


def test_many_processes_see_the_noise_that_one_would() -> None:
    whole = Rng(5).randn(6, 2)
    parts = [Rng(5, rank=rank, world=3).randn(2, 2) for rank in range(3)]
    assert torch.equal(torch.cat(parts), whole)
    assert torch.equal(Rng(5).randint(10, 4), torch.cat([Rng(5, "cpu", r, 2).randint(10, 2) for r in range(2)]))


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
