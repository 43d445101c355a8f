"""Items of a sweep that are handed to an executor: here one that sends what it would send, and does the items in disorder."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import pytest
import torch
from torch import Tensor

from graph_runner.base import events
from graph_runner.base.problems import WorkflowError
from graph_runner.context import Processes
from graph_runner.contract import Wire, node
from graph_runner.contract.registry import Registry
from graph_runner.run.brought import Brought
from graph_runner.run.elsewhere import InTurn
from graph_runner.run.engine import Engine
from graph_runner.run.executors import Hear, Job
from graph_runner.run.failures import NodeError
from graph_runner.run.parcel import opened, packed
from graph_runner.run.part import Outcome
from tests.graph_runner.conftest import TOYS
from tests.graph_runner.drawing import ONE, noted, run_in
from tests.graph_runner.toys import CALLS, Number

Make = Callable[..., Engine]


@node(category="toy")
def picky(x: Number) -> Number:
    """Pass on what is not 3."""
    if float(x) == 3:
        raise KeyError("three")
    return x


Function = Annotated[Callable[[Tensor], Tensor], Wire("function")]


@node(category="toy")
def made() -> Function:
    """A function that no file holds."""
    return lambda x: x


@node(category="toy")
def called(function: Function, x: Number) -> Number:
    """Call it."""
    return function(x)


class Near:
    """Does items in this process, from the last to the first, by what a pickle of the work holds."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.sizes: list[int] = []

    def opened(self) -> AbstractContextManager[None]:
        return nullcontext()

    def __call__(self, job: Job, hear: Hear, stop: threading.Event, _: threading.Event) -> Iterator[tuple[int, Any]]:
        sent = pickle.dumps(job.work)
        self.sizes.append(len(sent))
        for item in reversed(job.items):
            if stop.is_set():
                return
            told: list[Any] = []
            outcome = pickle.loads(sent)(item, told.append, stop)
            self.done.append(item)
            for event in pickle.loads(pickle.dumps(told)):
                hear(item, event)
            yield item, pickle.loads(pickle.dumps(outcome))


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan([*TOYS, __name__])


@pytest.fixture
def make(registry: Registry, tmp_path: Path) -> Make:
    return lambda **options: Engine(registry, tmp_path, **options)


def sweep(by: list[Any], nodes: dict[str, Any], results: dict[str, str], **around: Any) -> dict[str, Any]:
    zone = {"type": "for_each", "params": {"over": {"by": by}}, "body": {"nodes": nodes, "results": results}}
    return {"one": ONE, "model": {"type": "scalar_model", "params": {"weight": 0.5}}, "sweep": zone, **around}


SCALED = {"y": {"type": "scale", "wires": {"x": "one", "by": "sweep.item.by"}}}
DRAWN = {
    **SCALED,
    "draw": {"type": "random_number", "params": {"seed": 3}},
    "sum": {"type": "add", "wires": {"a": "y", "b": "draw"}},
    "through": {"type": "applied_with_dropout", "wires": {"model": "model", "x": "sum"}},
}
LEARNT = {
    "fit": {
        "type": "learn",
        "wires": {"models": {"m": "model"}},
        "body": {
            "nodes": {
                "x": {"type": "scale", "wires": {"x": "one", "by": "sweep.item.by"}},
                "y": {"type": "apply", "wires": {"model": "fit.models.m", "x": "x"}},
                "loss": {"type": "square", "wires": {"x": "y"}},
                "seen": {"type": "measure", "wires": {"x": "loss"}},
            },
            "results": {"number": "loss"},
        },
    },
    "weight": {"type": "weight_of", "wires": {"model": "fit.m"}},
}


def equal(a: Any, b: Any) -> bool:
    return all(
        torch.equal(x, y)
        for x, y in zip(torch.utils._pytree.tree_leaves(a), torch.utils._pytree.tree_leaves(b), strict=True)
    )


