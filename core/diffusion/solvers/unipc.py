"""UniPC: a polynomial in lambda = −log sigma predicts a step and, one step later, corrects it (Zhao et al. 2023)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from core.diffusion.levels import Levels, Turns
from core.diffusion.solvers.dpmpp import advance
from core.diffusion.solvers.model import Denoised, combine, in_sigma_space

Estimates = list[tuple[float, Tensor]]
"""(sigma, z0) of past evaluations, newest first."""


@in_sigma_space
def unipc(model: Denoised, x: Tensor, levels: Levels, *, order: int = 2, turns: Turns = range) -> Tensor:
    """UniPC-p with B(h) = e^(−h) − 1 ("bh2"), predicting z0 (Zhao et al. 2023); as in diffusers.

    x: (b, …). order: p, 2 for guided and 3 for unguided sampling (the paper's advice); lower in the first and last steps. The
    corrector costs no evaluation: it reuses the one that the next step begins with.
    """
    past: Estimates = []
    before = x
    used = 0
    for i, (now, then) in enumerate(levels.walk(turns)):
        z0 = model(x, now)
        if past:
            x = correct(before, past[:used], now.sigma, z0)
        past = [(now.sigma, z0), *past[: order - 1]]
        if then.sigma == 0:
            return z0
        used = min(len(past), len(levels) - i)
        before = x
        x = predict(x, past[:used], then.sigma)
    return x


def predict(x: Tensor, past: Estimates, sigma: float) -> Tensor:
    """UniP: from past[0]'s sigma to the given one by the polynomial through `past`. x: (b, …)."""
    positions, slopes = differences(past, sigma)
    if len(slopes) == 0:
        weights: list[float] = []
    elif len(slopes) == 1:
        weights = [0.5]  # the paper's simplification, exact to this order
    else:
        matrix, moments = conditions([*positions, 1.0], math.log(past[0][0] / sigma))
        weights = np.linalg.solve(matrix[:-1, :-1], moments[:-1]).tolist()
    return step(x, past, sigma, weights, slopes)


def correct(x: Tensor, past: Estimates, sigma: float, z0: Tensor) -> Tensor:
    """UniC: the same step again, from x, with the estimate z0 at its end besides. x, z0: (b, …)."""
    positions, slopes = differences(past, sigma)
    weights = [0.5]
    if slopes:
        weights = np.linalg.solve(*conditions([*positions, 1.0], math.log(past[0][0] / sigma))).tolist()
    return step(x, past, sigma, weights, [*slopes, z0 - past[0][1]])


def step(x: Tensor, past: Estimates, sigma: float, weights: list[float], slopes: list[Tensor]) -> Tensor:
    """DDIM's step, plus the part of the integral that comes from z0's change. x, slopes: (b, …)."""
    sigma_now, z0 = past[0]
    x = advance(x, z0, sigma_now, sigma)
    return x + (1 - sigma / sigma_now) * combine(weights, slopes) if slopes else x


def differences(past: Estimates, sigma: float) -> tuple[list[float], list[Tensor]]:
    """Where the older estimates lie, in steps (of lambda) from the newest, and how fast z0, (b, …), changed since them."""
    sigma_now, z0 = past[0]
    h = math.log(sigma_now / sigma)
    positions = [math.log(sigma_now / s) / h for s, _ in past[1:]]
    return positions, [(z - z0) / r for r, (_, z) in zip(positions, past[1:], strict=True)]


def conditions(positions: list[float], h: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The linear system of the order conditions: powers of the positions, and moments of the exponential."""
    n = len(positions)
    phi = math.expm1(-h) / -h - 1
    moments = []
    for k in range(1, n + 1):
        moments.append(phi * math.factorial(k) / math.expm1(-h))
        phi = phi / -h - 1 / math.factorial(k + 1)
    return np.vander(np.asarray(positions), n, increasing=True).T, np.asarray(moments)
