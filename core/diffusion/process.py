"""What a noise process is: how clean latents become noise, and what a network predicts on the way.

z = signal · z0 + noise · eps at every level. Two numbers say a level; their ratio sigma = noise / signal alone says how noisy
it is, for z can be rescaled. A process is a path of levels along timesteps t (`coefficients`, `t_at`), the parametrisation of
its predictions, and how timesteps are drawn in training and visited in sampling. `core.diffusion.schedule` has the one by
betas, `core.diffusion.flow` rectified flow, `core.diffusion.edm` EDM; one of your own is a subclass with the two methods and
`predicts`. Solvers ask for nothing else.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor

from core.diffusion.parametrisation import EPS, Estimate, Parametrisation
from core.kinds import Kinds

Spacing = Literal[
    "leading", "ldm", "trailing", "linspace", "karras", "exponential", "lcm", "diffusers", "k_diffusion", "a1111",
    "sgm_uniform", "simple", "comfyui_normal", "comfyui_karras", "comfyui_exponential", "comfyui_sgm_uniform",
    "comfyui_simple", "comfyui_ddim_uniform", "comfyui_beta", "comfyui_kl_optimal",
]  # fmt: skip
"""How the levels that a solver visits are spaced: see `core.diffusion.spacings`."""

Timestep = int | float | Tensor
"""A position on the process: a number, or a (b,) tensor; whole or fractional. It is what the denoiser is told."""

Scheduler = tuple[tuple[str, Any], ...]
"""A configuration of one of diffusers' schedulers: options and their values, which are JSON's with tuples for lists."""

SIGMA_LIMIT = 2.0**12
"""What stands for an infinite sigma (pure noise) where a number is needed: a signal of 2^-12, as in diffusers."""

NOTHING = 2.0**-23
"""Below this, float32's resolution, a rate is rounding error."""


class Level(NamedTuple):
    """One noise level: z = signal · z0 + noise · eps, at timestep t; sigma = noise / signal, inf where there is no signal."""

    t: float
    signal: float
    noise: float
    sigma: float


@dataclass(frozen=True)
class Coordinates:
    """A scale of z in which an algorithm is written: x = signal · z0 + noise · eps with these rates instead of the process'.

    rates: sigma -> (signal, noise); sigma: its inverse, of noise.
    """

    rates: Callable[[float], tuple[float, float]]
    sigma: Callable[[float], float]

    def __call__(self, level: Level) -> Level:
        """The same level, in these coordinates."""
        return Level(level.t, *self.rates(level.sigma), level.sigma)


def _preserving(sigma: float) -> tuple[float, float]:
    return 1 / math.hypot(1, sigma), 1.0 if math.isinf(sigma) else sigma / math.hypot(1, sigma)


def _straight(sigma: float) -> tuple[float, float]:
    return 1 / (1 + sigma), 1.0 if math.isinf(sigma) else sigma / (1 + sigma)


PRESERVING = Coordinates(_preserving, lambda noise: math.inf if noise == 1 else noise / math.sqrt(1 - noise**2))
"""signal² + noise² = 1: of Ho et al. 2020 and latent-diffusion (variance preserving, VP)."""
EXPLODING = Coordinates(lambda sigma: (1.0, sigma), lambda noise: noise)
"""signal = 1, noise = sigma: of Karras et al. 2022 and k-diffusion (variance exploding, VE)."""
STRAIGHT = Coordinates(_straight, lambda noise: math.inf if noise == 1 else noise / (1 - noise))
"""signal + noise = 1: of rectified flow."""