@pytest.mark.parametrize(
    ("nodes", "results"),
    [(SCALED, {"n": "y"}), (DRAWN, {"n": "through", "d": "draw"}), (LEARNT, {"n": "weight"})],
    ids=["scaled", "drawn", "learnt"],
)
def test_items_done_elsewhere_give_the_same_bits(
    registry: Registry, tmp_path: Path, nodes: dict[str, Any], results: dict[str, str]
) -> None:
    near, graph = Near(), sweep([2, 3, 5], nodes, results)
    here = run_in(Engine(registry, tmp_path / "a"), graph, *(f"sweep.{name}" for name in results), seed=7)
    there = run_in(Engine(registry, tmp_path / "b"), graph, *(f"sweep.{name}" for name in results), seed=7, on=near)
    assert near.done == [2, 1, 0]
    assert here.values.keys() == there.values.keys()
    assert all(equal(here.values[name], there.values[name]) for name in here.values)


def test_what_an_item_gives_is_kept_and_taken_by_the_next_run(make: Make) -> None:
    near = Near()
    graph = sweep([2, 3], {"z": noted("y", "item"), **SCALED}, {"n": "z"})
    first = run_in(make(), graph, "sweep.n", on=near).values["sweep.n"]
    assert CALLS == ["item"] * 2
    result = run_in(make(), graph, "sweep.n", on=near)
    assert CALLS == []
    assert near.done == [1, 0]
    assert equal(first, result.values["sweep.n"])
    assert "takes 2 of 2 items from the cache" in [e.message for e in result.events if isinstance(e, events.Log)]
    run_in(make(), graph, "sweep.n", on=near, fresh=True)
    assert near.done == [1, 0, 1, 0]


def test_what_items_tell_comes_as_if_they_were_here(make: Make) -> None:
    graph = sweep([2, 3], {**LEARNT, "look": {"type": "show_number", "wires": {"x": "weight"}}}, {"n": "weight"})

    def told(result: Any) -> set[Any]:
        kinds = (events.Metric, events.Shown)
        return {repr(event).replace(result.folder.name, "") for event in result.events if isinstance(event, kinds)}

    def numbers(result: Any) -> list[Any]:
        return [event for event in result.events if isinstance(event, events.Metric)]

    here, there = (run_in(make(), graph, "sweep.n", on=on, fresh=True) for on in ("here", Near()))
    assert told(here) == told(there)
    assert numbers(here) == numbers(there)  # in the order of the items, whoever was first
    assert len(told(there)) > 4
    assert all((make().workspace / shown.path).read_text() for shown in there.shown)
    last = [event for event in there.events if isinstance(event, events.Progress) and event.node == "sweep"][-1]
    assert (last.done, last.total) == (2, 2)
    assert [type(event).__name__ for event in there.events].count("Ended") == 1


def test_an_items_failure_names_its_node_and_where_it_was(make: Make) -> None:
    near, graph = Near(), sweep([2, 3, 5], {**SCALED, "p": {"type": "picky", "wires": {"x": "y"}}}, {"n": "p"})
    result = run_in(make(), graph, "sweep.n", on=near, raise_errors=False)
    assert (result.error.node, str(result.error)) == ("p", "p: KeyError: 'three'")
    assert near.done == [2, 1]
    [failed] = [event for event in result.events if isinstance(event, events.Failed)]
    assert 'raise KeyError("three")' in failed.traceback
    with pytest.raises(NodeError, match="p: KeyError"):
        run_in(make(), graph, "sweep.n", on=near)


def test_a_stop_ends_the_items(make: Make) -> None:
    near, stop = Near(), threading.Event()

    def at_once(event: events.Event) -> None:
        if isinstance(event, events.Shown):
            stop.set()

    graph = sweep([2, 3, 5], {**SCALED, "m": {"type": "show_number", "wires": {"x": "y"}}}, {"n": "y"})
    assert run_in(make(), graph, "sweep.n", on=near, stop=stop, listeners=[at_once]).status == "stopped"
    assert near.done == [2]


def test_zones_around_callbacks_and_sweeps_inside(make: Make) -> None:
    inner = {"type": "for_each", "params": {"over": {"to": [1, 10]}}, "body": {"nodes": {"y": {"type": "scale", "wires": {"x": "seen", "by": "inner.item.to"}}}, "results": {"n": "y"}}}  # fmt: skip
    nodes = {
        "seen": {"type": "scale", "wires": {"x": "one", "by": "sweep.item.by"}},
        "inner": inner,
        "now": {
            "type": "every",
            "params": {"steps": 2},
            "body": {"nodes": {"show": {"type": "show_number", "wires": {"x": "seen"}}}},
        },
    }
    zone = sweep([2, 3, 5], nodes, {"n": "inner.n"})["sweep"]
    graph = {"one": ONE, "g": {"type": "group", "body": {"nodes": {"sweep": zone}, "results": {"n": "sweep.n"}}}}
    here, there = (run_in(make(), graph, "g.n", on=on, fresh=True) for on in ("here", Near()))
    assert equal(here.values["g.n"], there.values["g.n"])
    names = [sorted(Path(shown.path).name for shown in result.shown) for result in (here, there)]
    assert names == [["number-000002.txt", "number-000003.txt"]] * 2


