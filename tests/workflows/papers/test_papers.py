"""Algorithms of recent papers as graphs that do not ship, drawn without a node of their own: each is a few lines of PyTorch.

docs/algorithms.md tells what each took.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.conditioning.conditioning import Conditioning
from core.models.denoiser import denoise
from graph_runner.bind.validate import validate
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow, load, read, write
from graph_runner.run.engine import Engine
from tests.workflows.test_algorithms import ALPHAS, assert_closer, at, both, rates, without_chance
from tests.workflows.test_distillation import step_down, without_chance_or_momentum
from tests.workflows.test_tasks import nodes_of

PAPERS = Path(__file__).parent
NAMES = sorted(path.stem for path in PAPERS.glob("*.json"))
SMALL: dict[str, dict[str, Any]] = {
    "steps": {"formula": "4"},
    "noise": {"shape": [2, 4, 8, 8]},
    "prompt": {"classes": [0, 9]},
}
KNOWN = ("unet", "autoencoder", "embedder", "noise", "prompt", "null", "told", "between", "edit", "picture", "wanted")
KNOWN += ("all_z", "all_labels")
"""What the few lines are given of a graph."""
WAY = (751, 501, 251, 1, 0)
"""The timesteps of four steps of DDIM, and where they end."""
Values = dict[str, Any]


def small(name: str, **changes: dict[str, Any]) -> Workflow:
    """A paper's graph, of two samples and four steps."""
    workflow = load(PAPERS / f"{name}.json")
    for id, node in nodes_of(workflow.nodes).items():
        if node.type != "noise_like":
            node.params.update({**SMALL, **changes}.get(id, {}))
    if "fit" in workflow.nodes:
        without_chance_or_momentum(workflow, "fit", "t")
    without_chance(workflow)
    return workflow


def guided(values: Values, z: Tensor, t: Tensor, scale: float = 3) -> tuple[Tensor, Tensor]:
    (z0, eps), (free_z0, free_eps) = (both(values["unet"], z, t, values[told]) for told in ("prompt", "null"))
    return free_z0 + scale * (z0 - free_z0), free_eps + scale * (eps - free_eps)


def stepped(z0: Tensor, eps: Tensor, then: int) -> Tensor:
    signal, noise = rates(at(then, z0))
    return signal * z0 + noise * eps


