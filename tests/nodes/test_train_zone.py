"""The training zone on toy models: where a wrong contract between loops, copies, caches and gradients shows first."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from graph_runner.base.problems import WorkflowError
from graph_runner.bind.validate import errors, validate
from graph_runner.compile.keys import Keys
from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Engine
from tests.graph_runner import toys
from tests.graph_runner.conftest import graph

ADAM = {"type": "adamw", "params": {"lr": 0.1, "weight_decay": 0}}


@pytest.fixture(autouse=True)
def fresh_logs() -> None:
    toys.CALLS.clear()
    toys.RECORDED.clear()


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan(["tests.graph_runner.toys", "tests.nodes.toy_data", "graph_runner.zones", "nodes.training"])


@pytest.fixture
def make_engine(registry: Registry, tmp_path: Path) -> Callable[[], Engine]:
    return lambda: Engine(registry, workspace=tmp_path)


def training(
    zone: str = "fit", *, steps: int = 5, model: str = "model0", extra: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A zone that pulls a one-weight model's output towards zero; `extra` nodes join its body."""
    return {
        "type": "train",
        "wires": {"data": "data", "models": {"m": model}},
        "params": {"steps": steps, "batch_size": 1, "ema": 0.9},
        "body": {
            "nodes": {
                "x": {"type": "batch_number", "wires": {"batch": f"{zone}.batch"}},
                "y": {"type": "apply", "wires": {"model": f"{zone}.models.m", "x": "x"}},
                "loss": {"type": "square", "wires": {"x": "y"}},
                "counted": {"type": "noted", "wires": {"x": "loss"}, "params": {"label": "step"}},
                "seen": {"type": "as_loss", "wires": {"x": "counted"}},
                "aim": {
                    "type": "objective",
                    "wires": {"loss": "seen", "models": [f"{zone}.models.m"], "optimizer": "adam"},
                },
                **(extra or {}),
            },
            "results": {"objectives": ["aim"]},
        },
    }


def setting(**nodes: Any) -> dict[str, Any]:
    return {
        "data": {"type": "toy_data", "params": {"values": [2.0]}},
        "model0": {"type": "scalar_model"},
        "adam": ADAM,
        **nodes,
    }


def test_training_inside_for_each_starts_anew_each_turn_and_equal_runs_give_equal_results(
    make_engine: Callable[[], Engine],
) -> None:
    fit = training(extra=None)
    nodes = setting(
        sweep={
            "type": "for_each",
            "params": {"over": {"again": [1, 1, 1]}},
            "body": {
                "nodes": {"fit": fit, "weight": {"type": "weight_of", "wires": {"model": "fit.models.m"}}},
                "results": {"weights": "weight"},
            },
        }
    )
    first = make_engine().run(graph(nodes), targets=["sweep.weights"]).values["sweep.weights"]
    assert len(first) == 3
    assert first[0] == first[1] == first[2] != 1.0
    assert toys.CALLS.count("step") == 15
    again = make_engine().run(graph(nodes), targets=["sweep.weights"]).values["sweep.weights"]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_every_runs_each_n_turns_and_on_the_last_and_sees_the_model_after_the_step(
    make_engine: Callable[[], Engine],
) -> None:
    extra = {
        "before": {"type": "weight_of", "wires": {"model": "fit.models.m"}},
        "look": {
            "type": "every",
            "params": {"steps": 3},
            "body": {
                "nodes": {
                    "after": {"type": "weight_of", "wires": {"model": "fit.models.m"}},
                    "save_before": {"type": "record", "wires": {"x": "before"}, "params": {"label": "before"}},
                    "save_after": {"type": "record", "wires": {"x": "after"}, "params": {"label": "after"}},
                    "mean": {"type": "weight_of", "wires": {"model": "fit.ema.m"}},
                    "save_mean": {"type": "record", "wires": {"x": "mean"}, "params": {"label": "mean"}},
                }
            },
        },
    }
    nodes = setting(
        fit=training(steps=7, extra=extra), weight={"type": "weight_of", "wires": {"model": "fit.models.m"}}
    )
    result = make_engine().run(graph(nodes), targets=["weight", "fit.ema.m"])
    before, after = toys.RECORDED["before"], toys.RECORDED["after"]
    assert len(before) == len(after) == 3, "after turns 3 and 6, and after the last"
    assert all(a < b for a, b in zip(after, before, strict=True)), (
        "the step made the weight smaller before the body ran"
    )
    assert after[-1] == float(result.values["weight"])
    assert toys.RECORDED["mean"][-1] == float(result.values["fit.ema.m"].weight)


