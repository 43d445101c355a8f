"""A noise process of somebody else's package: a cosine interpolant (Albergo & Vanden-Eijnden 2023), and the node that gives it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from core.diffusion.parametrisation import Parametrisation, V
from core.diffusion.process import Process
from graph_runner.contract import node
from nodes.wires import Schedule


@dataclass(frozen=True)
class CosineFlow(Process):
    """z = cos(u π/2) · z0 + sin(u π/2) · eps; the network predicts v, which is dz/du but for a factor."""

    @property
    def predicts(self) -> Parametrisation:
        return V

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        angle = t / self.last * (math.pi / 2)
        return torch.cos(angle), torch.sin(angle)

    def t_at(self, sigma: float) -> float:
        return self.last * math.atan(sigma) / (math.pi / 2)


@node(category="toy")
def cosine_flow() -> Schedule:
    """A cosine interpolant."""
    return CosineFlow()