def inner(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((1, 2, 3), keepdim=True)


def cfg_plus_plus(values: Values) -> Tensor:
    z = values["noise"].double()
    for now, then in pairwise(WAY):
        z0, _ = guided(values, z, at(now, z), 0.6)
        _, eps = both(values["unet"], z, at(now, z), values["null"])
        z = stepped(z0, eps, then)
    return z


def adaptive_projected_guidance(values: Values) -> Tensor:
    z = values["noise"].double()
    momentum = torch.zeros_like(z)
    for now, then in pairwise(WAY):
        told, free = (both(values["unet"], z, at(now, z), values[each])[0] for each in ("prompt", "null"))
        momentum = told - free - 0.5 * momentum
        lead = momentum * (2 / inner(momentum, momentum).sqrt()).clamp(max=1)
        z0 = told + 7 * (lead - inner(lead, told) / inner(told, told) * told)
        signal, noise = rates(at(now, z))
        z = stepped(z0, (z - signal * z0) / noise, then)
    return z


def restart(values: Values) -> Tensor:
    def walked(z: Tensor, way: tuple[int, ...]) -> Tensor:
        for now, then in pairwise(way):
            z = stepped(*guided(values, z, at(now, z)), then)
        return z

    z = walked(values["noise"].double(), WAY[:4])
    (signal, noise), (signal_high, noise_high) = rates(at(1, z)), rates(at(501, z))
    for _ in range(3):
        x = z / signal + ((noise_high / signal_high) ** 2 - (noise / signal) ** 2).sqrt() * z.cos()
        z = walked(signal_high * x, WAY[1:4])
    return walked(z, WAY[3:])


def fixed_point_inversion(values: Values) -> Tensor:
    z = values["picture"].double()
    for now, then in pairwise(reversed(WAY)):
        (signal, noise), (signal_then, noise_then) = rates(at(now, z)), rates(at(then, z))
        x, old_f, old_g = z, torch.zeros_like(z), torch.zeros_like(z)
        for i in range(5):
            eps = both(values["unet"], x, at(then, x), values["told"])[1]
            f = signal_then / signal * (z - noise * eps) + noise_then * eps
            g = f - x
            share = inner(g, g - old_g) / inner(g - old_g, g - old_g) if i else 0
            x, old_f, old_g = f - share * (f - old_f), f, g
        z = x
    return z


def multidiffusion(values: Values) -> Tensor:
    """Each window walks a step by itself; where windows overlap, the mean counts."""
    z = values["noise"].double()
    for now, then in pairwise(WAY):
        total = torch.zeros_like(z)
        for window in range(8):
            columns = torch.arange(8).add(4 * window) % 32
            told = values["between" if window % 2 else "prompt"]
            one = type(told)(context=told.context[window // 2 : window // 2 + 1])
            part = z[..., columns]
            total[..., columns] += stepped(*guided(values | {"prompt": one}, part, at(now, part)), then)
        z = total / 2
    return z


def semantic_guidance(values: Values) -> Tensor:
    z = values["noise"].double()
    momentum = torch.zeros_like(z)
    for i, (now, then) in enumerate(pairwise(WAY)):
        t = at(now, z)
        free, other = (both(values["unet"], z, t, values[told])[1] for told in ("null", "edit"))
        lead = other - free
        bound = lead.abs().flatten(1).topk(26).values[:, -1].reshape(-1, 1, 1, 1)  # 25 of 256 are larger
        steer = 2 * lead * (lead.abs() > bound) + 0.3 * momentum
        momentum = 0.6 * momentum + 0.4 * steer
        eps = guided(values, z, t)[1] + (steer if i >= 1 else 0)
        signal, noise = rates(t)
        z = stepped((z - noise * eps) / signal, eps, then)
    return z


def noise_optimisation(values: Values) -> Tensor:
    x = values["noise"].double()
    pace, (signal, noise) = torch.zeros_like(x), rates(at(999, x))
    for _ in range(3):
        x.requires_grad_()
        eps = denoise(values["unet"], x.float(), at(999, x), values["told"]).double()
        picture = values["autoencoder"].decode(((x - noise * eps) / signal).float())
        missed = torch.nn.functional.avg_pool2d(picture, 4) - values["wanted"]
        likely = 0.01 * (255 * inner(x, x).sqrt().log() - inner(x, x) / 2)
        (slope,) = torch.autograd.grad(likely.sum() - missed.double().square().sum() / 2, x)
        slope = slope * (0.1 / inner(slope, slope).sqrt()).clamp(max=1)
        pace = 0.9 * pace + slope
        x = x.detach() + slope + 0.9 * pace
    return x


def time_shift_sampler(values: Values) -> Tensor:
    z = values["noise"].double()
    told = at(WAY[0], z)
    for now, then in pairwise(WAY):
        told_free = [denoise(values["unet"], z.float(), told, values[each]).double() for each in ("prompt", "null")]
        eps = torch.lerp(told_free[1], told_free[0], 3.0)
        signal, noise = rates(at(now, z))
        z = stepped((z - noise * eps) / signal, eps, then)
        told = at(then, z)
        if then > 200:
            window = torch.arange(then - 20, then + 21).clamp(0, 999)
            spread = z.flatten(1).var(1, correction=0)
            told = window[(spread[:, None] - (1 - ALPHAS[window])).abs().argmin(1)].float()
    return z


def noise_reinitialisation(values: Values) -> Tensor:
    noise = values["noise"].double()
    for _ in range(2):
        z = noise
        for now, then in pairwise(WAY):
            z = stepped(*guided(values, z, at(now, z)), then)
        signal, amount = rates(at(999, z))
        noised = signal * z + amount * noise
        low = torch.nn.functional.avg_pool2d(noised - noised.cos(), 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
        noise = noised.cos() + low
    return noise


def contrastive_flow_matching(values: Values) -> Tensor:
    """The weights after two steps of gradient descent."""
    z, unet = values["all_z"], copy.deepcopy(values["unet"]).requires_grad_()
    told = Conditioning(context=values["embedder"](values["all_labels"]))
    for step in range(2):
        t = ((values["all_labels"] * 41 + step * 331) % 1000).float()
        u = t.reshape(-1, 1, 1, 1) / 1000
        way = z.cos() - z
        velocity = denoise(unet, (1 - u) * z + u * z.cos(), t, told)
        step_down(unet, ((velocity - way) ** 2 - 0.05 * (velocity - way.roll(-1, 0)) ** 2).mean())
    return nn.utils.parameters_to_vector(unet.parameters()).detach()


CASES: dict[str, tuple[str, Callable[[Values], Tensor], dict[str, Any]]] = {
    "adaptive_projected_guidance": ("walk.z", adaptive_projected_guidance, {"short": {"values": {"r": 2}}}),
    "cfg_plus_plus": ("walk.z", cfg_plus_plus, {}),
    "contrastive_flow_matching": (
        "fit.models.unet",
        contrastive_flow_matching,
        {"fit": {"steps": 2, "batch_size": 2}, "parts": {"sizes": [1, 1]}, "shapes": {"size": 2}},
    ),
    "fixed_point_inversion": ("inversion.z", fixed_point_inversion, {"shapes": {"size": 2}, "batch": {"count": 2}}),
    "multidiffusion": (
        "walk",
        multidiffusion,
        {"walk": {"steps": 4}, "noise": {"shape": [1, 4, 8, 32]}, "prompt": {"classes": [0, 9, 14, 23]}},
    ),
    "noise_optimisation": (
        "climb.noise",
        noise_optimisation,
        {"climb": {"iterations": 3}, "batch": {"count": 2}},
    ),
    "noise_reinitialisation": ("rounds.noise", noise_reinitialisation, {"rounds": {"iterations": 2}}),
    "restart": ("end", restart, {"high": {"formula": "1"}, "low": {"formula": "3"}}),
    "semantic_guidance": ("walk.z", semantic_guidance, {"steered": {"values": {"warmup": 1}}}),
    "time_shift_sampler": ("walk.z", time_shift_sampler, {}),
}
"""What of a graph is compared, with what, and what is changed to make it quick."""
QUICK = ("adaptive_projected_guidance", "cfg_plus_plus", "noise_optimisation", "time_shift_sampler")
"""In the fast suite; the others are marked slow."""


def test_every_graph_is_compared() -> None:
    assert list(CASES) == NAMES


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in NAMES])
def test_a_papers_algorithm_is_a_few_lines_of_torch(name: str, registry: Registry, tmp_path: Path) -> None:
    text = (PAPERS / f"{name}.json").read_text(encoding="utf-8")
    assert write(read(text)) == text
    assert validate(read(text), registry)[1] == []
    target, lines, changes = CASES[name]
    workflow = small(name, **changes)
    known = [id for id in KNOWN if id in workflow.nodes]
    values = Engine(registry, tmp_path).run(workflow, targets=[target, *known], only=True).values
    found, wanted = values[target], lines(values)
    if isinstance(found, nn.Module):
        found = nn.utils.parameters_to_vector(found.parameters())
    assert_closer(found, wanted)
