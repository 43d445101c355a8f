"""Few-step sampling of distilled models: latent consistency (Luo et al. 2023), trajectory consistency (Zheng et al. 2024)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from core.diffusion.levels import Levels, Turns
from core.diffusion.schedule import with_betas
from core.diffusion.solvers.model import Denoise, Draw, estimator


def lcm(
    denoise: Denoise,
    z: Tensor,
    levels: Levels,
    *,
    draw: Draw = torch.randn_like,
    turns: Turns = range,
    sigma_data: float = 0.5,
    timestep_scaling: float = 10.0,
) -> Tensor:
    """Multistep consistency sampling (Luo et al. 2023, algorithm 3): jump to z0, add noise again; as in diffusers.

    z: (b, …). For networks distilled into consistency models. The consistency function is skip·z + out·z0, which is z at t = 0;
    sigma_data and timestep_scaling are those of the distillation.
    """
    estimate = estimator(denoise, levels.process, levels.limit)
    for now, then in levels.walk(turns):
        distance = timestep_scaling * now.t
        skip = sigma_data**2 / (distance**2 + sigma_data**2)
        out = distance / math.hypot(distance, sigma_data)
        z0 = out * estimate(z, now).z0 + skip * z
        z = then.signal * z0 + then.noise * draw(z) if then.noise > 0 else z0
    return z


def tcd(
    denoise: Denoise,
    z: Tensor,
    levels: Levels,
    *,
    eta: float = 0.3,
    draw: Draw = torch.randn_like,
    turns: Turns = range,
) -> Tensor:
    """Strategic stochastic sampling (Zheng et al. 2024, TCD, algorithm 4); as in diffusers.

    z: (b, …). Each step jumps to the timestep ⌊(1 − eta) · t⌋ of its end t, and noise brings it up again; eta 0 adds none. Nothing
    is added where it ends at timestep 0, or without noise.
    """
    estimate = estimator(denoise, levels.process, levels.limit)
    schedule = with_betas(levels.process, "the solver 'tcd'")
    for now, then in levels.walk(turns):
        z0, eps = estimate(z, now)
        below = schedule.level(math.floor((1 - eta) * then.t)) if eta > 0 else then
        if below.sigma >= then.sigma:  # where the walk ends, so that a part of it ends as noisy as the next one begins
            below = then
        z = below.signal * z0 + below.noise * eps
        if below.sigma < then.sigma:
            kept = then.signal / below.signal
            z = kept * z + math.sqrt(1 - kept**2) * draw(z)
    return z
