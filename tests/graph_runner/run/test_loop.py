"""The moment that a turn has ended, who hears of it and in which order; and zones beside the turns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Protocol

import pytest

from graph_runner.base.events import Metric, Progress
from graph_runner.bind.validate import errors, validate
from graph_runner.context import Loop, Metrics
from graph_runner.contract import Body, Field, node
from graph_runner.contract.registry import Registry
from graph_runner.estimate.dry import Estimate, dry_run
from graph_runner.run.engine import Engine, Result
from graph_runner.run.failures import NodeError
from tests.graph_runner.conftest import TOYS, graph
from tests.graph_runner.drawing import ONE, noted, record
from tests.graph_runner.toys import CALLS, RECORDED, Number

Run = Callable[..., Result]


class Step(Protocol):
    def __call__(self, x: Number, turn: int) -> Number: ...


class Aside(Protocol):
    def __call__(self) -> None: ...


class Measured(Protocol):
    def __call__(self) -> Number: ...


class Told:
    """A state that tells when it is kept."""

    def state_dict(self) -> dict[str, Any]:
        CALLS.append("save")
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@node(category="test")
def kept_turns(body: Body[Step], x: Number, loop: Loop, n: int = 2) -> Number:
    """A loop with checkpoints that are told."""
    for turn in loop(n, state=Told()):
        x = body(x, turn)
    return x


@node(category="test")
def turns(body: Body[Step], x: Number, loop: Loop, n: int = 6) -> Number:
    """A loop."""
    for turn in loop(n):
        x = body(x, turn)
    return x


@node(category="test", aside="interval")
def now_and_then(body: Body[Aside], interval: Annotated[int, Field(le=100)] = 5, n: int = 1) -> None:
    """A zone beside the turns whose interval has a name of its own; n means something else."""
    body()


@node(category="test", aside="interval")
def gauge(body: Body[Measured], metrics: Metrics, interval: int = 2) -> None:
    """A zone beside the turns that tells a number itself; nothing in its body saves or shows anything."""
    metrics(measured=body())


@node(category="test")
def as_int(x: Number, more: int = 0) -> int:
    """A number as a whole number."""
    return int(x) + more


@node(category="test")
def whole(n: int = 1) -> int:
    """A whole number."""
    return n


@node(category="test")
def numbered(turn: int) -> Number:
    """A turn as a number."""
    import torch

    return torch.tensor(float(turn))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    engine = Engine(Registry.scan([*TOYS, __name__]), tmp_path)

    def call(nodes: dict[str, Any], *targets: str, **options: Any) -> Result:
        return engine.run(graph(nodes), targets=targets, **options)

    return call


def beside(turning: str = "turns", n: int = 6, **aside: Any) -> dict[str, Any]:
    inner = {
        "next": noted("loop.x", "turn"),
        "number": {"type": "numbered", "wires": {"turn": "loop.turn"}},
        "look": {"type": "now_and_then", "body": {"nodes": {"r": record("number")}}, **aside},
    }
    body = {"nodes": inner, "results": {"number": "next"}}
    return {"one": ONE, "loop": {"type": turning, "wires": {"x": "one"}, "params": {"n": n}, "body": body}}


def test_listeners_hear_of_a_turn_in_their_order(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graph_runner.run.loop.PROGRESS_SECONDS", 0.0)

    class Looking:
        def on_values(self, *_: Any) -> None: ...

        def on_turn(self, folder: Path, zone: str, turn: int, given: Any) -> None:
            CALLS.append("look")

    nodes = beside("kept_turns", 2, params={"interval": 1})
    nodes["loop"]["body"]["nodes"]["look"]["body"]["nodes"]["seen"] = noted("number", "aside")
    nodes["loop"]["body"]["nodes"]["look"]["body"]["nodes"]["shown"] = record("seen")

    def listen(event: Any) -> None:
        if isinstance(event, Progress):
            CALLS.append("tell")

    run(nodes, "loop", observer=Looking(), listeners=[listen], checkpoint_seconds=0)
    assert CALLS == ["turn", "aside", "tell", "look", "save"] * 2


def test_an_aside_runs_for_what_it_tells_itself(run: Run) -> None:
    nodes = beside()
    inner = nodes["loop"]["body"]["nodes"]
    inner["look"] = {"type": "gauge", "body": {"nodes": {"n": noted("number", "n")}, "results": {"number": "n"}}}
    told = [(event.turn, event.values["measured"]) for event in run(nodes).events if isinstance(event, Metric)]
    assert told == [(1, 1.0), (3, 3.0), (5, 5.0)]


@pytest.mark.parametrize(("interval", "ran"), [(1, range(6)), (2, (1, 3, 5)), (4, (3, 5)), (5, (4, 5)), (50, (5,))])
def test_an_aside_runs_as_often_as_its_own_parameter_says(run: Run, interval: int, ran: Any) -> None:
    run(beside(params={"interval": interval, "n": 3}))
    assert RECORDED["x"] == list(ran)


def test_its_default_counts_too(run: Run) -> None:
    run(beside())
    assert RECORDED["x"] == [4, 5]


def test_a_wired_interval_counts_in_a_run_and_in_a_dry_run(run: Run) -> None:
    nodes = beside(wires={"interval": "often"}) | {
        "often": {"type": "as_int", "wires": {"x": "one"}, "params": {"more": 2}}
    }
    run(nodes)
    assert RECORDED["x"] == [2, 5]
    nodes["often"]["params"]["more"] = 0
    found = estimate(nodes)
    assert (found.nodes["look"].runs, found.problems) == (6, []), (
        "a number that only the run gives: it may be every turn"
    )
    nodes["often"] = {"type": "whole", "params": {"n": 4}}
    assert estimate(nodes).nodes["look"].runs == 2
    assert estimate(beside(params={"interval": 4})).nodes["look"].runs == 2


def estimate(nodes: dict[str, Any]) -> Estimate:
    top, problems = validate(graph(nodes), Registry.scan([*TOYS, __name__]))
    assert not errors(problems)
    return dry_run(top, Path("/nowhere"))


@pytest.mark.parametrize("interval", [0, -3])
def test_no_number_of_turns_is_refused_with_the_name_of_the_parameter(run: Run, interval: int) -> None:
    nodes = beside(params={"interval": interval})
    with pytest.raises(NodeError, match=f"look: interval is {interval}; give a whole number of steps") as caught:
        run(nodes)
    assert caught.value.when == "step 1 of loop"
    [problem] = estimate(nodes).problems
    assert (problem.node, problem.port) == ("look", "interval")


def test_a_model_under_two_names_is_two_models(engine: Engine) -> None:
    names = ("a", "b")
    body = {
        **{f"y{name}": {"type": "apply", "wires": {"model": f"fit.models.{name}", "x": "one"}} for name in names},
        "scaled": {"type": "scale", "wires": {"x": "yb"}, "params": {"by": 3}},
        **{
            f"loss{name}": {"type": "square", "wires": {"x": x}}
            for name, x in zip(names, ("ya", "scaled"), strict=True)
        },
        "loss": {"type": "add", "wires": {"a": "lossa", "b": "lossb"}},
    }
    nodes = {
        "one": ONE,
        "model": {"type": "scalar_model", "params": {"weight": 0.5}},
        "fit": {
            "type": "learn",
            "params": {"n": 1},
            "wires": {"models": dict.fromkeys(names, "model")},
            "body": {"nodes": body, "results": {"number": "loss"}},
        },
        **{f"w{name}": {"type": "weight_of", "wires": {"model": f"fit.{name}"}} for name in names},
    }
    values = engine.run(graph(nodes), targets=["wa", "wb"]).values
    # One step at .1 down w² and down (3 w)², from w = .5.
    assert [float(values[f"w{name}"]) for name in names] == pytest.approx([0.5 - 0.1 * 1, 0.5 - 0.1 * 9])
