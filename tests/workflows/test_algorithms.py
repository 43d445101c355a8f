"""Algorithms of papers that ship as graphs of single nodes, each held against a few lines of PyTorch."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.conditioning.conditioning import Conditioning
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


def assert_closer(found: Tensor, expected: Tensor) -> None:
    """Equal to 1e-5 of the largest value."""
    assert float((found - expected).abs().max()) <= 1e-5 * max(1.0, float(expected.abs().max()))


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


def test_posterior_sampling_moves_against_what_the_measurement_missed(engine: Engine) -> None:
    """Chung et al. 2023, algorithm 1, on the ancestral sampler's steps."""
    sizes = {"chance": {"shape": [2, 1, 32, 32]}, "fault": {"shape": [2, 3, 32, 32]}, "originals": {"count": 2}}
    workflow = small("posterior_sampling", steps={"formula": "4"}, **sizes)
    without_chance(workflow)
    targets = ["dps.z", "unet", "autoencoder", "noise", "anything", "kept", "measured"]
    values = engine.run(workflow, targets=targets, only=True).values
    kept, z = values["kept"], values["noise"].double()
    assert 0.1 < float(kept.float().mean()) < 0.3
    alphas = [*(float(ALPHAS[t]) for t in (751, 501, 251, 1)), float(ALPHAS[0])]
    for i, t in enumerate((751, 501, 251, 1)):
        z = z.requires_grad_()
        now, then = alphas[i], alphas[i + 1]
        eps = denoise(values["unet"], z.float(), at(t, z), values["anything"]).double()
        z0 = (z - math.sqrt(1 - now) * eps) / math.sqrt(now)
        missed = values["autoencoder"].decode(z0.float()) * kept - values["measured"]
        distance = missed.double().square().sum((1, 2, 3), keepdim=True).sqrt()
        (slope,) = torch.autograd.grad(distance.sum(), z)
        s = math.sqrt((1 - then) / (1 - now) * (1 - now / then))
        with torch.no_grad():
            z = math.sqrt(then) * z0 + math.sqrt(1 - then - s**2) * eps + s * z.cos() - 2 * 0.5 * slope
    assert_closer(values["dps.z"], z)


def test_the_second_model_of_a_cascade_is_told_how_noisy_its_picture_is(engine: Engine) -> None:
    """Ho et al. 2021, section 4: what is sampled is DDIM's, given the first model's picture with the noise of level s, and s."""
    sizes = {"large_noise": {"shape": [2, 4, 16, 16]}, "drawn_noise": {"shape": [2, 3, 32, 32]}}
    steps = {id: {"steps": 4} for id in ("small", "large", "plain")}
    workflow = small("cascade", diffusion={"steps": 1, "batch_size": 2}, prompt={"classes": [0, 9]}, **sizes, **steps)
    targets = ["large", "plain", "low", "diffusion.ema.unet", "drawn_noise", "large_noise"]
    values = engine.run(workflow, targets=targets, only=True).values
    unet = values["diffusion.ema.unet"]
    for name, s in (("large", 50), ("plain", 0)):
        signal, noise = rates(torch.tensor([float(s)]))
        low = torch.nn.functional.pixel_unshuffle(signal * values["low"] + noise * values["drawn_noise"], 2)
        told = Conditioning(concat=torch.cat([low, torch.full_like(low[:, :1], s / 1000)], dim=1).float())
        z = values["large_noise"].double()
        for now, then in pairwise((751, 501, 251, 1, 0)):
            (signal, noise), (signal_then, noise_then) = rates(at(now, z)), rates(at(then, z))
            with torch.no_grad():
                v = denoise(unet, z.float(), at(now, z), told).double()
            z = signal_then * (signal * z - noise * v) + noise_then * (noise * z + signal * v)
        assert_closer(values[name], z)
