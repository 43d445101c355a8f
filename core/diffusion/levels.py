"""The noise levels that a solver visits, as data.

`Levels.of(process, steps, spacing)` chooses them (`core.diffusion.spacings`), a solver walks them. Image-to-image is a shorter
walk (`last_part`); where several denoisers share a walk, each takes a part of it (`part`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from torch import Tensor

from core.diffusion import comfyui
from core.diffusion.process import SIGMA_LIMIT, Coordinates, Level, Process, Spacing
from core.diffusion.schedule import NoiseSchedule
from core.diffusion.spacings import BY_TIMESTEP, COMFYUI, SIGNALLESS, SPACINGS, WITH_END

End = Literal["t0", "z0"]
Turns = Callable[[int], Iterable[int]]
"""Called with the number of steps, gives their indices: `range`, or a loop that observes, counts or cancels."""


@dataclass(frozen=True)
class Levels:
    """Noise levels in the order in which a solver visits them with z, (b, …), noisiest first: a step leads from each to the next."""

    process: Process
    levels: tuple[Level, ...]
    coordinates: Coordinates | None = None
    """The scale of z that `levels` are in; None for the process' own."""
    arrivals: tuple[Level, ...] | None = None
    """Where each step leads, if not to the level that the next looks from: diffusers' DDIM, where S does not divide T."""
    limit: Callable[[Tensor], Tensor] | None = None
    """What is done to every estimate of z0, (b, …), such as to clip it; None for nothing."""
    deviation: float | None = None
    """Of z where sampling starts, if not the process' own: k-diffusion starts from noise · eps, latent-diffusion from eps."""
    whole: bool = False
    """Whether the denoiser is told the nearest whole timestep, as ComfyUI has it."""

    def __post_init__(self) -> None:
        sigmas = [level.sigma for level in self.levels]
        still = (
            len(sigmas) > 2 and sigmas[-1] == sigmas[-2]
        )  # a last step that stays, as diffusers' DEIS has with Karras sigmas
        if len(sigmas) < 2 or any(a <= b for a, b in pairwise(sigmas[:-1] if still else sigmas)):
            raise ValueError("a solver needs at least two noise levels, each less noisy than the one before it")
        if self.arrivals is not None and len(self.arrivals) != len(self):
            raise ValueError(f"{len(self)} steps arrive at as many levels, not {len(self.arrivals)}")

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
            others = ", ".join(name for name in SPACINGS if name not in BY_TIMESTEP and name not in COMFYUI)
            raise ValueError(
                f"{spacing!r} spacing counts the whole timesteps of a schedule of betas, which {type(process).__name__} has"
                f" not: choose one of {others}"
            )
        levels = SPACINGS[spacing](process, steps)
        if spacing in WITH_END:
            return cls(process, tuple(levels))
        stop = process.level_at(0.0)
        if spacing in COMFYUI:
            return cls._of_comfyui(process, levels, stop)
        if end == "t0" and isinstance(process, NoiseSchedule) and levels[-1].t >= 1e-6:  # but for rounding errors
            stop = process.level(0)
        return cls(process, (*levels, stop), deviation=levels[0].noise if spacing in SIGNALLESS else None)

    @classmethod
    def _of_comfyui(cls, process: Process, looks: list[Level], stop: Level) -> Levels:
        """Those looks, told as whole timesteps by betas. Less than the most noise is z0 + sigma · eps without a z0, as there."""
        if not isinstance(process, NoiseSchedule):
            return cls(process, (*looks, stop))
        deviation = None if looks[0].sigma >= process.level(process.last).sigma * (1 - 1e-5) else looks[0].noise
        told = (level._replace(t=comfyui.nearest(level.t)) for level in looks)
        return cls(process, (*told, stop), deviation=deviation, whole=True)

    def without_last_look(self) -> Levels:
        """The same walk without the last look but one, from which a step leads to the end. ValueError where it is the only one."""
        return replace(self, levels=(*self.levels[:-2], self.levels[-1]))

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

    def prior(self, noise: Tensor) -> Tensor:
        """Where sampling starts: z at `start`, from standard normal noise (b, …)."""
        return self.process.prior(noise, self.start) if self.deviation is None else self.deviation * noise

    def walk(self, turns: Turns = range) -> Iterator[tuple[Level, Level]]:
        """One (now, then) pair a step, under the caller's loop."""
        for i in turns(len(self)):
            yield self.levels[i], self.arrivals[i] if self.arrivals else self.levels[i + 1]

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
        arrivals = None if self.arrivals is None else self.arrivals[start:end]
        return replace(self, levels=self.levels[start : end + 1], arrivals=arrivals)

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
        arrivals = None if self.arrivals is None else tuple(map(coordinates, self.arrivals))
        return replace(self, levels=tuple(map(coordinates, self.levels)), coordinates=coordinates, arrivals=arrivals)

    def level_at(self, sigma: float) -> Level:
        """A level between those that were chosen, in the same coordinates."""
        level = self.process.level_at(sigma)
        if self.whole:
            level = level._replace(t=comfyui.nearest(level.t))
        return self.coordinates(level) if self.coordinates else level

    def level_of(self, noise: float) -> Level:
        """The level that has this much noise in the coordinates of `seen_in`."""
        assert self.coordinates is not None
        return self.level_at(self.coordinates.sigma(noise))