class Process(ABC):
    """A Gaussian noise process. A subclass is a frozen dataclass of plain numbers, so that it compares, hashes and is kept.

    t runs from 0 to `last`. 1000 is what the sinusoidal embeddings of a UNet or DiT resolve best (their fastest wave turns
    once in 2π timesteps, their slowest in 10,000 · 2π).
    """

    last: float = 1000.0
    """The timestep of the most noise."""
    least: ClassVar[float] = 1 / 1000
    """The share of the way to the most noise at which "linspace" takes its last look."""
    spacing: ClassVar[Spacing | None] = "trailing"
    """Where solvers look if nothing else is asked for; None for each solver's own."""
    straight: ClassVar[Coordinates] = EXPLODING
    """The coordinates in which Euler, Heun and the like integrate: those in which paths are least bent."""
    velocity: ClassVar[Parametrisation | None] = None
    """What is called velocity here: v of a variance-preserving process, dz/dt of straight paths; None where nothing is."""
    scheduler: Scheduler = ()
    """How its files say that it is sampled (`core.diffusion.schedulers`); it is no part of what the process is, nor compared."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        PROCESSES.mark(cls)

    # --- what a process says ------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def predicts(self) -> Parametrisation:
        """What its network predicts."""

    @abstractmethod
    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(signal, noise) at timesteps t, floating-point of any shape, each of that shape and dtype."""

    @abstractmethod
    def t_at(self, sigma: float) -> float:
        """The timestep at which noise / signal is sigma, which is 0 or more and finite."""

    def timestep_at(self, share: float) -> float:
        """The timestep that lies a share, in [0, 1], of the way to the most noise: what is even in it, a solver visits evenly."""
        return share * self.last

    def timesteps(self, uniform: Tensor) -> Tensor:
        """Timesteps to train at, of numbers already drawn uniformly from [0, 1). (b,) float32 in both."""
        return uniform * self.last

    def weights(self, t: Tensor) -> Tensor | None:  # noqa: ARG002
        """The weight of each sample's loss at t (b,), where nothing else is asked for; None if all are alike."""
        return None

    def prior(self, noise: Tensor, level: Level) -> Tensor:
        """Where sampling starts: z at the noisiest level, from standard normal noise (b, …)."""
        return level.noise * noise

    # --- levels -------------------------------------------------------------------------------------------------------

    def level(self, t: float) -> Level:
        """The noise level at timestep t."""
        signal, noise = self._numbers(t)
        return Level(float(t), signal, noise, noise / signal if signal else math.inf)

    def _numbers(self, t: float) -> tuple[float, float]:
        at = torch.tensor(t, dtype=torch.float64, device="cpu")
        if type(at) is not Tensor:  # a dry run's, which has no value; that is a matter of its thread
            with ThreadPoolExecutor(1) as elsewhere:
                return elsewhere.submit(self._numbers, t).result()
        signal, noise = (rate.item() for rate in self.coefficients(at))
        return _rounded(signal), _rounded(noise)

    def level_at(self, sigma: float) -> Level:
        """The noise level of that sigma; 0 is no noise at all."""
        return Level(self.t_at(sigma), *self.scale(sigma), sigma)

    def scale(self, sigma: float) -> tuple[float, float]:
        """(signal, noise) of z where noise / signal is sigma, which may be infinite."""
        level = self.level(self.last if math.isinf(sigma) else self.t_at(sigma))
        return level.signal, level.noise

    def rates(self, t: Timestep, like: Tensor) -> tuple[float | Tensor, float | Tensor]:
        """(signal, noise) at t, to multiply `like` with: numbers for a number, (b, 1, …, 1) tensors for (b,)."""
        if not isinstance(t, Tensor):
            level = self.level(t)
            return level.signal, level.noise
        precise = torch.promote_types(torch.float32, like.dtype)
        signal, noise = self.coefficients(t.reshape(-1, *[1] * (like.ndim - 1)).to(precise))
        return _rounded(signal), _rounded(noise)

    def sigma(self, t: Timestep) -> float | Tensor:
        """noise / signal at t: a float for a number, (b,) for a (b,) tensor."""
        if not isinstance(t, Tensor):
            return self.level(t).sigma
        signal, noise = self.rates(t, like=t)
        return noise / signal

    def snr(self, t: Timestep) -> float | Tensor:
        """Signal-to-noise ratio (signal / noise)² at t: a float for a number, (b,) for a (b,) tensor."""
        if not isinstance(t, Tensor):
            return self.level(t).sigma ** -2
        signal, noise = self.rates(t, like=t)
        return (signal / noise) ** 2

    # --- the forward process and its parametrisation ------------------------------------------------------------------

    def add_noise(self, z0: Tensor, noise: Tensor, t: Timestep) -> Tensor:
        """z_t = signal · z0 + noise · eps, in z0's dtype. z0, noise (eps): (b, …)."""
        signal, sigma = self.rates(t, like=z0)
        return (signal * z0 + sigma * noise).to(z0.dtype)

    def target(self, z0: Tensor, noise: Tensor, t: Timestep) -> Tensor:
        """What the network should predict at z_t = add_noise(z0, noise, t). z0, noise: (b, …); t: (b,) or a scalar."""
        return self.predicts.of(z0, noise, *self.rates(t, like=z0))

    def estimate(self, prediction: Tensor, z: Tensor, signal: float | Tensor, noise: float | Tensor) -> Estimate:
        """Read a prediction at z = signal · z0 + noise · eps as both z0 and eps, in z's dtype.

        prediction, z: (b, …); signal, noise: scalars, or of shapes that go with them.
        """
        return self.predicts.read(prediction, z, signal, noise)

    def to_z0(self, prediction: Tensor, z: Tensor, t: Timestep) -> Tensor:
        """The clean latent that a prediction at (z, t) implies."""
        return self.estimate(prediction, z, *self.rates(t, like=z)).z0

    def to_eps(self, prediction: Tensor, z: Tensor, t: Timestep) -> Tensor:
        """The noise that a prediction at (z, t) implies."""
        return self.estimate(prediction, z, *self.rates(t, like=z)).eps

    def from_z0(self, z0: Tensor, z: Tensor, t: Timestep) -> Tensor:
        """The prediction at (z, t) that would imply z0: inverse of `to_z0` in its first argument."""
        return self.predicts.from_z0(z0, z, *self.rates(t, like=z))

    def from_eps(self, eps: Tensor, z: Tensor, t: Timestep) -> Tensor:
        """The prediction at (z, t) that would imply eps: inverse of `to_eps` in its first argument."""
        return self._in_words_of(EPS, eps, z, t)

    def to_velocity(self, prediction: Tensor, z: Tensor, t: Timestep) -> Tensor:
        """The velocity that a prediction at (z, t) implies. Raises ValueError for a process that has none."""
        rates = self.rates(t, like=z)
        if (velocity := self._velocity()) == self.predicts:
            return prediction
        return velocity.of(*self.estimate(prediction, z, *rates), *rates)

    def from_velocity(self, velocity: Tensor, z: Tensor, t: Timestep) -> Tensor:
        """The prediction at (z, t) that would imply a velocity: inverse of `to_velocity` in its first argument."""
        return self._in_words_of(self._velocity(), velocity, z, t)

    def _in_words_of(self, other: Parametrisation, value: Tensor, z: Tensor, t: Timestep) -> Tensor:
        """The prediction at (z, t) that says what `value` says in another parametrisation."""
        if other == self.predicts:
            return value
        rates = self.rates(t, like=z)
        return self.predicts.of(*other.read(value, z, *rates), *rates)

    def _velocity(self) -> Parametrisation:
        if self.velocity is None:
            raise ValueError(
                f"{type(self).__name__} has no velocity; v is of schedules of betas, eps − z0 of rectified flow"
            )
        return self.velocity

    # --- kept in files ------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `core.diffusion.kinds.from_dict` gives back an equal process, to the bit."""
        names = [each.name for each in fields(self) if each.name != "scheduler"]  # type: ignore[arg-type]
        own = {name: getattr(self, name) for name in names}
        return {"process": PROCESSES.name_of(type(self)), **own, **self.scheduler_to_dict()}

    def scheduler_to_dict(self) -> dict[str, Any]:
        """The entry of `scheduler` in `to_dict`, if there is one."""
        return {"scheduler": dict(self.scheduler)} if self.scheduler else {}


PROCESSES: Kinds[Process] = Kinds("noise process", lambda kind: kind.__name__)
"""Every kind of process that a file may name. A subclass is marked by being one, and listed once its package is scanned."""

R = TypeVar("R", float, Tensor)


def _rounded(rate: R) -> R:
    """A rate that is 0 but for rounding, such as cos(π/2), is 0: nobody divides by it, and its sign means nothing."""
    return rate * (abs(rate) >= NOTHING)
