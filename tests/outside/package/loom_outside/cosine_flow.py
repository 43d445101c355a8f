"""A noise process: a cosine interpolant (Albergo & Vanden-Eijnden 2023)."""

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
    """z = cos(u π/2) · z0 + sin(u π/2) · eps, u = t / 1000; the network predicts v."""

    @property
    def predicts(self) -> Parametrisation:
        """v, which is dz/du but for a factor."""
        return V

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Signal and noise at t, of any shape."""
        angle = t / self.last * (math.pi / 2)
        return torch.cos(angle), torch.sin(angle)

    def t_at(self, sigma: float) -> float:
        """Where noise is sigma times the signal."""
        return self.last * math.atan(sigma) / (math.pi / 2)


@node(category="outside", keep=True)
def cosine_flow() -> Schedule:
    """A cosine interpolant (Albergo & Vanden-Eijnden 2023)."""
    return CosineFlow()
