"""A training begins with the models of a finished run, named by its name, its folder, or a checkpoint's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from graph_runner.base import events
from graph_runner.base.problems import WorkflowError
from graph_runner.base.trained import checkpoint_of
from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Engine, Result
from graph_runner.run.failures import NodeError
from tests.graph_runner import toys
from tests.graph_runner.conftest import graph
from tests.nodes.test_early_stopping import measured
from tests.nodes.test_train_zone import setting, training

PACKAGES = ["tests.graph_runner.toys", "tests.nodes.toy_data", "graph_runner.zones"]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan([*PACKAGES, "nodes.training", "nodes.early_stopping"])


@pytest.fixture
def make_engine(registry: Registry, tmp_path: Path) -> Callable[[], Engine]:
    toys.CALLS.clear()
    toys.RECORDED.clear()
    return lambda: Engine(registry, workspace=tmp_path)


def fitted(
    engine: Engine, zone: str = "fit", steps: int = 3, extra: dict[str, Any] | None = None, **params: Any
) -> Result:
    toys.CALLS.clear()
    fit = training(zone, steps=steps, extra=extra)
    fit["params"] |= params
    weight = {"type": "weight_of", "wires": {"model": f"{zone}.models.m"}}
    average = {"type": "weight_of", "wires": {"model": f"{zone}.ema.m"}}
    nodes = setting(**{zone: fit}, weight=weight, average=average)
    return engine.run(graph(nodes), targets=["weight", "average"])


def by_hand(weight: float, steps: int) -> float:
    """The one weight, trained by PyTorch alone with a new optimizer."""
    w = torch.nn.Parameter(torch.tensor(weight))
    adam = torch.optim.AdamW([w], lr=0.1, weight_decay=0)
    for _ in range(steps):
        adam.zero_grad()
        ((2 * w) ** 2).backward()
        adam.step()
    return w.item()


@pytest.mark.parametrize("form", ["name", "folder", "absolute", "checkpoint"])
def test_weights_are_taken_over_and_all_else_is_new(
    make_engine: Callable[[], Engine], tmp_path: Path, form: str
) -> None:
    first = fitted(make_engine())
    begun = float(first.values["weight"])
    run = first.folder
    named = {
        "name": run.name,
        "folder": f"runs/{run.name}",
        "absolute": str(run),
        "checkpoint": checkpoint_of(run, "fit").relative_to(tmp_path).as_posix(),
    }[form]
    second = fitted(make_engine(), "other", steps=2, warm_start=named)
    assert toys.CALLS.count("step") == 2
    assert float(second.values["weight"]) == pytest.approx(by_hand(begun, 2), abs=1e-6)
    told = [each.message for each in second.events if isinstance(each, events.Log)]
    assert f"begins with the models of {run.name} after 3 steps" in told
    fitted(make_engine(), "other", steps=2, warm_start=named)
    assert toys.CALLS.count("step") == 0, "it is cached"
    fitted(make_engine(), "other", steps=5, warm_start=named)
    assert toys.CALLS.count("step") == 3, "more steps go on from its own checkpoint"


def test_the_best_models_are_begun_with(make_engine: Callable[[], Engine]) -> None:
    first = fitted(make_engine(), steps=10, extra={"stop": measured(steps=1, patience=2)})
    best = float(first.values["weight"])
    second = fitted(make_engine(), "other", steps=0, warm_start=first.folder.name)
    assert float(second.values["weight"]) == pytest.approx(best)


def test_a_run_that_is_none_or_unclear_is_refused(make_engine: Callable[[], Engine], tmp_path: Path) -> None:
    with pytest.raises(WorkflowError, match="there is no folder"):
        fitted(make_engine(), warm_start="yesterday")
    (tmp_path / "runs" / "empty").mkdir(parents=True)
    with pytest.raises((NodeError, WorkflowError), match="is no run that trained anything, and no checkpoint"):
        fitted(make_engine(), warm_start="empty")


def test_other_models_are_refused_by_name(make_engine: Callable[[], Engine]) -> None:
    first = fitted(make_engine())
    fit = training("other", steps=1, model="model0")
    fit["params"]["warm_start"] = first.folder.name
    text = graph(setting(other=fit)).model_dump_json().replace("models.m", "models.n")
    other = graph({}).model_validate_json(text)
    other.nodes["other"].wires["models"] = {"n": "model0"}
    with pytest.raises(NodeError, match="it trained m, and here is n; give one the same name"):
        make_engine().run(other, targets=["other.models.n"])


def test_of_a_sweep_one_checkpoint_has_to_be_named(make_engine: Callable[[], Engine], tmp_path: Path) -> None:
    fit = training()
    del fit["params"]["steps"]
    fit["wires"]["steps"] = "sweep.item.steps"
    weight = {"type": "weight_of", "wires": {"model": "fit.models.m"}}
    del fit["params"]["ema"]
    fit["wires"]["ema"] = "sweep.item.ema"
    sweep = {
        "type": "for_each",
        "params": {"over": {"steps": [2, 3], "ema": [0.5, 0.9]}},
        "body": {"nodes": {"fit": fit, "weight": weight}, "results": {"w": "weight"}},
    }
    run = make_engine().run(graph(setting(sweep=sweep)), targets=["sweep.w"]).folder
    with pytest.raises(ValueError, match=r"trained fit 2 times, with other settings each; name the folder"):
        checkpoint_of(run, "fit")
