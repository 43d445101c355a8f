"""Training, resuming and sampling in half precision, held against float32."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from graph_runner.base import events
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from graph_runner.store.folders import load_tree
from tests.nodes.test_processes import leaves

SHIPPED = Path(__file__).parents[2] / "workflows/train_autoencoder.json"
PORTS = ["autoencoder.models.autoencoder", "autoencoder.ema.autoencoder"]
UNET = {"in_channels": 4, "out_channels": 4, "model_channels": 16, "channel_mult": [1, 2], "norm_groups": 4}
CURVES = 0.1
"""How far a half-precision curve may be from float32's, as a share of it, at any point. Measured: .03 at most. With the weights
of the first step kept the shipped autoencoder's was .66 away."""


def autoencoder(steps: int, adversarial_from: int, *, tiny: bool) -> Workflow:
    """The shipped training of an autoencoder with its discriminator, on few images; tiny: of few channels and pixels."""
    document = json.loads(SHIPPED.read_text())
    nodes: dict[str, Any] = document["nodes"]
    nodes["shapes"]["params"]["size"] = 512
    fit = nodes["autoencoder"]
    fit["params"] |= {"steps": steps, "log_every": 1 if tiny else 5, "ema": 0.9}
    inside = fit["body"]["nodes"]
    del inside["look_at_autoencoder"]
    inside["balance"]["params"]["start"] = inside["critic_loss_late"]["params"]["start"] = adversarial_from
    if tiny:
        nodes["shapes"]["params"] |= {"size": 32, "resolution": 16}
        nodes["autoencoder0"]["params"] |= {"model_channels": 4, "channel_mult": [1, 2], "norm_groups": 2}
        nodes["discriminator0"]["params"] |= {"base_channels": 4, "num_layers": 1}
        nodes["autoencoder_optimizer"]["params"] |= {"warmup": 0}
        fit["params"] |= {"batch_size": 8}
    wanted = (
        "shapes",
        "autoencoder0",
        "discriminator0",
        "autoencoder_optimizer",
        "discriminator_optimizer",
        "autoencoder",
    )
    return Workflow.model_validate({"loom": 1, "nodes": {name: nodes[name] for name in wanted}})


def curves(found: list[events.Event]) -> dict[str, list[float]]:
    """The losses by name, point after point."""
    points: dict[str, list[float]] = {}
    for event in found:
        for name, value in event.values.items() if isinstance(event, events.Metric) else ():
            points.setdefault(name, []).append(value)
    return points


def train(registry: Registry, workspace: Path, dtype: str, workflow: Workflow) -> dict[str, list[float]]:
    """Train, and give the curves."""
    return curves(Engine(registry, workspace, dtype=dtype).run(workflow, targets=PORTS).events)


def close(found: list[float], wanted: list[float], tolerance: float) -> bool:
    """Whether two curves agree, at each point, to a share of the second."""
    return torch.allclose(torch.tensor(found), torch.tensor(wanted), rtol=tolerance, atol=0.0)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_training_in_half_precision_learns_as_in_float32(registry: Registry, tmp_path: Path, dtype: str) -> None:
    wanted = train(registry, tmp_path, "float32", autoencoder(16, 100, tiny=True))["loss/autoencoder"]
    found = train(registry, tmp_path, dtype, autoencoder(16, 100, tiny=True))["loss/autoencoder"]
    assert wanted[-1] < 0.8 * wanted[0], "it learns"
    assert close(found, wanted, CURVES), (found, wanted)


@pytest.mark.slow
def test_the_shipped_autoencoder_learns_in_bfloat16_with_both_objectives(registry: Registry, tmp_path: Path) -> None:
    wanted = train(registry, tmp_path, "float32", autoencoder(40, 10, tiny=False))
    found = train(registry, tmp_path, "bfloat16", autoencoder(40, 10, tiny=False))
    assert wanted["loss/autoencoder"][-1] < 0.75 * wanted["loss/autoencoder"][0]
    assert close(found["loss/autoencoder"], wanted["loss/autoencoder"], CURVES), (found, wanted)
    ours, theirs = (torch.tensor(each["loss/discriminator"]) for each in (found, wanted))
    assert torch.allclose(ours, theirs, atol=0.15), "the discriminator learns too; its loss falls from 1 towards 0"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_resumed_training_equals_an_uninterrupted_one_to_the_bit(
    registry: Registry, tmp_path: Path, dtype: str
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(registry, whole, dtype, autoencoder(8, 3, tiny=True))
    train(registry, parts, dtype, autoencoder(5, 3, tiny=True))
    points = train(registry, parts, dtype, autoencoder(8, 3, tiny=True))
    assert len(points["loss/autoencoder"]) == 3, "it went on after the fifth turn"
    left, right = (leaves(load_tree(next((at / "checkpoints").glob("*/step-8")))) for at in (whole, parts))
    assert left.keys() == right.keys()
    for key, value in left.items():
        assert torch.equal(value, right[key]) if isinstance(value, torch.Tensor) else value == right[key], key
    scales = {key: value for key, value in left.items() if key.startswith("/scalers") and key.endswith("/scale")}
    assert len(scales) == (2 if dtype == "float16" else 0), "each objective has a scale of its own"


def sampling(params: dict[str, Any], **more: Any) -> Workflow:
    """A sample of a UNet whose weights all matter. params: of the sampling zone. more: nodes beside it."""
    nodes = {
        "fresh": {"type": "unet", "params": UNET},
        "unet": {"type": "awakened_unet", "wires": {"model": "fresh"}},
        "schedule": {"type": "noise_schedule"},
        "noise": {"type": "gaussian_noise", "params": {"shape": [2, 4, 8, 8]}},
        "draw": {
            "type": "sample",
            "wires": {"noise": "noise", "schedule": "schedule"},
            "params": params,
            "body": {
                "nodes": {"eps": {"type": "denoise", "wires": {"model": "unet", "z": "draw.z", "t": "draw.t"}}},
                "results": {"prediction": "eps"},
            },
        },
    }
    return Workflow.model_validate({"loom": 1, "nodes": nodes | more})


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("solver", ["ddim", "dpmpp_2m", "euler_ancestral"])
def test_sampling_in_half_precision_gives_what_float32_gives(
    registry: Registry, tmp_path: Path, dtype: str, solver: str
) -> None:
    workflow = sampling({"steps": 6, "solver": solver})
    found, wanted = (
        Engine(registry, tmp_path, dtype=each).run(workflow, targets=["draw"]).values["draw"]
        for each in (dtype, "float32")
    )
    assert found.dtype == torch.float32, "the solver computes in float32"
    assert not torch.equal(found, wanted)
    assert float((found - wanted).norm() / wanted.norm()) < 0.05
