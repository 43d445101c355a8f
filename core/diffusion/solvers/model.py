"""What every solver calls: the denoiser seen as an estimate of z0 and eps, at the scale of z that the solver is written for.

A level is as noisy at any scale. LDM's solvers are written for a variance-preserving z, k-diffusion's for x = z0 + sigma · eps,
and Euler, Heun and the like for where the process' own paths are straight. The decorators here bring any process to them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec

import torch
from torch import Tensor

from core.diffusion.levels import Levels
from core.diffusion.parametrisation import Estimate
from core.diffusion.process import EXPLODING, PRESERVING, Coordinates, Level, Process

Denoise = Callable[[Tensor, Tensor], Tensor]
"""(z, t) -> prediction. z (b, …) is scaled as the process has it; t is (b,) float, in timesteps, fractional for some solvers;
the prediction is in the process' parametrisation. Guidance, conditions and the network are inside."""

Draw = Callable[[Tensor], Tensor]
"""Standard normal noise of its argument's shape, dtype and device: torch.randn_like, or a seeded source."""

Estimated = Callable[[Tensor, Level], Estimate]
"""(x, level) -> the estimates of z0 and eps."""

Denoised = Callable[[Tensor, Level], Tensor]
"""k-diffusion's model: (x, level) -> the estimate of z0."""

P = ParamSpec("P")
Solver = Callable[Concatenate[Denoise, Tensor, Levels, P], Tensor]


def estimator(denoise: Denoise, process: Process, limit: Callable[[Tensor], Tensor] | None = None) -> Estimated:
    """The denoiser as (z, level) -> (z0, eps): asked at level.t, read at level's signal and noise; limit: see `Levels`."""

    def estimate(z: Tensor, level: Level) -> Estimate:
        t = torch.full((z.shape[0],), level.t, dtype=torch.promote_types(z.dtype, torch.float32), device=z.device)
        estimate = process.estimate(denoise(z, t), z, level.signal, level.noise)
        return estimate if limit is None else estimate._replace(z0=limit(estimate.z0))

    return estimate


def combine(weights: Sequence[float], tensors: Sequence[Tensor]) -> Tensor:
    """The weighted sum of tensors of one shape, (b, …), as many as there are weights."""
    return torch.stack([w * x for w, x in zip(weights, tensors, strict=True)]).sum(0)


def in_vp_space(algorithm: Callable[Concatenate[Estimated, Tensor, Levels, P], Tensor]) -> Solver[P]:
    """Make a solver of an algorithm written, as in latent-diffusion, for signal² + noise² = 1. z: (b, …)."""

    @wraps(algorithm)
    def solver(denoise: Denoise, z: Tensor, levels: Levels, /, *args: P.args, **kwargs: P.kwargs) -> Tensor:
        return _solve(algorithm, PRESERVING, denoise, z, levels, *args, **kwargs)

    return solver


def in_sigma_space(algorithm: Callable[Concatenate[Denoised, Tensor, Levels, P], Tensor]) -> Solver[P]:
    """Make a solver of an algorithm written, as in k-diffusion, for x = z / signal = z0 + sigma · eps.

    x: (b, …). The algorithm gets finite sigmas: pure noise starts at SIGMA_LIMIT.
    """

    @wraps(algorithm)
    def solver(denoise: Denoise, z: Tensor, levels: Levels, /, *args: P.args, **kwargs: P.kwargs) -> Tensor:
        return _solve(_of_z0(algorithm), EXPLODING, denoise, z, levels.finite(), *args, **kwargs)

    return solver


def in_straight_space(algorithm: Callable[Concatenate[Denoised, Tensor, Levels, P], Tensor]) -> Solver[P]:
    """Make a solver of an algorithm for dx/dn = (x − z0) / n, n being the level's noise in the process' straight coordinates.

    x: (b, …). In x = z0 + sigma · eps that is dx/dsigma = eps (Karras et al. 2022), in rectified flow's own dz/du = eps − z0.
    """

    @wraps(algorithm)
    def solver(denoise: Denoise, z: Tensor, levels: Levels, /, *args: P.args, **kwargs: P.kwargs) -> Tensor:
        coordinates = levels.process.straight
        levels = levels.finite() if coordinates is EXPLODING else levels
        return _solve(_of_z0(algorithm), coordinates, denoise, z, levels, *args, **kwargs)

    return solver


def _of_z0(algorithm: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def of_estimates(model: Estimated, *args: Any, **kwargs: Any) -> Tensor:
        return algorithm(lambda x, level: model(x, level).z0, *args, **kwargs)

    return of_estimates


def _solve(
    algorithm: Callable[..., Tensor],
    coordinates: Coordinates,
    denoise: Denoise,
    z: Tensor,
    levels: Levels,
    *args: Any,
    **kwargs: Any,
) -> Tensor:
    process = levels.process
    estimate = estimator(denoise, process, levels.limit)
    seen = levels.seen_in(coordinates)

    def model(x: Tensor, level: Level) -> Estimate:
        own = Level(level.t, *process.scale(level.sigma), level.sigma)
        return estimate(_times(x, _ratio(own, level)), own)

    x = algorithm(model, z / _ratio(levels.start, seen.start), seen, *args, **kwargs)
    # Without noise, the latent is z0 itself, whatever the scale.
    return x if levels.end.noise == 0 else _times(x, _ratio(levels.end, seen.end))


def _ratio(own: Level, seen: Level) -> float:
    """z / x at one level."""
    return own.signal / seen.signal if own.signal else own.noise / seen.noise


def _times(x: Tensor, ratio: float) -> Tensor:
    return x if ratio == 1 else x * ratio
