"""Algorithms of papers that ship as graphs of single nodes, each held against a few lines of PyTorch."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.diffusion.schedule import NoiseSchedule
from core.models.denoiser import denoise
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Node, Workflow, load
from graph_runner.run.engine import Engine
from tests.nodes.test_sampling import assert_close
from tests.workflows.test_shipped import WORKFLOWS
from tests.workflows.test_tasks import nodes_of

ALPHAS = NoiseSchedule.linear(1000, 0.00085, 0.012).alphas_cumprod.double()
SMALL: dict[str, dict[str, Any]] = {
    "shapes": {"size": 8},
    "unseen": {"size": 2},
    "batch": {"count": 2},
    "noise": {"shape": [2, 4, 8, 8]},
    "noise_to_sample": {"shape": [2, 4, 8, 8]},
    "labels_to_sample": {"values": [0, 9]},
    "class_to_draw": {"classes": [9, 14]},
    "training": {"steps": 1, "batch_size": 2},
    "distil": {"steps": 1, "batch_size": 2},
    "worse0": {"model_channels": 8},
    "mask": {"seed": 1},
}


def small(name: str, **changes: dict[str, Any]) -> Workflow:
    """A shipped workflow, of two samples and one step of training."""
    workflow = load(WORKFLOWS / f"{name}.json")
    for id, node in nodes_of(workflow.nodes).items():
        if node.type != "noise_like":
            node.params.update({**SMALL.get(id, {}), **changes.get(id, {})})
    return workflow


def without_chance(workflow: Workflow) -> None:
    """Noise drawn on the way becomes the cosine of the latent, which a few lines can draw too."""
    for node in nodes_of(workflow.nodes).values():
        if node.type == "noise_like":
            node.type, node.params = "expression", {"formula": "cos(z)"}
            node.wires = {"values": {"z": node.wires["z"]}}


def rates(t: Tensor) -> tuple[Tensor, Tensor]:
    """(√ᾱ, √(1 − ᾱ)) at whole timesteps and halfway between, in log sigma, for each sample of a batch of latents."""
    low, high = t.floor().long(), t.ceil().long()
    log_sigma = ((1 - ALPHAS) / ALPHAS).log() / 2
    sigma = torch.lerp(log_sigma[low], log_sigma[high], (t - low).double()).exp().reshape(-1, 1, 1, 1)
    return (1 + sigma**2).rsqrt(), sigma * (1 + sigma**2).rsqrt()


def both(model: Any, z: Tensor, t: Tensor, condition: Any) -> tuple[Tensor, Tensor]:
    """(z0, eps) of a denoiser that predicts eps."""
    signal, noise = rates(t)
    with torch.no_grad():
        eps = denoise(model, z.float(), t.float(), condition).double()
    return (z - noise * eps) / signal, eps


@pytest.fixture
def engine(registry: Registry, tmp_path: Path) -> Engine:
    return Engine(registry, tmp_path)


def at(t: float, like: Tensor) -> Tensor:
    return torch.full((len(like),), float(t))


def test_repaint_jumps_back_and_keeps_what_is_known(engine: Engine) -> None:
    """Lugmayr et al. 2022, algorithm 1, with jumps of two of four steps, each segment walked twice."""
    workflow = small("repaint", steps={"formula": "4"}, jump={"formula": "2"}, resamplings={"formula": "2"})
    without_chance(workflow)
    targets = ["segments.z", "unet", "noise", "prompt", "picture", "hole", "mask"]
    values = engine.run(workflow, targets=targets, only=True).values
    hole = (torch.nn.functional.max_pool2d(values["mask"], 4) > 0).double()
    assert torch.equal(hole > 0, values["hole"] > 0)
    z, picture = values["noise"].double(), values["picture"].double()
    kept = [*(float(ALPHAS[t]) for t in (751, 501, 251, 1)), 1.0]
    for segment in (0, 2):
        for again in range(2):
            if again:
                a = kept[segment] / kept[segment + 2]
                z = math.sqrt(a) * z + math.sqrt(1 - a) * z.cos()
            for i in (segment, segment + 1):
                now, then = kept[i], kept[i + 1]
                z0, eps = both(values["unet"], z, at((751, 501, 251, 1)[i], z), values["prompt"])
                s = math.sqrt((1 - then) / (1 - now) * (1 - now / then))
                unknown = math.sqrt(then) * z0 + math.sqrt(1 - then - s**2) * eps + s * z.cos()
                known = math.sqrt(then) * picture + math.sqrt(1 - then) * z.cos()
                z = hole * unknown + (1 - hole) * known
    assert_close(values["segments.z"], z)
    assert_close(values["segments.z"][hole.expand_as(z) == 0], picture[hole.expand_as(z) == 0])


def test_autoguidance_leads_away_from_the_worse_denoiser(engine: Engine) -> None:
    """Karras et al. 2024, eq. 3, on DDIM's steps."""
    workflow = small("autoguidance", sample={"steps": 4}, free={"steps": 4}, weak={"steps": 4})
    targets = ["sample", "free", "weak", "unet", "training.ema.worse", "noise", "prompt"]
    values = engine.run(workflow, targets=targets, only=True).values
    good, worse = values["unet"], values["training.ema.worse"]
    for name, scale in (("sample", 3.0), ("free", 1.0), ("weak", 0.0)):
        z = values["noise"].double()
        for t, then in ((751, 501), (501, 251), (251, 1), (1, 0)):
            (of_good, better), (of_worse, bad) = (both(m, z, at(t, z), values["prompt"]) for m in (good, worse))
            signal, noise = rates(at(then, z))
            z = signal * (of_worse + scale * (of_good - of_worse)) + noise * (bad + scale * (better - bad))
        assert_close(values[name], z)


