"""DPM-Solver++ (Lu et al. 2022b) and its stochastic forms, as k-diffusion has them.

Along the flow x − z0 shrinks as sigma does, if only z0 stays the same: `advance` is that step. The methods differ in
the estimate of z0 that stands for a whole step: that of its middle, in lambda = −log sigma, makes them second-order.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from core.diffusion.levels import Levels, Turns
from core.diffusion.solvers.karras import ancestral
from core.diffusion.solvers.model import Denoise, Denoised, Draw, in_sigma_space


def advance(x: Tensor, z0: Tensor, sigma: float, sigma_next: float) -> Tensor:
    """The flow from sigma to sigma_next under a constant estimate z0: DDIM's step. x, z0: (b, …)."""
    ratio = sigma_next / sigma
    return ratio * x + (1 - ratio) * z0


@in_sigma_space
def dpmpp_2s_ancestral(
    model: Denoised,
    x: Tensor,
    levels: Levels,
    *,
    eta: float = 1.0,
    draw: Draw = torch.randn_like,
    turns: Turns = range,
) -> Tensor:
    """DPM-Solver++(2S), a midpoint method in lambda, with ancestral noise; k-diffusion, sample_dpmpp_2s_ancestral. x: (b, …)."""
    for now, then in levels.walk(turns):
        down, up = ancestral(now.sigma, then.sigma, eta)
        z0 = model(x, now)
        if down > 0:
            middle = levels.level_at(math.sqrt(now.sigma * down))
            z0 = model(advance(x, z0, now.sigma, middle.sigma), middle)
        x = advance(x, z0, now.sigma, down)
        if up > 0:
            x = x + up * draw(x)
    return x


@in_sigma_space
def dpmpp_sde(
    model: Denoised,
    x: Tensor,
    levels: Levels,
    *,
    eta: float = 1.0,
    draw: Draw = torch.randn_like,
    turns: Turns = range,
) -> Tensor:
    """DPM-Solver++ as a midpoint method for the reverse SDE; k-diffusion, sample_dpmpp_sde with r = 1/2.

    x: (b, …). The noise of a whole step contains that of its first half: both are increments of one Brownian motion in sigma.
    """
    for now, then in levels.walk(turns):
        z0 = model(x, now)
        if then.sigma == 0:
            return z0
        middle = levels.level_at(math.sqrt(now.sigma * then.sigma))
        noise = draw(x) if eta > 0 else torch.zeros_like(x)
        down, up = ancestral(now.sigma, middle.sigma, eta)
        z0 = model(advance(x, z0, now.sigma, down) + up * noise, middle)
        if eta > 0:
            first = (now.sigma - middle.sigma) / (now.sigma - then.sigma)
            noise = math.sqrt(first) * noise + math.sqrt(1 - first) * draw(x)
        down, up = ancestral(now.sigma, then.sigma, eta)
        x = advance(x, z0, now.sigma, down) + up * noise
    return x


@in_sigma_space
def dpmpp_2m_sde(
    model: Denoised,
    x: Tensor,
    levels: Levels,
    *,
    eta: float = 1.0,
    draw: Draw = torch.randn_like,
    turns: Turns = range,
) -> Tensor:
    """DPM-Solver++(2M) for the reverse SDE, midpoint form; k-diffusion, sample_dpmpp_2m_sde.

    x: (b, …). The last two estimates of z0 are extrapolated to the middle of the step.
    """
    z0_last, h_last = None, 0.0
    for now, then in levels.walk(turns):
        z0 = middle = model(x, now)
        if then.sigma == 0:
            return z0
        h = math.log(now.sigma / then.sigma)
        if z0_last is not None:
            middle = z0 + h / h_last / 2 * (z0 - z0_last)
        z0_last, h_last = z0, h
        shrink = math.exp(-eta * h) * then.sigma / now.sigma
        x = shrink * x + (1 - math.exp(-(1 + eta) * h)) * middle
        if eta > 0:
            x = x + then.sigma * math.sqrt(1 - math.exp(-2 * eta * h)) * draw(x)
    return x


def dpmpp_2m(denoise: Denoise, z: Tensor, levels: Levels, *, turns: Turns = range) -> Tensor:
    """DPM-Solver++(2M) (Lu et al. 2022b, algorithm 2); k-diffusion, sample_dpmpp_2m: `dpmpp_2m_sde` without noise.

    z: (b, …).
    """
    return dpmpp_2m_sde(denoise, z, levels, eta=0.0, turns=turns)
