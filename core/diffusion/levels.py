"""The noise levels that a solver visits: spacings of timesteps and of sigmas, as data.

`Levels.of(process, steps, spacing)` chooses them, a solver walks them. Image-to-image is a shorter walk
(`last_part`); where several denoisers share a walk, each takes a part of it (`part`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np

from core.diffusion.process import SIGMA_LIMIT, Coordinates, Level, Process, Spacing
from core.diffusion.schedule import NoiseSchedule

End = Literal["t0", "z0"]
Turns = Callable[[int], Iterable[int]]
"""Called with the number of steps, gives their indices: `range`, or a loop that observes, counts or cancels."""


@dataclass(frozen=True)
class Levels:
    """Noise levels in the order in which a solver visits them, noisiest first: a step leads from each to the next."""

    process: Process
    levels: tuple[Level, ...]
    coordinates: Coordinates | None = None
    """The scale of z that `levels` are in; None for the process' own."""

    def __post_init__(self) -> None:
        sigmas = [level.sigma for level in self.levels]
        if len(sigmas) < 2 or any(a <= b for a, b in pairwise(sigmas)):
            raise ValueError("a solver needs at least two noise levels, each less noisy than the one before it")

    @classmethod
    def of(cls, process: Process, steps: int = 50, spacing: Spacing = "leading", end: End = "z0") -> Levels:
        """Choose the levels for `steps` steps.

        spacing: see `SPACINGS`.
        end: where the last step leads: "z0" to no noise at all (Ho et al. 2020; k-diffusion), "t0" to the first level of a
            schedule of betas, where latent-diffusion's DDIM and PLMS stop (to "z0" if the steps already reach that level,
            and in processes that have no first level).

        Raises ValueError for a spacing that is unknown or not defined for the process, or if a schedule has fewer timesteps
        than `steps`.
        """
        if spacing not in SPACINGS:
            raise ValueError(f"unknown spacing {spacing!r}: choose one of {', '.join(SPACINGS)}")
        most = process.num_timesteps if isinstance(process, NoiseSchedule) else None
        if steps < 1 or (most is not None and steps > most):
            within = f"between 1 and the schedule's {most} timesteps" if most is not None else "at 1 or above"
            raise ValueError(f"steps must lie {within}, not {steps}")
        if spacing in BY_TIMESTEP and not isinstance(process, NoiseSchedule):
            others = ", ".join(name for name in SPACINGS if name not in BY_TIMESTEP)
            raise ValueError(
                f"{spacing!r} spacing counts the whole timesteps of a schedule of betas, which {type(process).__name__} has"
                f" not: choose one of {others}"
            )
        levels = SPACINGS[spacing](process, steps)
        stop = process.level_at(0.0)
        if end == "t0" and isinstance(process, NoiseSchedule) and levels[-1].t >= 1e-6:  # but for rounding errors
            stop = process.level(0)
        return cls(process, (*levels, stop))

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

    def part(self, start: int, end: int | None = None) -> Levels:
        """The steps from number `start` up to and without number `end`, counted from 0; None for all that follow.

        Solvers of one step (`history` 1) give the same in two parts as in one walk: to the bit where they are written for the
        process' own scale of z, elsewhere but for one rounding to it and back. ValueError if no step would be left.
        """
        end = len(self) if end is None else end
        if not 0 <= start < end <= len(self):
            raise ValueError(
                f"from step {start} up to step {end} there is no part of {len(self)} steps: the start must lie"
                f" before the end, both from 0 to {len(self)}"
            )
        return replace(self, levels=self.levels[start : end + 1])

    def last_part(self, strength: float) -> Levels:
        """The last ⌊strength · steps⌋ steps, for image-to-image: start them from add_noise(z0, noise, result.start.t).

        strength: in (0, 1]; 1 keeps all steps (SDEdit, Meng et al. 2022). ValueError if no step would be left.
        """
        steps = int(strength * len(self) + 1e-6)
        if not 1 <= steps <= len(self):
            raise ValueError(
                f"strength {strength} leaves {steps} of {len(self)} steps: choose it from {1 / len(self):.3g} to 1"
            )
        return self.part(len(self) - steps)

    def finite(self) -> Levels:
        """The same levels with an infinite sigma (pure noise), or a huge one, replaced by SIGMA_LIMIT."""
        bound = self.level_at(SIGMA_LIMIT)
        return replace(self, levels=tuple(x if x.sigma <= SIGMA_LIMIT else bound._replace(t=x.t) for x in self.levels))

    def seen_in(self, coordinates: Coordinates) -> Levels:
        """The same levels at another scale of z."""
        return replace(self, levels=tuple(map(coordinates, self.levels)), coordinates=coordinates)

    def level_at(self, sigma: float) -> Level:
        """A level between those that were chosen, in the same coordinates."""
        level = self.process.level_at(sigma)
        return self.coordinates(level) if self.coordinates else level

    def level_of(self, noise: float) -> Level:
        """The level that has this much noise in the coordinates of `seen_in`."""
        assert self.coordinates is not None
        return self.level_at(self.coordinates.sigma(noise))


