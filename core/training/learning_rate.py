"""Schedules of the learning rate, as plain values: what share of its peak an optimizer's rate has at each step.

Steps count from 0. Every schedule may begin with a warm-up, a linear rise that reaches the peak at step `warmup` − 1 (Goyal
et al. 2017). Those that end somewhere have a `horizon`, the step at which they do; it is apart from the number of steps that
are trained, so that a longer training can go on from a shorter one. After it the rate stays.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable


@runtime_checkable
class LearningRate(Protocol):
    """A schedule of the learning rate: any value with this method is one."""

    def lr_at(self, step: int, peak: float) -> float:
        """The rate at a step, counted from 0, of an optimizer whose own rate is `peak`."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Warmed(ABC):
    """A linear warm-up, and then a share of the peak that each schedule gives."""

    warmup: int = 0

    @abstractmethod
    def factor(self, step: int) -> float:
        """The share of the peak at a step after the warm-up."""

    def lr_at(self, step: int, peak: float) -> float:
        """The rate at a step, counted from 0."""
        if step < self.warmup:
            return peak * (step + 1) / self.warmup
        return peak * self.factor(step)


@dataclass(frozen=True, kw_only=True)
class Constant(_Warmed):
    """The peak, at every step after the warm-up."""

    def factor(self, step: int) -> float:  # noqa: ARG002
        """1."""
        return 1.0


@dataclass(frozen=True, kw_only=True)
class _Falling(_Warmed):
    """A fall from the peak at the end of the warm-up to the share `final` of it at the step `horizon`."""

    horizon: int
    final: float = 0.0

    def __post_init__(self) -> None:
        _refuse_short(type(self).__name__.lower(), self.warmup, self.horizon)

    @abstractmethod
    def share(self, passed: float) -> float:
        """From 1 to 0 while the fall goes from 0 to 1."""

    def factor(self, step: int) -> float:
        """The share of the peak at a step after the warm-up."""
        passed = min(1.0, (step - self.warmup) / (self.horizon - self.warmup))
        return self.final + (1 - self.final) * self.share(passed)


class Cosine(_Falling):
    """Half a cosine from the peak to its end (Loshchilov & Hutter 2017, without restarts)."""

    def share(self, passed: float) -> float:
        """(1 + cos π·passed) / 2."""
        return (1 + math.cos(math.pi * passed)) / 2


class Linear(_Falling):
    """A straight line from the peak to its end."""

    def share(self, passed: float) -> float:
        """1 − passed."""
        return 1 - passed


@dataclass(frozen=True, kw_only=True)
class InverseSquareRoot(_Warmed):
    """The peak up to the step `start`, then a fall as 1/√step: √(start / (step + 1)).

    With start 0 the fall begins where the warm-up ends (Vaswani et al. 2017, section 5.3); a later one keeps the peak for
    a while (NVlabs/edm2, training/training_loop.py, learning_rate_schedule).
    """

    start: int = 0

    def factor(self, step: int) -> float:
        """√(start / (step + 1)), at most 1."""
        return min(1.0, math.sqrt((self.start or max(self.warmup, 1)) / (step + 1)))


@dataclass(frozen=True, kw_only=True)
class OneCycle:
    """One rise and one fall, both half a cosine (Smith & Topin 2018, as `torch.optim.lr_scheduler.OneCycleLR` draws it).

    It rises from the share `initial` of the peak, which it reaches at step `warmup` − 1, and falls to the share `final` at
    the step `horizon`. The momentum stays as it is.
    """

    horizon: int
    warmup: int
    initial: float = 1 / 25
    final: float = 1 / 250_000

    def __post_init__(self) -> None:
        if self.warmup < 1:
            raise ValueError(f"one cycle begins with a rise: warmup must be 1 step or more, not {self.warmup}")
        _refuse_short("one-cycle", self.warmup, self.horizon)

    def lr_at(self, step: int, peak: float) -> float:
        """The rate at a step, counted from 0."""
        top = self.warmup - 1
        if step <= top:
            begin, end, passed = self.initial, 1.0, step / top if top else 1.0
        else:
            begin, end, passed = 1.0, self.final, min(1.0, (step - top) / (self.horizon - top))
        return peak * (end + (begin - end) * (1 + math.cos(math.pi * passed)) / 2)


@dataclass(frozen=True, kw_only=True)
class WarmRestarts(_Warmed):
    """Cosine falls from the peak to the share `final`, one after another (SGDR, Loshchilov & Hutter 2017).

    The first begins after the warm-up and takes `period` steps; each takes `growth` times as many as the one before.
    """

    period: int
    growth: int = 1
    final: float = 0.0

    def __post_init__(self) -> None:
        if self.period < 1 or self.growth < 1:
            raise ValueError(f"period and growth must be 1 or more, not {self.period} and {self.growth}")

    def factor(self, step: int) -> float:
        """The share of the peak at a step after the warm-up."""
        passed, period = step - self.warmup, self.period
        if self.growth == 1:
            passed %= period
        while passed >= period:
            passed, period = passed - period, period * self.growth
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * passed / period)) / 2


@dataclass(frozen=True, kw_only=True)
class StepDecay(_Warmed):
    """The peak times `gamma` for each `every` steps that have passed since step 0."""

    every: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every must be 1 step or more, not {self.every}")

    def factor(self, step: int) -> float:
        """gamma to the power of ⌊step / every⌋."""
        return float(self.gamma ** (step // self.every))


def _refuse_short(decay: str, warmup: int, horizon: int) -> None:
    if horizon <= warmup:
        raise ValueError(
            f"a {decay} decay needs a horizon (the step it ends at) beyond the {warmup} steps of warm-up, not {horizon}"
        )


def by_name(decay: Literal["constant", "cosine", "linear"], warmup: int, horizon: int, final: float) -> LearningRate:
    """A schedule by its name, for those that go by the same numbers. Raises ValueError for a fall that ends in its warm-up."""
    if decay == "constant":
        return Constant(warmup=warmup)
    return (Cosine if decay == "cosine" else Linear)(warmup=warmup, horizon=horizon, final=final)
