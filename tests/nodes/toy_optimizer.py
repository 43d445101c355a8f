"""What a package of somebody else's brings: an optimizer, a schedule of its rate and an average, each a few lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from core.training.recipe import Recipe
from graph_runner.contract import node
from nodes.wires import Averaging, LearningRate, Optimizer


@dataclass(frozen=True)
class RMSprop:
    lr: float

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(groups, lr=self.lr)


@dataclass(frozen=True)
class Halving:
    def lr_at(self, step: int, peak: float) -> float:
        return peak / 2**step


@dataclass(frozen=True)
class Mean:
    def keeps(self, update: int) -> float:
        return 1 - 1 / update


@node(category="toy")
def rmsprop(lr: float = 0.01) -> Optimizer:
    """An optimizer with nothing beside it.

    lr: learning rate.
    """
    return RMSprop(lr)


@node(category="toy")
def rmsprop_with_rate(learning_rate: LearningRate, lr: float = 0.01) -> Optimizer:
    """An optimizer that takes a schedule.

    lr: learning rate.
    """
    return Recipe(RMSprop(lr), learning_rate)


@node(category="toy")
def halving() -> LearningRate:
    """A schedule."""
    return Halving()


@node(category="toy")
def plain_mean() -> Averaging:
    """The mean of all weights."""
    return Mean()
