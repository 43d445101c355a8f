"""The variance-preserving process of LDM: a table of betas.

Diffusion adds noise by z_t = √ᾱ_t · z0 + √(1 − ᾱ_t) · eps with ᾱ_t = ∏ (1 − β_s) (Ho et al. 2020, eq. 4). What the
network predicts (eps, v or z0) belongs to the same value, so that adding noise, the loss's target and the solver cannot
disagree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.diffusion import parametrisation as parametrisations
from core.diffusion.process import PRESERVING, SIGMA_LIMIT, Level, Process, Scheduler, Spacing, Timestep

Parametrisation = Literal["eps", "v", "x0"]
PARAMETRISATIONS: tuple[Parametrisation, ...] = get_args(Parametrisation)
PREDICTS = {"eps": parametrisations.EPS, "v": parametrisations.V, "x0": parametrisations.X0}

MOST_TIMESTEPS = 100_000


def _checked(steps: int) -> int:
    """A number of timesteps. Raises ValueError where it is none, before a table of that length is made."""
    if not 2 <= steps <= MOST_TIMESTEPS:
        raise ValueError(f"a noise schedule has 2 to {MOST_TIMESTEPS:,} timesteps, not {steps}")
    return steps


@dataclass(frozen=True)
class NoiseSchedule(Process):
    """The betas of a diffusion process and what its network predicts.

    betas: T variances, β_0 first, each in (0, 1); the last may be 1 (zero terminal SNR).
    parametrisation: "eps" (Ho et al. 2020), "v" = √ᾱ·eps − √(1−ᾱ)·z0 (Salimans & Ho 2022), or "x0".

    Values are plain numbers, so schedules compare, hash and serialise by value; derived tables are computed in float64.
    Methods take `t` as a number or a (b,) tensor. Fractional t is interpolated in log sigma, as in k-diffusion.
    """

    betas: tuple[float, ...] = field(repr=False)
    parametrisation: Parametrisation = "eps"
    scheduler: Scheduler = field(default=(), repr=False, compare=False, kw_only=True)

    least: ClassVar[float] = 0.0
    spacing: ClassVar[Spacing | None] = None
    velocity: ClassVar[parametrisations.Parametrisation | None] = parametrisations.V

    def __post_init__(self) -> None:
        if self.parametrisation not in PARAMETRISATIONS:
            raise ValueError(f"parametrisation must be one of {PARAMETRISATIONS}, not {self.parametrisation!r}")
        if len(self.betas) > MOST_TIMESTEPS:
            raise ValueError(f"a noise schedule has at most {MOST_TIMESTEPS:,} timesteps, not {len(self.betas):,}")
        if len(self.betas) < 2 or not all(0 < b < 1 for b in self.betas[:-1]) or not 0 < self.betas[-1] <= 1:
            raise ValueError("betas must be at least two numbers between 0 and 1 (only the last may be exactly 1)")
        if self.betas[-1] == 1 and self.parametrisation == "eps":
            raise ValueError(
                "a schedule with zero terminal SNR cannot predict eps: at its last step z is pure noise and eps says"
                " nothing about z0; use parametrisation 'v' (or 'x0')"
            )

    # --- constructors -------------------------------------------------------------------------------------------------

    @classmethod
    def linear(
        cls, steps: int = 1000, start: float = 0.0015, end: float = 0.0195, parametrisation: Parametrisation = "eps"
    ) -> NoiseSchedule:
        """LDM's "linear" schedule, even in √β (latent-diffusion, make_beta_schedule; diffusers: scaled_linear).

        The defaults are those of most published LDMs; Stable Diffusion uses start 0.00085, end 0.012.
        """
        return cls(tuple((np.linspace(start**0.5, end**0.5, _checked(steps)) ** 2).tolist()), parametrisation)

    @classmethod
    def plain_linear(
        cls, steps: int = 1000, start: float = 1e-4, end: float = 2e-2, parametrisation: Parametrisation = "eps"
    ) -> NoiseSchedule:
        """Betas in even steps, as in DDPM (Ho et al. 2020, section 4); latent-diffusion calls this "sqrt_linear"."""
        return cls(tuple(np.linspace(start, end, _checked(steps)).tolist()), parametrisation)

    @classmethod
    def cosine(
        cls,
        steps: int = 1000,
        offset: float = 8e-3,
        max_beta: float = 0.999,
        parametrisation: Parametrisation = "eps",
    ) -> NoiseSchedule:
        """ᾱ follows cos² (Nichol & Dhariwal 2021, eq. 17); betas are capped at max_beta."""
        alphas_cumprod = np.cos((np.linspace(0, 1, _checked(steps) + 1) + offset) / (1 + offset) * math.pi / 2) ** 2
        betas = 1 - alphas_cumprod[1:] / alphas_cumprod[:-1]
        return cls(tuple(np.minimum(betas, max_beta).tolist()), parametrisation)

    def with_zero_terminal_snr(self, parametrisation: Parametrisation = "v") -> NoiseSchedule:
        """Shift and scale √ᾱ so that the last step is pure noise and the first is kept (Lin et al. 2024, algorithm 1).

        Goes together with "trailing" spacing and CFG rescale. Predicting eps is impossible there (ValueError).
        """
        signal = np.sqrt(self._alphas_cumprod)
        signal = (signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])
        alphas_cumprod = signal**2
        betas = 1 - alphas_cumprod / np.concatenate([[1.0], alphas_cumprod[:-1]])
        return NoiseSchedule(tuple(betas.tolist()), parametrisation)

    def with_parametrisation(self, parametrisation: Parametrisation) -> NoiseSchedule:
        """The same noise levels for a network that predicts something else."""
        return replace(self, parametrisation=parametrisation)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `core.diffusion.kinds.from_dict` gives back an equal schedule, to the bit."""
        return {"betas": list(self.betas), "parametrisation": self.parametrisation, **self.scheduler_to_dict()}

    # --- tables -------------------------------------------------------------------------------------------------------

    @property
    def num_timesteps(self) -> int:
        """T: timesteps run from 0 (least noise) to T − 1."""
        return len(self.betas)

    @property
    def last(self) -> float:  # type: ignore[override]
        """T − 1, the noisiest timestep."""
        return self.num_timesteps - 1

    @property
    def predicts(self) -> parametrisations.Parametrisation:
        """eps, v or z0."""
        return PREDICTS[self.parametrisation]

    @cached_property
    def _alphas_cumprod(self) -> NDArray[np.float64]:
        return np.cumprod(1 - np.asarray(self.betas))

    @cached_property
    def _log_sigmas(self) -> NDArray[np.float64]:
        floored = np.maximum(self._alphas_cumprod, 1 / (1 + SIGMA_LIMIT**2))
        log_sigmas: NDArray[np.float64] = 0.5 * np.log((1 - floored) / floored)
        return log_sigmas

    @property
    def alphas_cumprod(self) -> Tensor:
        """ᾱ as a float32 (T,) tensor on the CPU."""
        return torch.from_numpy(self._alphas_cumprod).float()

    @property
    def sigmas(self) -> Tensor:
        """√((1 − ᾱ)/ᾱ) as a float32 (T,) tensor on the CPU, ascending; inf at zero terminal SNR."""
        return torch.tensor([self.level(t).sigma for t in range(self.num_timesteps)])

    @cached_property
    def _tables(self) -> dict[tuple[torch.device, torch.dtype], Tensor]:
        return {}

    def _table(self, t: Tensor, dtype: torch.dtype) -> Tensor:
        """(3, T) rows signal, noise, log sigma on t's device, moved there once."""
        table = self._tables.get((t.device, dtype)) if type(t) is Tensor else None
        if table is None:
            ac = self._alphas_cumprod
            rows = np.stack([np.sqrt(ac), np.sqrt(1 - ac), self._log_sigmas])
            table = torch.tensor(rows, dtype=dtype, device=t.device)
            if type(table) is Tensor:  # not one of those that stand for tensors in a dry run and must not outlive it
                self._tables[t.device, dtype] = table
        return table

    # --- noise levels -------------------------------------------------------------------------------------------------

    def level(self, t: float) -> Level:
        """The noise level at timestep t, whole or fractional; ValueError outside [0, T − 1]."""
        if not 0 <= t <= self.num_timesteps - 1:
            raise ValueError(
                f"timestep {t} lies outside this schedule: timesteps run from 0 to {self.num_timesteps - 1}"
            )
        if t == int(t):
            ac = float(self._alphas_cumprod[int(t)])
            sigma = math.sqrt((1 - ac) / ac) if ac else math.inf
        else:
            sigma = float(np.exp(np.interp(t, np.arange(self.num_timesteps), self._log_sigmas)))
        return Level(float(t), *PRESERVING.rates(sigma), sigma)

    def scale(self, sigma: float) -> tuple[float, float]:
        """(√ᾱ, √(1 − ᾱ))."""
        return PRESERVING.rates(sigma)

    def t_at(self, sigma: float) -> float:
        """Interpolated in log sigma and kept within the schedule."""
        return float(np.interp(math.log(sigma), self._log_sigmas, np.arange(self.num_timesteps))) if sigma else 0.0

    def timestep_at(self, share: float) -> int:
        """The nearest whole timestep."""
        return round(self.last * share)

    def timesteps(self, uniform: Tensor) -> Tensor:
        """Whole timesteps, each as likely as any other. (b,) int64."""
        total = self.num_timesteps
        return (uniform * total).long().clamp(max=total - 1)

    def prior(self, noise: Tensor, level: Level) -> Tensor:  # noqa: ARG002
        """The noise itself: latents of unit variance keep it at every level, and the last has next to no signal."""
        return noise

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(√ᾱ, √(1 − ᾱ)), between whole timesteps interpolated in log sigma."""
        return self._look_up(t, torch.promote_types(torch.float32, t.dtype))

    def rates(self, t: Timestep, like: Tensor) -> tuple[float | Tensor, float | Tensor]:
        """(√ᾱ, √(1 − ᾱ)) at t, to multiply `like` with: numbers for a number, (b, 1, …, 1) tensors for (b,)."""
        if not isinstance(t, Tensor):
            return super().rates(t, like)
        return self._look_up(t.reshape(-1, *[1] * (like.ndim - 1)), torch.promote_types(torch.float32, like.dtype))

    def _look_up(self, t: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        signal, noise, log_sigma = self._table(t, dtype)
        if not t.is_floating_point():
            return signal[t], noise[t]
        low = t.floor().long()
        high = (low + 1).clamp(max=self.num_timesteps - 1)
        sigma = torch.lerp(log_sigma[low], log_sigma[high], (t - low).to(log_sigma.dtype)).exp()
        between = (1 + sigma**2).rsqrt()
        whole = t == low
        return torch.where(whole, signal[low], between), torch.where(whole, noise[low], sigma * between)


def with_betas(process: Process, wanted_by: str) -> NoiseSchedule:
    """The process, which has to be a schedule of betas. Raises ValueError naming what wants one otherwise."""
    if not isinstance(process, NoiseSchedule):
        raise ValueError(f"{wanted_by} says a noise process by its betas, and {type(process).__name__} has none")
    return process
