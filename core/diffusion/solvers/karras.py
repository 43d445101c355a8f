"""Solvers of the probability-flow ODE as k-diffusion has them.

It is dx/dsigma = eps = (x − z0) / sigma in Karras et al. 2022's variables, and dz/du = eps − z0 = (z − z0) / u in rectified flow's:
the same algorithms with the level's noise at that scale (`in_straight_space`). What adds noise is written in sigma.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from core.diffusion.levels import Levels, Turns
from core.diffusion.solvers.churn import NO_CHURN, Churn
from core.diffusion.solvers.model import Denoised, Draw, combine, in_sigma_space, in_straight_space


def ancestral(sigma: float, sigma_next: float, eta: float = 1.0) -> tuple[float, float]:
    """(down, up): step to `down` deterministically, then add noise of deviation `up`, to arrive at sigma_next's level.

    k-diffusion, get_ancestral_step; eta 1 is DDPM's amount of noise, 0 none.
    """
    up = min(sigma_next, eta * sigma_next * math.sqrt(1 - (sigma_next / sigma) ** 2))
    return math.sqrt(sigma_next**2 - up**2), up


@in_straight_space
def euler(
    model: Denoised,
    x: Tensor,
    levels: Levels,
    *,
    churn: Churn = NO_CHURN,
    draw: Draw = torch.randn_like,
    turns: Turns = range,
) -> Tensor:
    """Euler's method (Karras et al. 2022, algorithms 1 and 2 without their correction): DDIM on the same levels. x: (b, …)."""
    for now, then in levels.walk(turns):
        x, now = churn(x, now, levels, draw)
        eps = (x - model(x, now)) / now.noise
        x = x + (then.noise - now.noise) * eps
    return x


@in_sigma_space
def euler_ancestral(
    model: Denoised,
    x: Tensor,
    levels: Levels,
    *,
    eta: float = 1.0,
    draw: Draw = torch.randn_like,
    turns: Turns = range,
) -> Tensor:
    """Euler's method with noise added at each step; k-diffusion, sample_euler_ancestral. x: (b, …)."""
    for now, then in levels.walk(turns):
        down, up = ancestral(now.sigma, then.sigma, eta)
        eps = (x - model(x, now)) / now.sigma
        x = x + (down - now.sigma) * eps
        if up > 0:
            x = x + up * draw(x)
    return x


@in_straight_space
def heun(
    model: Denoised,
    x: Tensor,
    levels: Levels,
    *,
    churn: Churn = NO_CHURN,
    draw: Draw = torch.randn_like,
    turns: Turns = range,
) -> Tensor:
    """Heun's method (Karras et al. 2022, algorithms 1 and 2): the mean of the slopes at both ends of a step. x: (b, …)."""
    for now, then in levels.walk(turns):
        x, now = churn(x, now, levels, draw)
        slope = (x - model(x, now)) / now.noise
        step = then.noise - now.noise
        if then.noise > 0:
            ahead = x + step * slope
            slope = (slope + (ahead - model(ahead, then)) / then.noise) / 2
        x = x + step * slope
    return x


@in_straight_space
def dpm2(
    model: Denoised,
    x: Tensor,
    levels: Levels,
    *,
    churn: Churn = NO_CHURN,
    draw: Draw = torch.randn_like,
    turns: Turns = range,
) -> Tensor:
    """The midpoint method with its midpoint in the log of the noise (DPM-Solver-2, Lu et al. 2022a); k-diffusion, sample_dpm_2.

    x: (b, …).
    """
    for now, then in levels.walk(turns):
        x, now = churn(x, now, levels, draw)
        slope = (x - model(x, now)) / now.noise
        if then.noise > 0:
            middle = levels.level_of(math.sqrt(now.noise * then.noise))
            halfway = x + (middle.noise - now.noise) * slope
            slope = (halfway - model(halfway, middle)) / middle.noise
        x = x + (then.noise - now.noise) * slope
    return x


@in_sigma_space
def dpm2_ancestral(
    model: Denoised,
    x: Tensor,
    levels: Levels,
    *,
    eta: float = 1.0,
    draw: Draw = torch.randn_like,
    turns: Turns = range,
) -> Tensor:
    """`dpm2` to less noise than the next level's, and noise added to arrive there; k-diffusion, sample_dpm_2_ancestral. x: (b, …)."""
    for now, then in levels.walk(turns):
        down, up = ancestral(now.sigma, then.sigma, eta)
        slope = (x - model(x, now)) / now.sigma
        if down > 0:
            middle = levels.level_at(math.sqrt(now.sigma * down))
            halfway = x + (middle.sigma - now.sigma) * slope
            slope = (halfway - model(halfway, middle)) / middle.sigma
        x = x + (down - now.sigma) * slope
        if up > 0:
            x = x + up * draw(x)
    return x


@in_straight_space
def lms(model: Denoised, x: Tensor, levels: Levels, *, order: int = 4, turns: Turns = range) -> Tensor:
    """Linear multi-step: Adams-Bashforth on uneven steps; k-diffusion, sample_lms. x: (b, …)."""
    past: list[tuple[float, Tensor]] = []  # (noise, slope), newest first
    for now, then in levels.walk(turns):
        past = [(now.noise, (x - model(x, now)) / now.noise), *past[: order - 1]]
        weights = adams_bashforth([noise for noise, _ in past], then.noise)
        x = x + combine(weights, [slope for _, slope in past])
    return x


def adams_bashforth(nodes: list[float], end: float) -> list[float]:
    """Weights of the slopes at `nodes` in the integral from nodes[0] to end of the polynomial through them."""
    reach = end - nodes[0]
    positions = (np.asarray(nodes) - nodes[0]) / reach
    moments = 1 / np.arange(1, len(nodes) + 1)  # of 1, p, p², … over the step, which the weights must give exactly
    weights: list[float] = (reach * np.linalg.solve(np.vander(positions, increasing=True).T, moments)).tolist()
    return weights