def test_one_discriminator_node_feeds_two_losses_and_each_objective_reaches_only_its_own_models(
    make_engine: Callable[[], Engine],
) -> None:
    nodes = {
        "data": {"type": "toy_data", "params": {"values": [2.0]}},
        "g0": {"type": "scalar_model", "params": {"weight": 0.5}},
        "d0": {"type": "scalar_model", "params": {"weight": 0.7}},
        "adam": ADAM,
        "gan": {
            "type": "train",
            "wires": {"data": "data", "models": {"g": "g0", "d": "d0"}},
            "params": {"steps": 4, "batch_size": 1},
            "body": {
                "nodes": {
                    "x": {"type": "batch_number", "wires": {"batch": "gan.batch"}},
                    "made": {"type": "apply", "wires": {"model": "gan.models.g", "x": "x"}},
                    "fake": {"type": "apply", "wires": {"model": "gan.models.d", "x": "made"}},
                    "minus": {"type": "scale", "wires": {"x": "fake"}, "params": {"by": -1}},
                    "fooled": {"type": "as_loss", "wires": {"x": "minus"}},
                    "squared": {"type": "square", "wires": {"x": "fake"}},
                    "caught": {"type": "as_loss", "wires": {"x": "squared"}},
                    "generator": {
                        "type": "objective",
                        "wires": {"loss": "fooled", "models": ["gan.models.g"], "optimizer": "adam"},
                        "params": {"name": "g"},
                    },
                    "critic": {
                        "type": "objective",
                        "wires": {"loss": "caught", "models": ["gan.models.d"], "optimizer": "adam"},
                        "params": {"name": "d"},
                    },
                },
                "results": {"objectives": ["generator", "critic"]},
            },
        },
    }
    result = make_engine().run(graph(nodes), targets=["gan.models.g", "gan.models.d"])

    g, d = toys.Scalar(0.5), toys.Scalar(0.7)
    adam_g, adam_d = (torch.optim.AdamW([m.weight], lr=0.1, weight_decay=0) for m in (g, d))
    for _ in range(4):
        fake = d(g(torch.tensor(2.0)))
        (grad_g,) = torch.autograd.grad(-fake, g.weight, retain_graph=True)
        (grad_d,) = torch.autograd.grad(fake**2, d.weight)
        g.weight.grad, d.weight.grad = grad_g, grad_d
        adam_g.step()
        adam_d.step()
    assert torch.allclose(result.values["gan.models.g"].weight, g.weight, atol=1e-6)
    assert torch.allclose(result.values["gan.models.d"].weight, d.weight, atol=1e-6)


def test_a_random_node_in_a_body_draws_anew_each_turn_and_the_same_again(make_engine: Callable[[], Engine]) -> None:
    def run(name: str) -> list[float]:
        extra = {
            name: {"type": "random_number", "params": {"seed": 3}},
            "keep": {"type": "record", "wires": {"x": name}, "params": {"label": "draw"}},
        }
        toys.RECORDED.clear()
        make_engine().run(graph(setting(fit=training(steps=4, extra=extra))), targets=["fit.models.m"], fresh=True)
        return toys.RECORDED["draw"]

    draws = run("chance")
    assert len(set(draws)) == 4
    assert run("renamed") == draws, "names and order of execution do not matter"


def test_editing_a_preview_retrains_nothing(make_engine: Callable[[], Engine]) -> None:
    def nodes(n: int) -> dict[str, Any]:
        look = {
            "look": {
                "type": "every",
                "params": {"steps": n},
                "body": {"nodes": {"show": {"type": "show_number", "wires": {"x": "loss"}}}},
            }
        }
        return setting(
            fit=training(steps=6, extra=look),
            weight={"type": "weight_of", "wires": {"model": "fit.models.m"}},
            saved={"type": "record", "wires": {"x": "weight"}},
        )

    first = make_engine().run(graph(nodes(2)))
    assert toys.CALLS.count("step") == 6
    assert len(list(first.folder.rglob("number*.txt"))) == 3
    toys.CALLS.clear()
    again = make_engine().run(graph(nodes(5)))
    assert toys.CALLS == [], "the edited preview is no part of what training computes"
    assert len(again.shown) == 3, "the files the cached zone once showed are shown again"
    assert toys.RECORDED["x"][0] == toys.RECORDED["x"][1]


def test_the_untrained_model_is_still_there_after_training(make_engine: Callable[[], Engine]) -> None:
    nodes = setting(
        fit=training(),
        before={"type": "weight_of", "wires": {"model": "model0"}},
        after={"type": "weight_of", "wires": {"model": "fit.models.m"}},
    )
    result = make_engine().run(graph(nodes), targets=["after", "before"])
    assert float(result.values["before"]) == 1.0
    assert float(result.values["after"]) < 1.0
    model = copy.deepcopy(make_engine().run(graph(nodes), targets=["fit.models.m"]).values["fit.models.m"])
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters()), "models on wires are in eval mode without gradients"


def test_more_steps_go_on_from_the_checkpoint_of_fewer(registry: Registry, tmp_path: Path) -> None:
    ports = ["fit.models.m", "fit.ema.m"]
    whole = Engine(registry, tmp_path / "whole").run(graph(setting(fit=training(steps=9))), targets=ports)
    assert toys.CALLS.count("step") == 9
    Engine(registry, tmp_path / "parts").run(graph(setting(fit=training(steps=5))), targets=ports)
    toys.CALLS.clear()
    more = Engine(registry, tmp_path / "parts").run(graph(setting(fit=training(steps=9))), targets=ports)
    assert toys.CALLS.count("step") == 4
    for port in ports:
        assert torch.equal(whole.values[port].weight, more.values[port].weight)


def test_reading_the_outer_model_inside_its_own_training_zone_is_refused(make_engine: Callable[[], Engine]) -> None:
    extra = {
        "wrong": {"type": "weight_of", "wires": {"model": "model0"}},
        "keep": {"type": "record", "wires": {"x": "wrong"}},
    }
    with pytest.raises(WorkflowError, match=r"wrong\.model: .*fit\.models\.m"):
        make_engine().run(graph(setting(fit=training(extra=extra))), targets=["fit.models.m"])


def test_what_is_new_on_old_nodes_leaves_their_keys(registry: Registry) -> None:
    """Keys recorded with version 0.1: what it cached is found, and what it trained is gone on from."""
    nodes = setting(fit=training())
    top, problems = validate(graph(nodes), registry)
    assert errors(problems) == []
    keys = Keys(0, "float32", lambda bound: str(bound.spec.version))
    found = {id: keys.key(top.nodes[id]) for id in nodes}
    assert found["adam"] == "47f6cbd23d6c895975bc2bf3ba26eb2fdfcd1e5d24fe50301cdabba0633ea36e"
    assert found["fit"] == "1acc01f48f1e6fd12d5d86459688ebb321296435d80022884c91d65a85cb8cb2"
