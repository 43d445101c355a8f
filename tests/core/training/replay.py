"""A small model of every kind of layer, gradients that are the same wherever they are asked for, and each optimizer once."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.training import optimizers
from core.training.muon import Muon
from core.training.objective import Objective
from core.training.optimizers import Optimizer
from core.training.recipe import Recipe
from core.training.trainer import Trainer

Make = Callable[[], Optimizer]
OPTIMIZERS: dict[str, Make] = {
    "adamw": lambda: optimizers.AdamW(lr=1e-2),
    "sgd": lambda: optimizers.SGD(nesterov=True),
    "adafactor": optimizers.Adafactor,
    "muon": lambda: Muon(lr=1e-2),
    "lion": lambda: optimizers.Lion(lr=1e-3),
    "prodigy": lambda: optimizers.Prodigy(d0=1e-3),
    "schedule_free_adamw": lambda: optimizers.ScheduleFreeAdamW(lr=1e-2),
    "adam_8bit": lambda: optimizers.Adam8bit(lr=1e-2),
}
PACKAGES = {"lion": "pytorch_optimizer", "prodigy": "pytorch_optimizer", "schedule_free_adamw": "pytorch_optimizer"}
PACKAGES |= {"adam_8bit": "bitsandbytes"}


def every(*but: str) -> pytest.MarkDecorator:
    """A test for each optimizer, skipped where its package is not installed."""
    params = [
        pytest.param(make, id=name, marks=pytest.mark.skipif(bool(missing(name)), reason=f"needs {missing(name)}"))
        for name, make in OPTIMIZERS.items()
        if name not in but
    ]
    return pytest.mark.parametrize("make", params)


def missing(name: str) -> str:
    """The package that an optimizer needs and that is not installed."""
    package = PACKAGES.get(name, "")
    return package if package and find_spec(package) is None else ""


class Net(nn.Module):
    """Convolutions, norms, an embedding, a linear layer; one matrix is large enough for 8 bits."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv_in = nn.Conv2d(3, 8, 3)
            self.attn2 = nn.ModuleDict({"to_q": nn.Linear(64, 96, bias=False), "norm": nn.LayerNorm(8)})
            self.in_layers = nn.Sequential(nn.GroupNorm(4, 8), nn.SiLU(), nn.Conv2d(8, 8, 1))
            self.token = nn.Embedding(5, 8)
            self.out = nn.Linear(8, 2)


def gradients(model: nn.Module, step: int) -> list[Tensor]:
    """One gradient for each parameter, the same for each model of these shapes."""
    generator = torch.Generator().manual_seed(step)
    return [torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.dtype) for p in model.parameters()]


def loss_of(model: nn.Module, step: int, part: float = 1.0) -> Tensor:
    """A loss whose gradients are these, times `part`."""
    with torch.enable_grad():
        terms = [(p * (g * part)).sum() for p, g in zip(model.parameters(), gradients(model, step), strict=True)]
        return torch.stack(terms).sum()


def step(trainer: Trainer, optimizer: Optimizer | Recipe) -> None:
    """One step of the trainer's only model."""
    (model,) = trainer.models.values()
    trainer.accumulate([Objective(loss_of(model, trainer.steps), (model,), optimizer)])
    trainer.step()


def replay(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    """The same steps by an optimizer itself."""
    for n in range(steps):
        for parameter, gradient in zip(model.parameters(), gradients(model, n), strict=True):
            parameter.grad = gradient
        optimizer.step()


def same(a: Any, b: Any) -> bool:
    """Whether two trees are equal to the bit."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)