def test_eulers_method_on_the_straight_path(engine: Engine) -> None:
    """Through a denoiser by betas it is a few lines; through one of a flow it is what the sample node gives."""
    workflow = small("flow_by_hand", steps={"formula": "3"}, scale={"formula": "1"}, prompt={"classes": [0, 5]})
    values = engine.run(workflow, targets=["euler.x", "unet", "noise", "prompt"], only=True).values
    log_sigma, x = ((1 - ALPHAS) / ALPHAS).log() / 2, values["noise"].double()
    for u, then in ((1.0, 2 / 3), (2 / 3, 1 / 3), (1 / 3, 0.0)):
        t = 999.0
        if u < 1:
            high = int((log_sigma < math.log(u / (1 - u))).sum())
            low = high - 1
            t = low + float((math.log(u / (1 - u)) - log_sigma[low]) / (log_sigma[high] - log_sigma[low]))
        z0, eps = both(values["unet"], x * float(rates(at(t, x))[1][0]) / u, at(t, x), values["prompt"])
        x = x + (then - u) * (eps - z0)
    assert_close(values["euler.x"], x)

    workflow.nodes["schedule"] = workflow.nodes["path"].model_copy(deep=True)
    call = {"type": "denoise", "wires": {"model": "unet", "z": "built_in.z", "t": "built_in.t", "condition": "prompt"}}
    workflow.nodes["built_in"] = Node.model_validate({
        "type": "sample", "params": {"solver": "euler", "steps": 3}, "wires": {"noise": "noise", "schedule": "path"},
        "body": {"nodes": {"call": call}, "results": {"prediction": "call"}},
    })  # fmt: skip
    values = engine.run(workflow, targets=["euler.x", "built_in"], only=True).values
    assert_close(values["euler.x"], values["built_in"])


def test_a_picture_is_inverted_and_sampled_as_something_else(engine: Engine) -> None:
    steps = {id: {"steps": 4} for id in ("inversion", "again", "edit")}
    targets = ["inversion", "again", "edit", "unet", "picture", "source", "target"]
    values = engine.run(small("inversion_edit", **steps), targets=targets, only=True).values
    unet, z = values["unet"], values["picture"].double()
    way = (0, 1, 251, 501, 751)
    for now, then in pairwise(way):
        with torch.no_grad():  # asked at the timestep where it goes, as DDIM asks on the way back
            eps = denoise(unet, z.float(), at(then, z), values["source"]).double()
        (signal, noise), (signal_then, noise_then) = rates(at(now, z)), rates(at(then, z))
        z = signal_then * (z - noise * eps) / signal + noise_then * eps
    assert_close(values["inversion"], z)
    for name, scale in (("again", 0.0), ("edit", 2.0)):
        z = values["inversion"].double()
        for now, then in pairwise(reversed(way)):
            (_, source), (_, wanted) = (both(unet, z, at(now, z), values[c]) for c in ("source", "target"))
            eps = source + scale * (wanted - source)
            (signal, noise), (signal_then, noise_then) = rates(at(now, z)), rates(at(then, z))
            z = signal_then * (z - noise * eps) / signal + noise_then * eps
        assert_close(values[name], z)