def test_values_given_to_the_run_are_known_there(make: Make) -> None:
    graph = sweep([2, 3], SCALED, {"n": "y"})
    values = run_in(make(), graph, "sweep.n", on=Near(), inputs={"one": torch.tensor(10.0)}).values["sweep.n"]
    assert [float(value) for value in values] == [20, 30]


def test_a_registry_of_single_nodes_and_several_processes_are_refused(registry: Registry, tmp_path: Path) -> None:
    graph = sweep([2], SCALED, {"n": "y"})
    with pytest.raises(WorkflowError, match="another process cannot make this registry"):
        run_in(Engine(Registry(registry.values()), tmp_path), graph, "sweep.n", on=Near())
    with pytest.raises(WorkflowError, match="several processes"):
        run_in(Engine(registry, tmp_path, processes=Processes(1, 2)), graph, "sweep.n", on=Near())


def test_a_workspace_that_is_not_seen_there_is_refused(make: Make) -> None:
    class Blind(Near):
        def __call__(
            self, job: Job, hear: Hear, stop: threading.Event, _: threading.Event
        ) -> Iterator[tuple[int, Any]]:
            [run] = (job.workspace / "runs").iterdir()
            (run / "workflow.json").unlink()
            yield from super().__call__(job, hear, stop, _)

    with pytest.raises(
        NodeError, match=r"sweep: .*does not see the run in the workspace .*folder that all machines share"
    ):
        run_in(make(), sweep([2], SCALED, {"n": "y"}), "sweep.n", on=Blind())


def test_what_waits_for_its_turn_comes_in_order_and_at_the_end_at_the_latest() -> None:
    heard: list[Any] = []
    said = [events.Metric("m", {"x": float(x)}, x) for x in range(7)]
    with InTurn(heard.append) as told:
        told.begin(0)
        told(2, said[4])
        told(0, said[0])
        told(1, said[2])
        told(0, said[1])
        told.begin(1)
        told(1, said[3])
        assert heard == said[:4]
        told(3, said[6])
        told(2, said[5])
    assert heard == said


def test_values_that_can_and_cannot_be_sent() -> None:
    values = {"z": torch.arange(6.0).view(2, 3).T, "names": ("a", None), "model": torch.nn.Linear(2, 2)}
    there = opened(packed(values))
    assert there["z"].stride() == values["z"].stride()
    assert equal(values["z"], there["z"])
    assert there["names"] == values["names"]
    with pytest.raises(ValueError, match="cannot be sent to another process"):
        packed(lambda: None)


class Unreadable(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


@pytest.mark.parametrize("error", [ValueError("3 is too much"), KeyError("three"), Unreadable(1, 2)])
def test_a_failure_is_told_as_it_would_be_here(error: Exception) -> None:
    here = NodeError("p", error, "step 3 of sweep")
    here.__cause__ = error
    there = pickle.loads(pickle.dumps(Outcome.of(here))).failure()
    assert (there.node, there.when, str(there)) == (here.node, here.when, str(here))


def test_a_body_that_reads_what_cannot_be_sent_says_so(registry: Registry, make: Make) -> None:
    graph = sweep([2], SCALED, {"n": "y"})
    graph["sweep"]["body"]["nodes"]["f"] = {"type": "called", "wires": {"function": "made", "x": "y"}}
    graph["sweep"]["body"]["results"] = {"n": "f"}
    graph["made"] = {"type": "made"}
    with pytest.raises(
        NodeError, match=r"sweep: .*its body reads a function, and it cannot be sent to another process"
    ):
        run_in(make(), graph, "sweep.n", on=Near())
    assert float(run_in(make(), graph, "sweep.n").values["sweep.n"][0]) == 2


def test_entry_points_name_what_is_known() -> None:
    assert "csv" in Brought("latent_loom.listeners", "logger", given=1).installed()
