"""Algorithms of recent papers as graphs that do not ship, drawn without a node of their own: each is a few lines of PyTorch.

docs/algorithms.md tells what each took.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from graph_runner.bind.validate import validate
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow, load, read, write
from graph_runner.run.engine import Engine
from tests.workflows.test_algorithms import at, both, rates, without_chance
from tests.workflows.test_tasks import nodes_of

PAPERS = Path(__file__).parent
NAMES = sorted(path.stem for path in PAPERS.glob("*.json"))
SMALL: dict[str, dict[str, Any]] = {
    "steps": {"formula": "4"},
    "noise": {"shape": [2, 4, 8, 8]},
    "prompt": {"classes": [0, 9]},
}
WAY = (751, 501, 251, 1, 0)
"""The timesteps of four steps of DDIM, and where they end."""
Values = dict[str, Any]


def small(name: str, **changes: dict[str, Any]) -> Workflow:
    """A paper's graph, of two samples and four steps."""
    workflow = load(PAPERS / f"{name}.json")
    for id, node in nodes_of(workflow.nodes).items():
        node.params.update({**SMALL, **changes}.get(id, {}))
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


CASES: dict[str, tuple[str, Callable[[Values], Tensor], dict[str, Any]]] = {
    "adaptive_projected_guidance": ("walk.z", adaptive_projected_guidance, {"short": {"values": {"r": 2}}}),
    "cfg_plus_plus": ("walk.z", cfg_plus_plus, {}),
    "fixed_point_inversion": ("inversion.z", fixed_point_inversion, {"shapes": {"size": 2}, "batch": {"count": 2}}),
    "multidiffusion": (
        "walk",
        multidiffusion,
        {"walk": {"steps": 4}, "noise": {"shape": [1, 4, 8, 32]}, "prompt": {"classes": [0, 9, 14, 23]}},
    ),
    "restart": ("end", restart, {"high": {"formula": "1"}, "low": {"formula": "3"}}),
}
"""What of a graph is compared, with what, and what is changed to make it quick."""


def test_every_graph_is_compared() -> None:
    assert list(CASES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_papers_algorithm_is_a_few_lines_of_torch(name: str, registry: Registry, tmp_path: Path) -> None:
    text = (PAPERS / f"{name}.json").read_text(encoding="utf-8")
    assert write(read(text)) == text
    assert validate(read(text), registry)[1] == []
    target, lines, changes = CASES[name]
    workflow = small(name, **changes)
    known = {"unet", "noise", "prompt", "null", "picture", "told", "between"} & set(workflow.nodes)
    values = Engine(registry, tmp_path).run(workflow, targets=[target, *known], only=True).values
    found, wanted = values[target].double(), lines(values)
    assert float((found - wanted).abs().max()) <= 1e-5 * max(1.0, float(wanted.abs().max()))
