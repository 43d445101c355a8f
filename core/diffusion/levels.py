"""The noise levels that a solver visits: spacings of timesteps and of sigmas, as data.

`Levels.of(schedule, steps, spacing)` chooses them, a solver walks them. Image-to-image is a shorter walk (`last_part`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, get_args

import numpy as np

from core.diffusion.schedule import SIGMA_LIMIT, Level, NoiseSchedule

Spacing = Literal["leading", "ldm", "trailing", "linspace", "karras", "exponential", "lcm"]
End = Literal["t0", "z0"]
Turns = Callable[[int], Iterable[int]]
"""Called with the number of steps, gives their indices: `range`, or a loop that observes, counts or cancels."""


@dataclass(frozen=True)
class Levels:
    """Noise levels in the order in which a solver visits them, noisiest first: a step leads from each to the next."""

    schedule: NoiseSchedule
    levels: tuple[Level, ...]

    def __post_init__(self) -> None:
        sigmas = [level.sigma for level in self.levels]
        if len(sigmas) < 2 or any(a <= b for a, b in pairwise(sigmas)):
            raise ValueError("a solver needs at least two noise levels, each less noisy than the one before it")

    @classmethod
    def of(cls, schedule: NoiseSchedule, steps: int = 50, spacing: Spacing = "leading", end: End = "z0") -> Levels:
        """Choose the levels for `steps` steps.

        spacing: see `SPACINGS`.
        end: where the last step leads: "z0" to no noise at all (Ho et al. 2020; k-diffusion), "t0" to the schedule's
            first level, where latent-diffusion's DDIM and PLMS stop (to "z0" if the steps already reach that level).

        Raises ValueError for an unknown spacing, or if the schedule has fewer timesteps than `steps`.
        """
        if spacing not in SPACINGS:
            raise ValueError(f"unknown spacing {spacing!r}: choose one of {', '.join(SPACINGS)}")
        if not 1 <= steps <= schedule.num_timesteps:
            raise ValueError(
                f"steps must lie between 1 and the schedule's {schedule.num_timesteps} timesteps, not {steps}"
            )
        levels = SPACINGS[spacing](schedule, steps)
        reaches_first = levels[-1].t < 1e-6  # interpolated timesteps come with rounding errors
        stop = schedule.level(0) if end == "t0" and not reaches_first else Level(0.0, 0.0)
        return cls(schedule, (*levels, stop))

    def __len__(self) -> int:
        """The number of steps."""
        return len(self.levels) - 1

    @property
    def start(self) -> Level:
        """The level that the solver's input z must have."""
        return self.levels[0]

    @property
    def end(self) -> Level:
        """The level of the solver's result."""
        return self.levels[-1]

    def walk(self, turns: Turns = range) -> Iterator[tuple[Level, Level]]:
        """One (now, then) pair a step, under the caller's loop."""
        for i in turns(len(self)):
            yield self.levels[i], self.levels[i + 1]

    def climb(self, turns: Turns = range) -> Iterator[tuple[Level, Level]]:
        """The same steps the other way round, from the least noisy level up: one (now, then) pair a step."""
        for i in turns(len(self)):
            yield self.levels[-1 - i], self.levels[-2 - i]

    def last_part(self, strength: float) -> Levels:
        """The last ⌊strength · steps⌋ steps, for image-to-image: start them from add_noise(z0, noise, result.start.t).

        strength: in (0, 1]; 1 keeps all steps (SDEdit, Meng et al. 2022). ValueError if no step would be left.
        """
        steps = int(strength * len(self) + 1e-6)
        if not 1 <= steps <= len(self):
            raise ValueError(
                f"strength {strength} leaves {steps} of {len(self)} steps: choose it from {1 / len(self):.3g} to 1"
            )
        return replace(self, levels=self.levels[-steps - 1 :])

    def finite(self) -> Levels:
        """The same levels with an infinite sigma (zero terminal SNR) replaced by SIGMA_LIMIT."""
        return replace(self, levels=tuple(Level(t, min(sigma, SIGMA_LIMIT)) for t, sigma in self.levels))


