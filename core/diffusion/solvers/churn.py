"""Churn: before each step of an ODE solver z is made a little noisier again, and the step goes from there (Karras et al. 2022, algorithm 2)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from core.diffusion.levels import Levels
from core.diffusion.process import Level
from core.diffusion.solvers.model import Draw

MOST = math.sqrt(2) - 1
"""No step adds more noise than is there."""


@dataclass(frozen=True)
class Churn:
    """How much noise is added, and where: the paper's gamma, S_min, S_max and S_noise.

    gamma: the share by which a step's sigma grows, S_churn / steps and `MOST` at most. least, most: the sigmas between which it does.
    deviation: of the noise.
    """

    gamma: float
    least: float = 0.0
    most: float = math.inf
    deviation: float = 1.0

    @classmethod
    def of(cls, numbers: Sequence[float], steps: int) -> Churn:
        """S_churn, S_tmin, S_tmax and S_noise, as the paper and k-diffusion have them, for a walk of that many steps.

        Fewer numbers leave the last ones at 0, without bound, and 1. Raises ValueError for more, and for negative ones.
        """
        if not 1 <= len(numbers) <= 4 or min(numbers) < 0:
            raise ValueError(
                f"churn is one to four numbers of 0 or more, S_churn, S_tmin, S_tmax and S_noise, not {list(numbers)}"
            )
        return cls(min(numbers[0] / steps, MOST), *numbers[1:])

    def at(self, level: Level) -> float:
        """The share by which sigma grows there."""
        return self.gamma if self.least <= level.sigma <= self.most else 0.0

    def draws(self, levels: Iterable[Level]) -> int:
        """How often noise is drawn in steps that look from these."""
        return sum(self.at(level) > 0 for level in levels)

    def __call__(self, x: Tensor, now: Level, levels: Levels, draw: Draw) -> tuple[Tensor, Level]:
        """x = z0 + sigma · eps, (b, …), and its level, with the noise of a step."""
        if self.at(now) == 0:
            return x, now
        noisier = levels.level_at(now.sigma * (1 + self.gamma))
        return x + self.deviation * math.sqrt(noisier.sigma**2 - now.sigma**2) * draw(x), noisier


NO_CHURN = Churn(0.0)
