"""The transformer in trainings: with classes of its own, resumed to the bit, in half precision, and in two processes."""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from core.models.dit import DiT
from graph_runner.base import events
from graph_runner.contract.processes import Processes
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine, Result
from tests.world import in_two

TARGETS = ["fit.models.dit", "fit.ema.dit"]
STEPS = 12
CLOSE = 1e-3
"""How far losses of two processes and of one may be apart, as a share: they add in another order. Measured: 7e-8."""


def graph(steps: int = STEPS) -> Workflow:
    """A transformer told classes by numbers, trained on small pictures with condition dropout, then sampled with guidance."""
    body: dict[str, Any] = {
        "images": {"type": "batch_images", "wires": {"batch": "fit.batch"}},
        "z0": {"type": "encode", "wires": {"autoencoder": "autoencoder", "images": "images"}},
        "labels": {"type": "batch_labels", "wires": {"batch": "fit.batch"}},
        "told": {"type": "labels_y", "wires": {"labels": "labels"}},
        "kept": {
            "type": "drop_conditions",
            "params": {"probability": 0.3},
            "wires": {"conditioning": "told", "null": "none"},
        },
        "t": {"type": "random_timesteps", "wires": {"schedule": "schedule", "z": "z0"}},
        "eps": {"type": "noise_like", "wires": {"z": "z0"}},
        "zt": {"type": "add_noise", "wires": {"schedule": "schedule", "z0": "z0", "noise": "eps", "t": "t"}},
        "guess": {"type": "denoise", "wires": {"model": "fit.models.dit", "z": "zt", "t": "t", "condition": "kept"}},
        "loss": {
            "type": "diffusion_loss",
            "wires": {"schedule": "schedule", "prediction": "guess", "z0": "z0", "noise": "eps", "t": "t"},
        },
        "o": {"type": "objective", "wires": {"loss": "loss", "models": ["fit.models.dit"], "optimizer": "adam"}},
    }
    asked = {
        id: {"type": "denoise", "wires": {"model": "fit.ema.dit", "z": "sample.z", "t": "sample.t", "condition": told}}
        for id, told in (("cond", "class"), ("uncond", "none"))
    }
    asked["guide"] = {"type": "cfg_combine", "wires": {"cond": "cond", "uncond": "uncond"}, "params": {"scale": 2}}
    nodes = {
        "shapes": {"type": "shapes_dataset", "params": {"size": 64, "resolution": 16}},
        "autoencoder": {
            "type": "kl_autoencoder",
            "params": {"model_channels": 4, "channel_mult": [1, 2], "num_res_blocks": 1, "norm_groups": 2},
        },
        "schedule": {"type": "noise_schedule"},
        "dit": {
            "type": "dit",
            "params": {"hidden_size": 16, "depth": 2, "num_heads": 2, "sample_size": 8, "num_classes": 24},
        },
        "none": {"type": "class_y", "params": {"classes": [24]}},
        "class": {"type": "class_y", "params": {"classes": [3, 7]}},
        "adam": {"type": "adamw", "params": {"lr": 0.003}},
        "fit": {
            "type": "train",
            "params": {"steps": steps, "batch_size": 8, "ema": 0.9, "log_every": 1},
            "wires": {"data": "shapes", "models": {"dit": "dit"}},
            "body": {"nodes": body, "results": {"objectives": ["o"]}},
        },
        "noise": {"type": "gaussian_noise", "params": {"shape": [2, 4, 8, 8]}},
        "sample": {
            "type": "sample",
            "params": {"steps": 3},
            "wires": {"noise": "noise", "schedule": "schedule"},
            "body": {"nodes": asked, "results": {"prediction": "guide"}},
        },
    }
    return Workflow.model_validate({"loom": 1, "nodes": nodes})


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan(["graph_runner.zones", "nodes"])


@pytest.fixture(scope="module")
def whole(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return Engine(registry, tmp_path_factory.mktemp("whole")).run(graph(), targets=[*TARGETS, "sample"]).values


def losses(result: Result) -> list[float]:
    return [event.values["loss/loss"] for event in result.events if isinstance(event, events.Metric)]


def apart(a: torch.nn.Module, b: torch.nn.Module) -> float:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return max(float((x.double() - y.double()).abs().max()) for x, y in pairs)


def test_classes_of_its_own_are_learned_dropped_and_guided(whole: dict[str, Any], registry: Registry) -> None:
    trained = whole["fit.models.dit"]
    assert isinstance(trained, DiT)
    fresh = DiT(**trained.config).y_embedder
    assert trained.y_embedder.embedding_table.num_embeddings == fresh.embedding_table.num_embeddings == 25
    assert whole["sample"].shape == (2, 4, 8, 8)
    assert whole["sample"].isfinite().all()


def test_a_stopped_training_goes_on_to_the_same_bits(whole: dict[str, Any], registry: Registry, tmp_path: Path) -> None:
    stop = threading.Event()

    def interrupt(event: events.Event) -> None:
        if isinstance(event, events.Metric) and event.turn == STEPS // 2:
            stop.set()

    broken = Engine(registry, tmp_path).run(
        graph(), targets=TARGETS, checkpoint_seconds=0, listeners=[interrupt], stop=stop
    )
    assert broken.status == "stopped"
    resumed = Engine(registry, tmp_path).run(graph(), targets=TARGETS)
    assert len(losses(resumed)) < STEPS, "it began anew"
    assert all(apart(resumed.values[name], whole[name]) == 0 for name in TARGETS)


def test_half_precision_learns_as_well(registry: Registry, tmp_path: Path) -> None:
    curves = {}
    for dtype in ("float32", "bfloat16", "float16"):
        result = Engine(registry, tmp_path / dtype, dtype=dtype).run(graph(), targets=["fit.models.dit"])
        model = result.values["fit.models.dit"]
        assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
        curves[dtype] = torch.tensor(losses(result))
    for dtype in ("bfloat16", "float16"):
        assert (curves[dtype] / curves["float32"] - 1).abs().max() < 0.1, dtype


def in_a_world(world: Processes) -> dict[str, Any]:
    """The training on this process' share of the rows."""
    registry = Registry.scan(["graph_runner.zones", "nodes"])
    workspace = world.agree(tempfile.mkdtemp())
    result = Engine(registry, workspace, processes=world).run(graph(), targets=TARGETS)
    world.agree(None)
    if world.rank == 0:
        shutil.rmtree(workspace)
    return {"losses": losses(result), "models": {name: result.values[name].state_dict() for name in TARGETS}}


@pytest.mark.slow
def test_two_processes_train_it_as_one_does(whole: dict[str, Any], registry: Registry, tmp_path: Path) -> None:
    alone = Engine(registry, tmp_path / "alone").run(graph(), targets=TARGETS)
    first, second = in_two("tests.nodes.test_transformer:in_a_world", tmp_path)
    assert first["losses"] == pytest.approx(losses(alone), rel=CLOSE)
    for name in TARGETS:
        ours, theirs = first["models"][name], second["models"][name]
        assert all(torch.equal(ours[key], theirs[key]) for key in ours), "the processes hold different models"
