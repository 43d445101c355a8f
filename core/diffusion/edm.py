"""EDM: noise by sigma, and the preconditioning that keeps a network's inputs and targets of unit variance (Karras et al. 2022)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from core.diffusion.flow import SMALLEST
from core.diffusion.parametrisation import EDMOutput, Parametrisation
from core.diffusion.process import Process, Scheduler, Spacing


@dataclass(frozen=True)
class EDM(Process):
    """x = z0 + sigma · eps, seen as z = c_in · x: what lies on a wire is what the network is given.

    The network is told t = c_noise = ln(sigma) / 4 and predicts F (`EDMOutput`). The paper's loss weight λ(sigma) = 1 / c_out²
    of the error of z0 is a weight of 1 on the error of F, so that the plain loss of predictions is the paper's.

    sigma_min, sigma_max: the range that is sampled. sigma_data: the deviation of the data.
    rho: how much sampling dwells on little noise (eq. 5).
    p_mean, p_std: of ln(sigma) in training, which is normal (table 1).
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    sigma_data: float = 1.0
    rho: float = 7.0
    p_mean: float = -1.2
    p_std: float = 1.2
    scheduler: Scheduler = field(default=(), repr=False, compare=False, kw_only=True)

    least: ClassVar[float] = 0.0
    spacing: ClassVar[Spacing | None] = "linspace"  # even in sigma^(1/rho) by `timestep_at`: Karras et al. 2022, eq. 5

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max < math.inf:
            raise ValueError(f"sigma_min must lie between 0 and sigma_max, not {self.sigma_min} and {self.sigma_max}")
        if not (
            all(0 < each < math.inf for each in (self.sigma_data, self.rho, self.p_std)) and math.isfinite(self.p_mean)
        ):
            raise ValueError(
                "sigma_data, rho and p_std must be above 0, and p_mean a number, not"
                f" {self.sigma_data}, {self.rho}, {self.p_std} and {self.p_mean}"
            )

    @property
    def last(self) -> float:  # type: ignore[override]
        """c_noise of sigma_max."""
        return math.log(self.sigma_max) / 4

    @property
    def predicts(self) -> Parametrisation:
        """F."""
        return EDMOutput(self.sigma_data)

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(c_in, c_in · sigma), c_in = 1 / √(sigma² + sigma_data²). t: any shape, as both."""
        sigma = (4 * t).exp()
        c_in = (sigma**2 + self.sigma_data**2).rsqrt()
        return c_in, c_in * sigma

    def t_at(self, sigma: float) -> float:
        """ln(sigma) / 4; of no noise at all, that of sigma_min."""
        return math.log(sigma or self.sigma_min) / 4

    def scale(self, sigma: float) -> tuple[float, float]:
        """(c_in, c_in · sigma)."""
        if math.isinf(sigma):
            return 0.0, 1.0
        c_in = 1 / math.hypot(sigma, self.sigma_data)
        return c_in, c_in * sigma

    def timestep_at(self, share: float) -> float:
        """Even in sigma^(1/rho) (eq. 5)."""
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        return self.t_at((low + share * (high - low)) ** self.rho)

    def timesteps(self, uniform: Tensor) -> Tensor:
        """c_noise of log-normal sigmas, (b,), from uniform numbers (b,)."""
        normal: Tensor = torch.special.ndtri(uniform.clamp(SMALLEST, 1 - SMALLEST))
        return (self.p_mean + self.p_std * normal) / 4