# --- spacings: (schedule, steps) -> that many levels, noisiest first --------------------------------------------------


def leading(schedule: NoiseSchedule, steps: int) -> list[Level]:
    """⌊i·T/S⌋ + 1, latent-diffusion's DDIM timesteps, spread over the whole schedule also where S does not divide T.

    The + 1 is left out where there is no room for it (S = T).
    """
    total = schedule.num_timesteps
    return [schedule.level(i * total // steps + (steps < total)) for i in reversed(range(steps))]


def ldm(schedule: NoiseSchedule, steps: int) -> list[Level]:
    """range(0, T, T // S) + 1, exactly as latent-diffusion does: asked for 30 of 1000 steps it takes 31.

    Equal to `leading` where S divides T. Raises ValueError where latent-diffusion leaves its table (S = 600 of 1000).
    """
    total = schedule.num_timesteps
    chosen = [t + 1 for t in range(0, total, total // steps)]
    if chosen[-1] >= total:
        raise ValueError(
            f"'ldm' spacing of {steps} steps reaches past the last timestep {total - 1}; use 'leading' for this many"
        )
    return [schedule.level(t) for t in reversed(chosen)]


def trailing(schedule: NoiseSchedule, steps: int) -> list[Level]:
    """round(T − i·T/S) − 1: always starts at T − 1 (Lin et al. 2024, table 2). Needed at zero terminal SNR."""
    total = schedule.num_timesteps
    return [schedule.level(round(total - i * total / steps) - 1) for i in range(steps)]


def linspace(schedule: NoiseSchedule, steps: int) -> list[Level]:
    """Evenly from T − 1 to 0, both included, rounded to whole timesteps (Nichol & Dhariwal 2021)."""
    return [schedule.level(round(t)) for t in np.linspace(schedule.num_timesteps - 1, 0, steps).tolist()]


def karras(schedule: NoiseSchedule, steps: int, rho: float = 7.0) -> list[Level]:
    """Evenly in σ^(1/ρ) from the schedule's largest sigma to its smallest (Karras et al. 2022, eq. 5)."""
    high, low = _sigma_range(schedule)
    ramp = np.linspace(high ** (1 / rho), low ** (1 / rho), steps) ** rho
    return [schedule.level_at(sigma) for sigma in ramp.tolist()]


def exponential(schedule: NoiseSchedule, steps: int) -> list[Level]:
    """Evenly in log σ from the schedule's largest sigma to its smallest."""
    high, low = _sigma_range(schedule)
    return [schedule.level_at(sigma) for sigma in np.exp(np.linspace(math.log(high), math.log(low), steps)).tolist()]


def lcm(schedule: NoiseSchedule, steps: int, distilled: int = 50) -> list[Level]:
    """`steps` of the 50 trailing timesteps that latent consistency models are distilled on (Luo et al. 2023)."""
    stride = schedule.num_timesteps // distilled
    if steps > distilled or stride == 0:
        raise ValueError(
            f"'lcm' spacing takes at most {distilled} steps of a schedule with at least {distilled} timesteps"
        )
    return [schedule.level((distilled - i * distilled // steps) * stride - 1) for i in range(steps)]


def _sigma_range(schedule: NoiseSchedule) -> tuple[float, float]:
    return min(schedule.level(schedule.num_timesteps - 1).sigma, SIGMA_LIMIT), schedule.level(0).sigma


SPACINGS: dict[Spacing, Callable[[NoiseSchedule, int], list[Level]]] = {
    "leading": leading,
    "ldm": ldm,
    "trailing": trailing,
    "linspace": linspace,
    "karras": karras,
    "exponential": exponential,
    "lcm": lcm,
}
assert tuple(SPACINGS) == get_args(Spacing)