# --- spacings: (process, steps) -> that many levels, noisiest first --------------------------------------------------


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


def trailing(process: Process, steps: int) -> list[Level]:
    """Evenly from the most noise, the last step from a share 1/S of the way (Lin et al. 2024, table 2; SD3's pipeline).

    In a schedule of betas round(T − i·T/S) − 1: always starts at T − 1. Needed at zero terminal SNR.
    """
    if isinstance(process, NoiseSchedule):
        total = process.num_timesteps
        return [process.level(round(total - i * total / steps) - 1) for i in range(steps)]
    return [process.level(process.timestep_at(1 - i / steps)) for i in range(steps)]


def linspace(process: Process, steps: int) -> list[Level]:
    """Evenly from the most noise to the least, both included (Nichol & Dhariwal 2021; diffusers' FlowMatchEuler).

    In a schedule of betas rounded to whole timesteps, T − 1 to 0; in EDM even in σ^(1/ρ) (Karras et al. 2022, eq. 5).
    """
    if isinstance(process, NoiseSchedule):
        return [process.level(round(t)) for t in np.linspace(process.num_timesteps - 1, 0, steps).tolist()]
    return [process.level(process.timestep_at(share)) for share in np.linspace(1, process.least, steps).tolist()]


def karras(process: Process, steps: int, rho: float = 7.0) -> list[Level]:
    """Evenly in σ^(1/ρ) from the process' largest sigma to its smallest (Karras et al. 2022, eq. 5).

    In rectified flow u stands for σ, as in diffusers.
    """
    high, low = _noise_range(process)
    ramp = np.linspace(high ** (1 / rho), low ** (1 / rho), steps) ** rho
    return [_at(process, noise) for noise in ramp.tolist()]


def exponential(process: Process, steps: int) -> list[Level]:
    """Evenly in log σ from the process' largest sigma to its smallest; in rectified flow u stands for σ."""
    high, low = _noise_range(process)
    return [_at(process, noise) for noise in np.exp(np.linspace(math.log(high), math.log(low), steps)).tolist()]


def lcm(schedule: NoiseSchedule, steps: int, distilled: int = 50) -> list[Level]:
    """`steps` of the 50 trailing timesteps that latent consistency models are distilled on (Luo et al. 2023)."""
    stride = schedule.num_timesteps // distilled
    if steps > distilled or stride == 0:
        raise ValueError(
            f"'lcm' spacing takes at most {distilled} steps of a schedule with at least {distilled} timesteps"
        )
    return [schedule.level((distilled - i * distilled // steps) * stride - 1) for i in range(steps)]


def _noise_range(process: Process) -> tuple[float, float]:
    """The most and the least noise, in the coordinates in which the process' paths are straight."""
    ends = (process.level(process.timestep_at(share)) for share in (1, process.least))
    high, low = (process.straight(level).noise for level in ends)
    return min(high, SIGMA_LIMIT), low


def _at(process: Process, noise: float) -> Level:
    sigma = process.straight.sigma(noise)
    return process.level(process.last) if math.isinf(sigma) else process.level_at(sigma)


BY_TIMESTEP = ("leading", "ldm", "lcm")
"""The spacings that are defined for schedules of betas only."""

SPACINGS: dict[Spacing, Callable[[Any, int], list[Level]]] = {
    "leading": leading,
    "ldm": ldm,
    "trailing": trailing,
    "linspace": linspace,
    "karras": karras,
    "exponential": exponential,
    "lcm": lcm,
}
assert tuple(SPACINGS) == get_args(Spacing)
