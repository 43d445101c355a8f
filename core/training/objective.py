"""What a training step optimises, as plain data: which loss trains which models, with which optimizer settings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

Decay = Literal["constant", "cosine", "linear"]


@dataclass(frozen=True)
class AdamW:
    """Settings of AdamW (Loshchilov & Hutter 2019) and of its learning rate over the steps.

    lr: peak learning rate. warmup: steps of linear rise to it. decay: how it falls from there to final · lr at step
    `horizon`, after which it stays. clip: largest norm of an objective's gradients, 0 for no limit.
    """

    lr: float = 1e-4
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.01
    warmup: int = 0
    decay: Decay = "constant"
    horizon: int = 0
    final: float = 0.0
    clip: float = 0.0

    def __post_init__(self) -> None:
        if self.decay != "constant" and self.horizon <= self.warmup:
            raise ValueError(
                f"a {self.decay} decay needs a horizon (the step it ends at) beyond the {self.warmup} steps of warm-up,"
                f" not {self.horizon}"
            )

    def lr_at(self, step: int) -> float:
        """The learning rate of step `step`, counted from 0."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        if self.decay == "constant":
            return self.lr
        passed = min(1.0, (step - self.warmup) / (self.horizon - self.warmup))
        share = (1 + math.cos(math.pi * passed)) / 2 if self.decay == "cosine" else 1 - passed
        return self.lr * (self.final + (1 - self.final) * share)


@dataclass(frozen=True, eq=False)
class Objective:
    """`loss` (a scalar) trains `models` with `optimizer`; `name` is what its curve is called.

    A loss that carries no gradient (an adversarial one before its start) leaves its models as they are.
    """

    loss: Tensor
    models: tuple[nn.Module, ...]
    optimizer: AdamW
    name: str = "loss"
