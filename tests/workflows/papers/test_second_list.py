"""Algorithms that somebody listed who had not seen the nodes, drawn with the nodes as they were: each is a few lines of PyTorch.

docs/algorithms.md tells what each took, and what could not be drawn.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from core.conditioning.conditioning import Conditioning
from core.models.denoiser import denoise
from graph_runner.bind.validate import validate
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Node, Workflow, read, write
from graph_runner.run.engine import Engine
from tests.workflows.papers.test_papers import KNOWN, PAPERS, WAY, Values, guided, inner, small, stepped
from tests.workflows.test_algorithms import ALPHAS, assert_closer, at, both, rates
from tests.workflows.test_distillation import step_down, without_chance_or_momentum

LIST = PAPERS / "second_list"
ALSO_KNOWN = ("other", "pairs", "known", "three", "fresh")


def superposition(values: Values) -> Tensor:
    """x, and how far apart the two log-densities are at its end, which is as far as at its beginning."""
    signal, noise = rates(at(WAY[0], values["noise"]))
    x = values["noise"].double() / signal
    log_a = log_b = torch.zeros(len(x), 1, 1, 1, dtype=x.dtype)
    for now, then in pairwise(WAY):
        (signal, noise), (signal_then, noise_then) = rates(at(now, x)), rates(at(then, x))
        sigma, d = noise / signal, noise_then / signal_then - noise / signal
        a, b, u = (
            both(values["unet"], signal * x, at(now, x), values[told])[1] for told in ("prompt", "other", "null")
        )
        chance = (2 * d.abs() * sigma).sqrt() * x.cos()
        to_b = 2 * d * (u + 3 * (b - a + a - u)) + chance
        k = (d.abs() * inner(b - a, b + a) - inner(to_b, a - b)) / (2 * d * 3 * inner(a - b, a - b))
        dx = 2 * d * (u + 3 * (b - u + k * (a - b))) + chance
        log_a = log_a - d.abs() / sigma * inner(a, a) - inner(dx, a) / sigma
        log_b = log_b - d.abs() / sigma * inner(b, b) - inner(dx, b) / sigma
        x = x + dx
    assert float((log_a - log_b).abs().max()) <= 1e-9 * float(log_a.abs().max())
    return x


def adaptive_steps(values: Values) -> Tensor:
    """Each sample by itself, as if there were no other."""

    def reverse(x: Tensor, t: float, told: Any) -> tuple[Tensor, float]:
        _, eps = guided(values | {"prompt": told}, x, at(t, x))
        beta = (0.00085**0.5 + t / 999 * (0.012**0.5 - 0.00085**0.5)) ** 2
        return -beta * (x / 2 - eps / rates(at(t, x))[1]), beta

    ends, tries = list[Tensor](), list[list[float]]()
    for i, x in enumerate(values["noise"].double().split(1)):
        told = Conditioning(context=values["prompt"].context[i : i + 1])
        t, h, before = 150.0, 10.0, x
        tries.append([])
        while t > 0:
            drift, beta = reverse(x, t, told)
            first = (h * beta) ** 0.5 * x.cos() - h * drift
            low = x + first
            drift, beta = reverse(low, t - h, told)
            second = (h * beta) ** 0.5 * x.cos() - h * drift
            fault = (second - first) / 2 / (0.05 * torch.maximum(low.abs(), before.abs())).clamp(min=0.02)
            error = float(fault.square().mean().sqrt())
            tries[-1].append(h if error <= 1 else -h)
            if error <= 1:
                x, before, t = x + (first + second) / 2, low, t - h
            h = min(t, 0.9 * h * error**-0.9)
        ends.append(x)
    assert min(tries[0]) < 0 < max(tries[0])  # some steps are taken, and some are not
    assert tries[0] != pytest.approx(tries[1], rel=0.01)
    return torch.cat(ends)


def feynman_kac_steering(values: Values) -> Tensor:
    z, before = values["noise"].double(), torch.zeros(4, dtype=torch.float64)
    born = 0
    wait = values["pairs"].double().cos().square().mean(1).reshape(4, 4)
    for i, (now, then) in enumerate(pairwise(WAY)):
        (signal, noise), (signal_then, noise_then) = rates(at(now, z)), rates(at(then, z))
        z0, eps = both(values["unet"], z, at(now, z), values["null"])
        s = noise_then / noise * (1 - (signal / signal_then) ** 2).sqrt()
        z = signal_then * z0 + (noise_then**2 - s**2).sqrt() * eps + s * z.cos()
        if i % 2 == 1:
            with torch.no_grad():
                picture = values["autoencoder"].decode(z0.float()).double()
            reward = (picture[:, 2] - picture[:, 0]).mean((1, 2))
            weight = (30 * (reward - before)).exp()
            before = reward
            if weight.sum() ** 2 / weight.square().sum() < 2:
                parent = (weight / wait).argmax(1)
                assert parent.tolist() != [0, 1, 2, 3]
                z, before, born = z[parent], reward[parent], born + 1
    assert born > 0
    return z


def tree_ring(values: Values) -> Tensor:
    """The mean distance, over all frequencies, of what an inverted picture bears from the rings that were written."""
    far = torch.minimum(torch.arange(8), 8 - torch.arange(8)).double()
    radius = (far[:, None] ** 2 + far**2).sqrt()
    ring = 0.3 * (2.1 * (radius + 0.5).floor() + 0.4).cos()
    z = values["noise"].double()
    waves = torch.fft.fft2(z[:, 3]) / 64
    z[:, 3] = torch.fft.ifft2(torch.where(radius <= 3, ring.to(waves.dtype), waves) * 64).real
    for now, then in pairwise(WAY):
        z = stepped(*guided(values, z, at(now, z)), then)
    with torch.no_grad():
        z = values["autoencoder"].encode(values["autoencoder"].decode(z.float())).double()
    for now, then in pairwise(reversed(WAY)):
        (signal, noise), (signal_then, noise_then) = rates(at(now, z)), rates(at(then, z))
        eps = both(values["unet"], z, at(then, z), values["null"])[1]
        z = signal_then / signal * (z - noise * eps) + noise_then * eps
    apart = (torch.fft.fft2(z[:, 3]) / 64 - ring).abs() * (radius <= 3)
    return apart.mean()


def annealed_condition(values: Values) -> Tensor:
    z, y = values["noise"].double(), values["known"].double().repeat(8, 1, 1, 1)

    def spread(x: Tensor) -> Tensor:
        return x.std((1, 2, 3), correction=0, keepdim=True)

    for i, (now, then) in enumerate(pairwise(WAY)):
        gamma = min(max((0.9 - (1 - i / 4)) / 0.3, 0), 1)
        noisy = math.sqrt(gamma) * y + 0.25 * math.sqrt(1 - gamma) * y.cos()
        centre, old_centre = noisy.mean((1, 2, 3), keepdim=True), y.mean((1, 2, 3), keepdim=True)
        told = Conditioning(concat=((noisy - centre) / spread(noisy) * spread(y) + old_centre).float())
        z = stepped(*guided(values | {"unet": values["training.models.unet"], "prompt": told}, z, at(now, z)), then)
    return z


def distribution_matching(values: Values) -> Tensor:
    """The student's weights after three steps of the fake network, two of them its own too."""
    teacher, z = values["unet"], values["all_z"]
    student, fake = (copy.deepcopy(teacher).requires_grad_() for _ in range(2))
    told, start, chance = Conditioning(context=values["embedder"](values["all_labels"])), z.cos(), z.cos().cos()

    def clean(prediction: Tensor, z: Tensor, t: Tensor) -> Tensor:
        signal, noise = (each.float() for each in rates(t))
        return (z - noise * prediction) / signal

    for step in range(3):
        t = ((values["all_labels"] * 41 + step * 331) % 1000).float().clamp(20, 700)
        signal, noise = (each.float() for each in rates(t))
        x = clean(denoise(student, start, at(899, z), told), start, at(899, z))
        xt = (signal * x + noise * chance).detach()
        guess = denoise(fake, xt, t, told)
        learnt = (guess - chance).square().mean()
        with torch.no_grad():
            cond, free = (denoise(teacher, xt, t, each) for each in (told, values["null"]))
            real = clean(free + 3 * (cond - free), xt, t)
            g = (clean(guess, xt, t) - real) / (x - real).abs().mean((1, 2, 3), keepdim=True)
        if step % 2 == 0:
            step_down(student, 0.5 * (x - (x - g).detach()).square().mean())
        step_down(fake, learnt)
    return nn.utils.parameters_to_vector(student.parameters()).detach()


