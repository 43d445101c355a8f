"""Rectified flow: straight paths from data to noise (Lipman et al. 2023; Liu et al. 2023; Esser et al. 2024)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from core.diffusion.parametrisation import VELOCITY, X0, Parametrisation
from core.diffusion.process import STRAIGHT, Coordinates, Level, Process, Scheduler

Density = Literal["uniform", "logit_normal"]
FlowParametrisation = Literal["velocity", "x0"]
PREDICTS: dict[str, Parametrisation] = {"velocity": VELOCITY, "x0": X0}
SMALLEST = 2.0**-24
"""What stands for a uniform number of 0 in a normal distribution's quantile: the smallest step between float32 near 1."""


@dataclass(frozen=True)
class RectifiedFlow(Process):
    """z = (1 − u) · z0 + u · eps; the network predicts the velocity eps − z0 (or z0), and is told t = 1000 u.

    shift: moves timesteps towards noise, u → shift · u / (1 + (shift − 1) · u), in training and in sampling: for larger
        latents, whose neighbours tell more about each other (Esser et al. 2024, section 5.3.2).
    density: of the timesteps in training, uniform (Liu et al. 2023) or logit-normal, which trains the middle of the way
        more, with `mean` and `std` of the logit (Esser et al. 2024, section 3.1).
    """

    shift: float = 1.0
    density: Density = "uniform"
    mean: float = 0.0
    std: float = 1.0
    parametrisation: FlowParametrisation = "velocity"
    scheduler: Scheduler = field(default=(), repr=False, compare=False, kw_only=True)

    straight: ClassVar[Coordinates] = STRAIGHT
    velocity: ClassVar[Parametrisation | None] = VELOCITY

    def __post_init__(self) -> None:
        if self.parametrisation not in PREDICTS:
            raise ValueError(
                f"rectified flow predicts {' or '.join(PREDICTS)}, not {self.parametrisation!r}: at its start z is pure noise,"
                " of which eps says nothing about z0, and v is of variance-preserving processes"
            )
        if not (0 < self.shift < math.inf and 0 < self.std < math.inf and math.isfinite(self.mean)):
            raise ValueError(
                f"shift and std must be above 0, and mean a number, not {self.shift}, {self.std} and {self.mean}"
            )
        if self.density not in ("uniform", "logit_normal"):
            raise ValueError(f"density must be 'uniform' or 'logit_normal', not {self.density!r}")

    @property
    def predicts(self) -> Parametrisation:
        """The velocity, or z0."""
        return PREDICTS[self.parametrisation]

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(1 − u, u). t: any shape, as both."""
        u = t / self.last
        return 1 - u, u

    def level(self, t: float) -> Level:
        """The noise level at timestep t; ValueError outside [0, 1000]."""
        if not 0 <= t <= self.last:
            raise ValueError(f"timestep {t} lies outside this flow: timesteps run from 0 to {self.last:g}")
        return super().level(t)

    def t_at(self, sigma: float) -> float:
        """1000 · sigma / (1 + sigma)."""
        return self.last * STRAIGHT.rates(sigma)[1]

    def timestep_at(self, share: float) -> float:
        """1000 times the shifted share."""
        return self.last * min(1.0, self.shift * share / (1 + (self.shift - 1) * share))

    def timesteps(self, uniform: Tensor) -> Tensor:
        """Uniform or logit-normal, and shifted: (b,), from uniform numbers (b,)."""
        u = uniform
        if self.density == "logit_normal":
            u = torch.sigmoid(self.mean + self.std * torch.special.ndtri(u.clamp(SMALLEST, 1 - SMALLEST)))
        return self.last * (self.shift * u / (1 + (self.shift - 1) * u))
