"""What every solver calls: the denoiser seen as an estimate of z0 and eps, and k-diffusion's view of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Concatenate, ParamSpec

import torch
from torch import Tensor

from core.diffusion.levels import Levels
from core.diffusion.schedule import Estimate, Level, NoiseSchedule

Denoise = Callable[[Tensor, Tensor], Tensor]
"""(z, t) -> prediction. z (b, …) is VP-scaled; t is (b,) float, in timesteps, fractional for some solvers; the
prediction is in the schedule's parametrisation. Guidance, conditions and the network are inside."""

Draw = Callable[[Tensor], Tensor]
"""Standard normal noise of its argument's shape, dtype and device: torch.randn_like, or a seeded source."""

Denoised = Callable[[Tensor, Level], Tensor]
"""k-diffusion's model: (x, level) -> the estimate of z0, for x = z0 + sigma·eps."""

P = ParamSpec("P")


def estimator(denoise: Denoise, schedule: NoiseSchedule) -> Callable[[Tensor, Level], Estimate]:
    """The denoiser as (z, level) -> (z0, eps): asked at level.t, read at level.sigma."""

    def estimate(z: Tensor, level: Level) -> Estimate:
        t = torch.full((z.shape[0],), level.t, dtype=torch.promote_types(z.dtype, torch.float32), device=z.device)
        return schedule.estimate(denoise(z, t), z, level.signal, level.noise)

    return estimate


def combine(weights: Sequence[float], tensors: Sequence[Tensor]) -> Tensor:
    """The weighted sum of equally shaped tensors, as many as there are weights."""
    return torch.stack([w * x for w, x in zip(weights, tensors, strict=True)]).sum(0)


def in_sigma_space(
    algorithm: Callable[Concatenate[Denoised, Tensor, Levels, P], Tensor],
) -> Callable[Concatenate[Denoise, Tensor, Levels, P], Tensor]:
    """Make a solver of z out of an algorithm written, as in k-diffusion, for x = z / √ᾱ = z0 + sigma·eps.

    The algorithm gets finite sigmas: zero terminal SNR starts at SIGMA_LIMIT.
    """

    @wraps(algorithm)
    def solver(denoise: Denoise, z: Tensor, levels: Levels, /, *args: P.args, **kwargs: P.kwargs) -> Tensor:
        levels = levels.finite()
        estimate = estimator(denoise, levels.schedule)

        def denoised(x: Tensor, level: Level) -> Tensor:
            return estimate(x * level.signal, level).z0

        x = algorithm(denoised, z / levels.start.signal, levels, *args, **kwargs)
        return x * levels.end.signal

    return solver