def colours_of_another(values: Values) -> Tensor:
    def points(picture: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(picture, 2).flatten(2).mT

    turn = torch.linalg.qr(values["three"].cos()[0, :, :, 0]).Q
    wanted = (points(values["wanted"]) @ turn).sort(1).values
    z = values["noise"].double()
    for now, then in pairwise(WAY):
        for _ in range(2):
            z = z.detach().requires_grad_()
            signal, noise = rates(at(now, z))
            eps = denoise(values["unet"], z.float(), at(now, z), values["prompt"]).double()
            picture = values["autoencoder"].decode(((z - noise * eps) / signal).float())
            apart = ((points(picture) @ turn).sort(1).values - wanted).abs().mean((1, 2))
            z = z.detach() - 20 * torch.autograd.grad(apart.sum(), z)[0]
        z = stepped(*guided(values, z, at(now, z)), then)
    return z


def differentiating_through_a_flow(values: Values) -> Tensor:
    log_sigma = ((1 - ALPHAS) / ALPHAS).log() / 2

    def velocity(x: Tensor, u: float) -> Tensor:
        wanted = math.log(u / (1 - u))
        low = int((log_sigma < wanted).sum()) - 1
        t = low + float((wanted - log_sigma[low]) / (log_sigma[low + 1] - log_sigma[low]))
        eps = denoise(values["unet"], (x / math.hypot(u, 1 - u)).float(), at(t, x), values["told"]).double()
        return eps - (x - u * eps) / (1 - u)

    x, h = values["noise"].double(), 0.93 / 4
    for _ in range(2):
        first = x = x.detach().requires_grad_()
        for u in (0.93, 0.93 - h, 0.93 - 2 * h, 0.93 - 3 * h):
            x = x - h * velocity(x - h / 2 * velocity(x, u), u - h / 2)
        missed = nn.functional.avg_pool2d(values["autoencoder"].decode(x.float()), 4) - values["wanted"]
        length = first.square().sum((1, 2, 3)).sqrt()
        cost = missed.double().square().sum() + 100 * (length**2 / 2 - 255 * length.log()).sum()
        (slope,) = torch.autograd.grad(cost, first)
        x = first.detach() - 0.5 * slope * (1 / inner(slope, slope).sqrt()).clamp(max=1)
    return x


def mean_flow(values: Values, exact: bool = False, bent: bool = True) -> Tensor:
    """The weights after four steps, the change along the way by a central difference or exactly, or left out."""
    unet, z = copy.deepcopy(values["fresh"]).requires_grad_(), values["all_z"]
    told = values["embedder"](values["all_labels"])

    def average(z: Tensor, t: Tensor, r: Tensor) -> Tensor:
        channel = torch.zeros_like(z[:, :1]) + r.reshape(-1, 1, 1, 1)
        return denoise(unet, z, 1000 * t, Conditioning(context=told, concat=channel))

    for step in range(4):
        a = ((values["all_labels"] * 41 + step * 331) % 1000).float()
        b, c = (a * 7 + 130) % 1000, (a * 13 + 77) % 1000
        t = torch.maximum(a, b) / 1000
        r = torch.where(c < 350, torch.minimum(a, b) / 1000, t)
        u, v = t.reshape(-1, 1, 1, 1), z.cos() - z
        zt = (1 - u) * z + u * z.cos()
        with torch.no_grad():
            change = (average(zt + 0.0002 * v, t + 0.0002, r) - average(zt - 0.0002 * v, t - 0.0002, r)) / 0.0004
        if exact:
            with sdpa_kernel(SDPBackend.MATH):  # the others have no second derivative
                _, change = torch.autograd.functional.jvp(partial(average, r=r), (zt, t), (v, torch.ones_like(t)))
        error = (average(zt, t, r) - v + (u - r.reshape(-1, 1, 1, 1)) * change * bent).square().mean((1, 2, 3))
        slopes = torch.autograd.grad((error / (error.detach() + 0.001)).mean(), weights := list(unet.parameters()))
        with torch.no_grad():
            for weight, slope in zip(weights, slopes, strict=True):
                weight -= 0.1 * slope
    return nn.utils.parameters_to_vector(unet.parameters()).detach()


def mean_flow_without_chance(workflow: Workflow) -> None:
    without_chance_or_momentum(workflow, "training", "first_time")
    workflow.nodes["optimizer"].params["lr"] = 0.1
    body = workflow.nodes["training"].body
    assert body is not None
    for id, formula in (("second_time", "(t * 7 + 130) % 1000"), ("third_time", "(t * 13 + 77) % 1000")):
        node = {"type": "expression", "params": {"formula": formula}, "wires": {"values": {"t": "first_time"}}}
        body.nodes[id] = Node.model_validate(node)


CASES: dict[str, tuple[str, Callable[[Values], Tensor], dict[str, Any]]] = {
    "adaptive_steps": ("walk.x", adaptive_steps, {"start": {"t": 150}}),
    "annealed_condition": (
        "walk",
        annealed_condition,
        {
            "optimizer": {"lr": 0.05, "warmup": 0},
            "training": {"steps": 4, "batch_size": 2},
            "noise": {"shape": [8, 4, 8, 8]},
            "walk": {"steps": 4},
        },
    ),
    "colours_of_another": ("walk.z", colours_of_another, {"looks": {"formula": "2"}}),
    "differentiating_through_a_flow": (
        "climb.x",
        differentiating_through_a_flow,
        {"climb": {"iterations": 2}, "batch": {"count": 2}, "goal": {"values": {"c": 100, "d": 256}}},
    ),
    "distribution_matching": (
        "distil.models.student",
        distribution_matching,
        {"distil": {"steps": 3, "batch_size": 2}, "turn": {"values": {"every": 2}}, "shapes": {"size": 2}},
    ),
    "feynman_kac_steering": (
        "walk.z",
        feynman_kac_steering,
        {
            "noise": {"shape": [4, 4, 8, 8]},
            "pairs": {"shape": [4, 2, 4, 1]},
            "k": {"formula": "4"},
            "every": {"formula": "2"},
        },
    ),
    "mean_flow": (
        "training.models.unet",
        mean_flow,
        {"training": {"steps": 4, "batch_size": 2}, "shapes": {"size": 2}},
    ),
    "superposition": ("walk.x", superposition, {"other": {"classes": [3, 12]}}),
    "tree_ring": ("number_with", tree_ring, {id: {"steps": 4} for id in ("pictures_with", "back_with")}),
}
"""What of a graph is compared, with what, and what is changed to make it quick."""


def test_every_graph_is_compared() -> None:
    assert sorted(CASES) == sorted(path.stem for path in LIST.glob("*.json"))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_listed_algorithm_is_a_few_lines_of_torch(name: str, registry: Registry, tmp_path: Path) -> None:
    text = (LIST / f"{name}.json").read_text(encoding="utf-8")
    assert write(read(text)) == text
    assert validate(read(text), registry)[1] == []
    target, lines, changes = CASES[name]
    workflow = small(f"second_list/{name}", **changes)
    if name == "distribution_matching":
        without_chance_or_momentum(workflow)
        workflow.nodes["fake_optimizer"] = workflow.nodes["optimizer"]
    if name == "mean_flow":
        mean_flow_without_chance(workflow)
    known = [id for id in (*KNOWN, *ALSO_KNOWN) if id in workflow.nodes]
    known += ["training.models.unet"] if name == "annealed_condition" else []
    values = Engine(registry, tmp_path).run(workflow, targets=[target, *known], only=True).values
    found, wanted = values[target], lines(values)
    if isinstance(found, nn.Module):
        before = nn.utils.parameters_to_vector(values["fresh" if name == "mean_flow" else "unet"].parameters())
        assert float((wanted - before).abs().max()) > 1e-4
        found = nn.utils.parameters_to_vector(found.parameters())
    assert_closer(torch.as_tensor(found), wanted)
    if name == "mean_flow":
        straight, exact = mean_flow(values, bent=False), mean_flow(values, exact=True)
        bend, fault = (float((wanted - each).abs().max()) for each in (straight, exact))
        assert fault < 0.05 * bend
