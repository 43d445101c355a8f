"""Optimizers, schedules, groups and averages on the canvas' wires: trained, checked, stopped and gone on from, cached."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from core.checkpoints.model_io import load_model
from graph_runner.base.problems import WorkflowError
from graph_runner.bind.validate import errors, validate
from graph_runner.contract.registry import Registry
from graph_runner.estimate.dry import Estimate, dry_run
from graph_runner.format.workflow import Workflow, save
from graph_runner.run.engine import Engine
from graph_runner.store.folders import load_tree
from tests.core.training.replay import missing
from tests.effort import THOROUGH, cases
from tests.nodes.test_processes import leaves
from tests.nodes.test_resume import kill_while_it_trains, newest, start

OPTIMIZERS = ["adamw", "sgd", "adafactor", "muon", "lion", "prodigy", "schedule_free_adamw", "adam_8bit"]
EVERY = [
    pytest.param(name, marks=pytest.mark.skipif(bool(missing(name)), reason=f"needs {missing(name)}"))
    for name in OPTIMIZERS
]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan(["graph_runner.zones", "nodes", "tests.nodes.toy_optimizer"])


def training(optimizer: dict[str, Any], steps: int = 4, **more: Any) -> dict[str, Any]:
    """An autoencoder on shapes, with an optimizer, groups, frozen parameters, and a look after every second step."""
    own = "fit.models.ae"
    nodes: dict[str, Any] = {
        "shapes": {"type": "shapes_dataset", "params": {"size": 32, "resolution": 16}},
        "fresh": {
            "type": "kl_autoencoder",
            "params": {
                "model_channels": 16,
                "channel_mult": [1, 2],
                "num_res_blocks": 1,
                "mid_attention": False,
                "norm_groups": 4,
            },
        },
        "optimizer": optimizer,
        "rate": {"type": "cosine_lr", "params": {"horizon": 50, "warmup": 2}},
        "groups": {
            "type": "parameter_group",
            "params": {"patterns": ["*.bias", "*Norm.*"], "weight_decay": 0.0},
            "wires": {"optimizer": "optimizer"},
        },
        "kept": {"type": "freeze", "params": {"patterns": ["*conv_in*"]}, "wires": {"optimizer": "groups"}},
        "clipped": {"type": "clip_gradients", "params": {"norm": 2, "value": 1}, "wires": {"optimizer": "kept"}},
        "fit": {
            "type": "train",
            "params": {"steps": steps, "batch_size": 4} | more.pop("params", {}),
            "wires": {"data": "shapes", "models": {"ae": "fresh"}} | more.pop("wires", {}),
            "body": {
                "nodes": {
                    "images": {"type": "batch_images", "wires": {"batch": "fit.batch"}},
                    "posterior": {"type": "posterior", "wires": {"autoencoder": own, "images": "images"}},
                    "z": {"type": "sample_posterior", "wires": {"autoencoder": own, "posterior": "posterior"}},
                    "again": {"type": "decode", "wires": {"autoencoder": own, "z": "z"}},
                    "error": {"type": "reconstruction_loss", "wires": {"a": "again", "b": "images"}},
                    "aim": {
                        "type": "objective",
                        "wires": {"loss": "error", "models": [own], "optimizer": more.pop("to", "clipped")},
                    },
                },
                "results": {"objectives": ["aim"]},
            },
        },
    }
    look = {
        "type": "every",
        "params": {"steps": 2},
        "body": {
            "nodes": {"keep": {"type": "save_models", "wires": {"models": {"ae": own}}, "params": {"name": "seen"}}}
        },
    }
    nodes["fit"]["body"]["nodes"] |= {"look": look} if more.pop("looked_at", False) else {}
    return nodes | more


def graph(nodes: dict[str, Any]) -> Workflow:
    return Workflow.model_validate({"loom": 1, "nodes": nodes})


def scheduled(name: str) -> dict[str, Any]:
    return {"type": name, "wires": {"learning_rate": "rate"}}


def trained(
    registry: Registry, workspace: Path, nodes: dict[str, Any], dtype: str = "float32"
) -> dict[str, torch.Tensor]:
    model = (
        Engine(registry, workspace, dtype=dtype).run(graph(nodes), targets=["fit.models.ae"]).values["fit.models.ae"]
    )
    return dict(model.state_dict())


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize(
    "dtype",
    ["float32", *(pytest.param(half, marks=pytest.mark.slow) for half in ("float16", "bfloat16")[: cases(1, 2)])],
)
@pytest.mark.parametrize("name", EVERY)
def test_each_optimizer_trains_is_looked_at_and_goes_on_to_the_bit(
    name: str, dtype: str, registry: Registry, tmp_path: Path
) -> None:
    """The training that goes on was looked at, the other was not. What was seen last is what the training gives."""
    optimizer = scheduled(name)
    some, all_of_them = (16, 24) if dtype == "float16" else (4, 7)  # its first steps overflow, and move nothing
    whole = trained(registry, tmp_path / "whole", training(optimizer, all_of_them), dtype)
    fewer = trained(registry, tmp_path / "parts", training(optimizer, some, looked_at=True), dtype)
    more = trained(registry, tmp_path / "parts", training(optimizer, all_of_them, looked_at=True), dtype)
    assert equal(whole, more)
    assert not equal(whole, fewer)
    assert all(bool(value.isfinite().all()) for value in whole.values())
    seen = load_model(tmp_path / "parts/models/seen/ae.safetensors").model
    assert equal(dict(seen.state_dict()), more)
    (last,) = (tmp_path / "parts" / "checkpoints").glob(f"*/step-{all_of_them}")
    assert equal(load_tree(last)["models"]["ae"], more), "a checkpoint's models are those to use"


@pytest.mark.parametrize("name", EVERY)
def test_the_dry_run_of_each_is_without_problems(name: str, registry: Registry) -> None:
    found = estimate(training(scheduled(name)), registry)
    assert found.problems == []
    assert found.nodes["fit"].gives or found.nodes["aim"].runs


def estimate(nodes: dict[str, Any], registry: Registry) -> Estimate:
    top, problems = validate(graph(nodes), registry)
    assert errors(problems) == []
    return dry_run(top, Path("/nowhere"))


def test_check_tells_what_a_recipe_cannot_do(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = training({"type": "adamw"}, looked_at=True)
    nodes["kept"]["params"]["patterns"] = ["conv_in"]
    (problem,) = estimate(nodes, registry).problems
    assert problem.node == "fit"
    assert problem.message == "objective 'loss': no parameter matches 'conv_in'; did you mean '*conv_in*'?"

    twice = training({"type": "adamw", "params": {"warmup": 5}, "wires": {"learning_rate": "rate"}}, looked_at=True)
    (problem,) = estimate(twice, registry).problems
    assert problem.node == "optimizer"
    assert "a learning rate is wired in, and warmup or decay is typed in too" in problem.message

    averaged = training({"type": "adamw"}, looked_at=True, params={"ema": 0.9}, wires={"averaging": "average"})
    averaged["average"] = {"type": "power_average"}
    (problem,) = estimate(averaged, registry).problems
    assert "ema is 0.9, and an averaging is wired in" in problem.message

    monkeypatch.setattr("core.training.optimizers.find_spec", lambda _: None)
    (problem,) = estimate(training({"type": "lion"}, looked_at=True), registry).problems
    assert problem.node == "optimizer"
    assert "needs the package pytorch-optimizer, which is not installed" in problem.message


def test_a_strangers_optimizer_schedule_and_average_serve(registry: Registry, tmp_path: Path) -> None:
    for name in ("rmsprop", "rmsprop_with_rate"):
        optimizer = {"type": name, "params": {"lr": 0.01}}
        if name == "rmsprop_with_rate":
            optimizer |= {"wires": {"learning_rate": "halves"}}

        def nodes(steps: int, optimizer: dict[str, Any] = optimizer) -> dict[str, Any]:
            return training(
                optimizer,
                steps,
                wires={"averaging": "average"},
                average={"type": "plain_mean"},
                halves={"type": "halving"},
            )

        whole = Engine(registry, tmp_path / f"{name}-whole").run(
            graph(nodes(5)), targets=["fit.models.ae", "fit.ema.ae"]
        )
        Engine(registry, tmp_path / name).run(graph(nodes(3)), targets=["fit.models.ae"])
        more = Engine(registry, tmp_path / name).run(graph(nodes(5)), targets=["fit.models.ae", "fit.ema.ae"])
        for target, value in whole.values.items():
            assert equal(dict(value.state_dict()), dict(more.values[target].state_dict()))
        assert not equal(*(dict(value.state_dict()) for value in whole.values.values()))


def test_groups_and_frozen_parameters_of_a_graph_are_heeded(registry: Registry, tmp_path: Path) -> None:
    fresh = (
        Engine(registry, tmp_path).run(graph(training({"type": "sgd"})), targets=["fresh"]).values["fresh"].state_dict()
    )
    after = trained(registry, tmp_path, training({"type": "sgd", "params": {"lr": 1}}))
    for name, value in after.items():
        if "logvar" not in name and "scale" not in name and "shift" not in name:
            assert torch.equal(value, fresh[name]) == ("conv_in" in name), name


def test_a_student_begins_as_its_teacher_and_the_teacher_stays(registry: Registry, tmp_path: Path) -> None:
    def nodes(wired: str) -> dict[str, Any]:
        made = training({"type": "adamw", "params": {"lr": 1e-3}}, 3, to="optimizer")
        made["teacher"] = {"type": "frozen_copy", "wires": {"model": "fresh"}}
        body = made["fit"]["body"]["nodes"]
        body["told"] = {"type": "posterior", "wires": {"autoencoder": wired, "images": "images"}}
        body["aimed"] = {
            "type": "sample_posterior",
            "wires": {"autoencoder": wired, "posterior": "told"},
            "params": {"seed": 1},
        }
        body["shown"] = {"type": "decode", "wires": {"autoencoder": wired, "z": "aimed"}}
        body["error"]["wires"] = {"a": "again", "b": "shown"}
        return made

    with pytest.raises(
        WorkflowError, match=r"Read fit\.models\.ae instead; .* a frozen_copy of it drawn outside of 'fit'"
    ):
        Engine(registry, tmp_path).run(graph(nodes("fresh")), targets=["fit.models.ae"])
    targets = ["fit.models.ae", "teacher", "fresh"]
    values = Engine(registry, tmp_path).run(graph(nodes("teacher")), targets=targets).values
    student, teacher, fresh = (dict(values[target].state_dict()) for target in targets)
    assert equal(teacher, fresh)
    assert not equal(student, teacher)
    assert values["teacher"] is not values["fresh"]
    assert not values["teacher"].training
    assert not any(parameter.requires_grad for parameter in values["teacher"].parameters())


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", EVERY if THOROUGH else ["muon", "schedule_free_adamw"])
def test_kills_change_no_bit(name: str, tmp_path: Path) -> None:
    """SIGKILL at random moments of a training through the command line, against one that nobody disturbed."""
    workflow, whole, killed, steps = tmp_path / "fit.json", tmp_path / "whole", tmp_path / "killed", 60
    nodes = training(scheduled(name), steps, looked_at=True)
    nodes["done"] = {"type": "save_models", "wires": {"models": {"ae": "fit.models.ae"}}, "params": {"name": "done"}}
    save(graph(nodes), workflow)
    assert start(whole, workflow).wait() == 0
    chance = random.Random(OPTIMIZERS.index(name))
    for i in range(3):
        kill_while_it_trains(killed, workflow, chance, while_writing=i == 1)
    assert newest(killed) < steps, "all kills came while it trained"
    assert start(killed, workflow).wait() == 0
    (a,), (b,) = ((w / "checkpoints").glob(f"*/step-{steps}") for w in (whole, killed))
    left, right = leaves(load_tree(a)), leaves(load_tree(b))
    assert left.keys() == right.keys()
    for key, value in left.items():
        assert torch.equal(value, right[key]) if isinstance(value, torch.Tensor) else value == right[key], key
    models = [(w / "models/done/ae.safetensors").read_bytes() for w in (whole, killed)]
    assert models[0] == models[1]
