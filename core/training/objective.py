"""What a training step optimises, as plain data: which loss trains which models, with which optimizer settings."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from core.training.optimizers import Optimizer
from core.training.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Objective:
    """`loss` (a scalar) trains `models` with `optimizer`; `name` is what its curve is called.

    A loss that carries no gradient (an adversarial one before its start) leaves its models as they are.
    """

    loss: Tensor
    models: tuple[nn.Module, ...]
    optimizer: Optimizer | Recipe
    name: str = "loss"
