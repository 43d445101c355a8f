"""A training that is measured: it ends where nothing has become better, and gives its best models."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from graph_runner.base import events
from graph_runner.bind.validate import errors, validate
from graph_runner.context import Processes
from graph_runner.contract import node
from graph_runner.contract.registry import Registry
from graph_runner.estimate.dry import dry_run
from graph_runner.run.engine import Engine, Result
from graph_runner.run.failures import NodeError
from tests.graph_runner import toys
from tests.graph_runner.conftest import graph
from tests.graph_runner.drawing import ONE, every, record, repeat, scale
from tests.graph_runner.toys import Number
from tests.nodes.test_train_zone import setting, training
from tests.world import in_two, watched

GOAL = 0.45
PACKAGES = ["tests.graph_runner.toys", "tests.nodes.toy_data", "graph_runner.zones", "nodes.training"]
PACKAGES += ["nodes.early_stopping", __name__]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan(PACKAGES)


@pytest.fixture
def make_engine(registry: Registry, tmp_path: Path) -> Callable[[], Engine]:
    toys.CALLS.clear()
    toys.RECORDED.clear()
    return lambda: Engine(registry, workspace=tmp_path)


def measured(model: str = "fit.models.m", **params: Any) -> dict[str, Any]:
    """The square of the distance of the one weight from a goal."""
    inner = {
        "w": {"type": "weight_of", "wires": {"model": model}},
        "goal": {"type": "number", "params": {"value": -GOAL}},
        "distance": {"type": "add", "wires": {"a": "w", "b": "goal"}},
        "far": {"type": "square", "wires": {"x": "distance"}},
        "r": record("far", "measured"),
    }
    return {"type": "early_stopping", "params": params, "body": {"nodes": inner, "results": {"metric": "far"}}}


def nodes(steps: int = 20, interval: int = 1, extra: dict[str, Any] | None = None, **params: Any) -> dict[str, Any]:
    fit = training(steps=steps, extra={"stop": measured(steps=interval, **params), **(extra or {})})
    return setting(
        fit=fit,
        weight={"type": "weight_of", "wires": {"model": "fit.models.m"}},
        average={"type": "weight_of", "wires": {"model": "fit.ema.m"}},
    )


def ran(engine: Engine, drawn: dict[str, Any], **options: Any) -> Result:
    toys.CALLS.clear()
    toys.RECORDED.clear()
    return engine.run(graph(drawn), targets=["weight", "average"], **options)


def by_hand(steps: int, every_steps: int = 1, patience: int = 0) -> tuple[float, float, int, int]:
    """The best weight, its average, and the steps of the best and in all, by PyTorch alone."""
    weight = torch.nn.Parameter(torch.tensor(1.0))
    optimizer = torch.optim.AdamW([weight], lr=0.1, weight_decay=0)
    average, found, best, waited = 1.0, (1.0, 1.0, 0), float("inf"), 0
    for n in range(1, steps + 1):
        optimizer.zero_grad()
        ((2 * weight) ** 2).backward()
        optimizer.step()
        decay = min(0.9, (1 + n) / (10 + n))
        average = decay * average + (1 - decay) * weight.item()
        if n % every_steps:
            continue
        far = (weight.item() - GOAL) ** 2
        waited = 0 if far < best else waited + 1
        if far < best:
            best, found = far, (weight.item(), average, n)
        if patience and waited >= patience:
            return *found, n
    return *found, steps


@pytest.mark.parametrize(("every_steps", "patience"), [(1, 3), (2, 2), (1, 0), (7, 1)])
def test_a_training_ends_by_its_patience_and_gives_its_best(
    make_engine: Callable[[], Engine], every_steps: int, patience: int
) -> None:
    result = ran(make_engine(), nodes(interval=every_steps, patience=patience))
    weight, average, at, steps = by_hand(20, every_steps, patience)
    assert toys.CALLS.count("step") == steps
    assert float(result.values["weight"]) == pytest.approx(weight, abs=1e-6)
    assert float(result.values["average"]) == pytest.approx(average, abs=1e-5)
    told = [each.message for each in result.events if isinstance(each, events.Log)]
    assert any(f"gives the models of step {at}" in message for message in told)
    curve = [each.values["validation"] for each in result.events
             if isinstance(each, events.Metric) and "validation" in each.values]  # fmt: skip
    assert len(curve) == steps // every_steps == len(toys.RECORDED["measured"])


def test_a_larger_metric_may_be_better_and_little_may_not_count(make_engine: Callable[[], Engine]) -> None:
    """The distance grows only after the weight has passed the goal: the first is the largest so far, for a while."""
    result = ran(make_engine(), nodes(steps=20, patience=2, mode="max"))
    assert float(result.values["weight"]) == pytest.approx(0.9)
    assert toys.CALLS.count("step") == 3
    ran(make_engine(), nodes(steps=20, patience=2, min_delta=10.0))
    assert toys.CALLS.count("step") == 3


def test_previews_run_after_the_step_with_which_a_training_ends(make_engine: Callable[[], Engine]) -> None:
    look = every(100, {"lw": {"type": "weight_of", "wires": {"model": "fit.models.m"}}, "lr": record("lw", "looked")})
    ran(make_engine(), nodes(steps=20, patience=2, mode="max", extra={"look": look}))
    assert len(toys.RECORDED["looked"]) == 1


def test_a_stopped_training_goes_on_to_the_same_end(make_engine: Callable[[], Engine]) -> None:
    whole = ran(make_engine(), nodes(patience=3), fresh=True).values
    stop, seen = threading.Event(), [0]

    def after_four(event: Any) -> None:
        seen[0] += isinstance(event, events.Metric) and "validation" in event.values
        if seen[0] == 4:
            stop.set()

    fresh = make_engine()
    assert ran(fresh, nodes(patience=3, min_delta=1e-9), stop=stop, listeners=[after_four]).status == "stopped"
    result = ran(make_engine(), nodes(patience=3, min_delta=1e-9))
    assert 0 < toys.CALLS.count("step") < by_hand(20, 1, 3)[3]
    assert torch.equal(result.values["weight"], whole["weight"])
    assert torch.equal(result.values["average"], whole["average"])


def test_more_steps_go_on_from_fewer_and_what_has_ended_stays(make_engine: Callable[[], Engine]) -> None:
    weight, _, _, steps = by_hand(20, 1, 3)
    for asked, done in ((4, 4), (20, steps - 4), (40, 0)):
        result = ran(make_engine(), nodes(steps=asked, patience=3))
        assert toys.CALLS.count("step") == done
    assert float(result.values["weight"]) == pytest.approx(weight, abs=1e-6)


def test_what_is_measured_is_a_part_of_the_training(make_engine: Callable[[], Engine]) -> None:
    for params, trained in (({"patience": 3}, True), ({"patience": 3}, False), ({"patience": 4}, True)):
        ran(make_engine(), nodes(**params))
        assert (toys.CALLS.count("step") > 0) == trained


def test_another_training_that_goes_on_is_judged_anew(make_engine: Callable[[], Engine], tmp_path: Path) -> None:
    ended = by_hand(20, 1, 3)[3]
    ran(make_engine(), nodes(patience=3))
    [checkpoint] = (tmp_path / "checkpoints").glob(f"*/step-{ended}")
    drawn = nodes(patience=4)
    drawn["fit"]["params"]["continue_from"] = str(checkpoint)
    ran(make_engine(), drawn)
    assert toys.CALLS.count("step") > 0


def test_where_nothing_trains_it_is_refused_before_anything_runs(registry: Registry, tmp_path: Path) -> None:
    stop = measured("model0")
    drawn = setting(one=ONE, loop=repeat(2, {"s": scale("loop.state.x", 1), "stop": stop}, "s"))
    top, problems = validate(graph(drawn), registry)
    assert not errors(problems)
    told = [problem.message for problem in dry_run(top, tmp_path).problems]
    assert told == ["'stop' decides when a training ends, and this is none; move it into the body of one"]
    with pytest.raises(NodeError, match="'stop' decides when a training ends"):
        Engine(registry, tmp_path).run(graph(drawn), targets=["loop.x"])


def test_a_dry_run_counts_the_measurements(registry: Registry, tmp_path: Path) -> None:
    top, problems = validate(graph(nodes(interval=5, patience=3)), registry)
    assert not errors(problems)
    estimate = dry_run(top, tmp_path)
    assert not estimate.problems
    assert estimate.nodes["far"].runs == 4


def in_a_world(processes: Processes) -> dict[str, Any]:
    """On one process and on both, how the training ends; a switch in it would go another way on each, by the rows that it holds."""
    registry = Registry.scan(PACKAGES)
    found: dict[str, Any] = {}
    for name, world in (("one", Processes()), ("two", processes)):
        if world.world == 1 and processes.rank > 0:
            continue
        workspace = world.agree(tempfile.mkdtemp())
        drawn = nodes(patience=3)
        drawn["data"]["params"]["values"] = [2.0, 2.0]
        drawn["fit"]["params"]["batch_size"] = 2
        inner = drawn["fit"]["body"]["nodes"]
        inner["mine"] = {"type": "ranked", "wires": {"x": "loss"}}
        inner["way"] = {
            "type": "switch",
            "wires": {"when": "mine", "otherwise": {"y": "loss"}},
            "body": {"nodes": {"far": scale("loss", 0.0)}, "results": {"y": "far"}},
        }
        inner["counted"]["wires"]["x"] = "way.y"
        inner["stop"]["body"]["nodes"]["away"] = inner["stop"]["body"]["nodes"].pop("far")
        inner["stop"]["body"]["nodes"]["r"]["wires"]["x"] = "away"
        inner["stop"]["body"]["results"]["metric"] = "away"
        with watched(name):
            result = ran(Engine(registry, workspace, processes=world), drawn)
        found[name] = {"steps": toys.CALLS.count("step"), **{k: float(v) for k, v in result.values.items()}}
        world.agree(None)
        if world.rank == 0:
            shutil.rmtree(workspace)
    return found


@pytest.mark.slow
def test_two_processes_end_where_one_does_and_go_one_way(tmp_path: Path) -> None:
    first, second = in_two("tests.nodes.test_early_stopping:in_a_world", tmp_path)
    assert first["two"] == second["two"]
    assert first["two"]["steps"] == first["one"]["steps"] == by_hand(20, 1, 3)[3]
    for value in ("weight", "average"):
        assert first["two"][value] == pytest.approx(first["one"][value], abs=1e-6)


@node(category="toy")
def ranked(x: Number, processes: Processes) -> Number:
    """0 on the first process, and 1 on the others."""
    return x.detach() * 0 + processes.rank
