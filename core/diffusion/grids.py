"""The noise levels that diffusers' schedulers visit, at every number of steps and under every option that says where.

A `Grid` is those options, in the words of diffusers 0.42; `core.diffusion.schedulers` reads it out of a configuration. What is
told the denoiser and what the noise is are apart there: karras sigmas of the DPM-Solver family are told as whole timesteps, and
between whole timesteps sigma is linear, where k-diffusion has its logarithm so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from core.diffusion.levels import Levels
from core.diffusion.process import SIGMA_LIMIT, Level
from core.diffusion.schedule import NoiseSchedule
from core.diffusion.sigmas import Sigmas, between

Even = Literal["leading", "linspace", "trailing"]
End = Literal["z0", "t0", "sigma_min", "last"]
Told = Literal["exact", "rounded", "truncated"]


@dataclass(frozen=True)
class Grid:
    """Where a scheduler of betas looks.

    spacing, offset: timestep_spacing and steps_offset.
    spare: one timestep more is made, and the least noisy one left out ("leading" and "linspace" of the DPM-Solver family).
    whole: timesteps are rounded.
    strided: each step leads T // S timesteps down, wherever the next one looks from.
    sigmas: respaced between the largest and the smallest (use_karras_sigmas and the like), of those visited, or with
        `of_table` of all; sigma_min, sigma_max: instead of these.
    told: what becomes of the timesteps of such sigmas.
    end: "z0" for no noise; "t0" for the first level of the schedule, "sigma_min" for that level at the scale z0 + sigma · eps;
        "last" for where the last look is, so that the last step stays.
    signalless: sampling starts from the noise alone, as in k-diffusion (see `Levels.deviation`).
    """

    spacing: Even
    offset: int = 0
    spare: bool = False
    whole: bool = False
    strided: bool = False
    sigmas: Sigmas | None = None
    of_table: bool = False
    sigma_min: float | None = None
    sigma_max: float | None = None
    told: Told = "exact"
    end: End = "z0"
    signalless: bool = False

    def levels(self, schedule: NoiseSchedule, steps: int, limit: Callable[[Tensor], Tensor] | None = None) -> Levels:
        """The levels for `steps` steps. limit: from an estimate of z0, (b, …), to another; see `Levels`.

        Raises ValueError where the schedule has too few timesteps, and where diffusers leaves its table.
        """
        total = schedule.num_timesteps
        if not 1 <= steps <= total:
            raise ValueError(f"steps must lie between 1 and the schedule's {total} timesteps, not {steps}")
        timesteps = self._timesteps(total, steps)
        if timesteps[0] > schedule.last or timesteps[-1] < 0:
            raise ValueError(
                f"{self.spacing!r} spacing with an offset of {self.offset} has no {steps} steps in {total} timesteps"
            )
        looks = [self._level(schedule, t) for t in timesteps]
        stop = schedule.level_at(0.0) if self.end == "z0" else schedule.level(0)
        arrivals: list[Level] | None = None
        if self.sigmas:
            looks = self._respaced(schedule, looks, steps)
        elif self.strided and any(b.t != a.t - total // steps for a, b in pairwise(looks)):
            down = [look.t - total // steps for look in looks]
            arrivals = [schedule.level(t) if t >= 0 else stop for t in down]
        if self.end == "last":
            stop = looks[-1]
        elif stop.sigma >= looks[-1].sigma:  # a step that leads nowhere
            stop, looks, arrivals = looks[-1], looks[:-1], arrivals and arrivals[:-1]
        if not looks or stop.sigma >= looks[0].sigma:
            raise ValueError(f"{steps} steps of {self.spacing!r} spacing lead nowhere; take more")
        if self.end == "sigma_min":
            stop = stop._replace(signal=1.0, noise=stop.sigma)
        deviation = looks[0].noise if self.signalless else None
        levels = Levels(schedule, (*looks, stop), limit=limit, deviation=deviation)
        return replace(levels, arrivals=tuple(arrivals)) if arrivals else levels

    def _timesteps(self, total: int, steps: int) -> list[float]:
        count = steps + (self.spare and self.spacing != "trailing")
        t: NDArray[Any]
        match self.spacing:
            case "linspace":
                t = np.linspace(0, total - 1, count)[::-1]
            case "leading":
                t = np.arange(count)[::-1] * (total // count) + float(self.offset)
            case "trailing":
                t = np.arange(total, 0, -total / steps)[:steps].round() - 1
        return [float(each) for each in (t.round() if self.whole else t)[:steps]]

    def _level(self, schedule: NoiseSchedule, t: float) -> Level:
        low = math.floor(t)
        if t == low:
            return schedule.level(t)
        ends = [min(schedule.level(each).sigma, SIGMA_LIMIT) for each in (low, low + 1)]
        return schedule.level_at(ends[0] + (t - low) * (ends[1] - ends[0]))._replace(t=t)

    def _respaced(self, schedule: NoiseSchedule, looks: list[Level], steps: int) -> list[Level]:
        ends = (schedule.level(schedule.last), schedule.level(0)) if self.of_table else (looks[0], looks[-1])
        high = min(ends[0].sigma, SIGMA_LIMIT) if self.sigma_max is None else self.sigma_max
        low = ends[1].sigma if self.sigma_min is None else self.sigma_min
        if not 0 < low <= high < math.inf:
            raise ValueError(f"sigma_min must lie between 0 and sigma_max, not {low:g} and {high:g}")
        levels = [schedule.level_at(sigma) for sigma in between(self.sigmas, high, low, steps)]
        match self.told:
            case "rounded":
                return [level._replace(t=float(round(level.t))) for level in levels]
            case "truncated":
                return [level._replace(t=float(int(level.t))) for level in levels]
        return levels
