"""SA-Solver: Adams' methods for a reverse SDE whose noise may differ from timestep to timestep (Xue et al. 2023)."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from core.diffusion.levels import Levels, Turns
from core.diffusion.solvers.model import Denoised, Draw, combine, in_sigma_space

Estimates = list[tuple[float, Tensor]]
"""(lambda, estimate) of past evaluations, newest first."""


@in_sigma_space
def sa_solver(
    model: Denoised,
    x: Tensor,
    levels: Levels,
    *,
    predictor: int = 2,
    corrector: int = 2,
    predicts: Literal["z0", "eps"] = "z0",
    lower_final: bool = True,
    eta: float = 1.0,
    draw: Draw = torch.randn_like,
    turns: Turns = range,
) -> Tensor:
    """The predictor's step, and one step later the corrector's, which costs no evaluation; diffusers, SASolverScheduler.

    x: (b, …). predictor, corrector: orders, 1 to 4, lower in the first steps and with lower_final in the last. predicts: whose
    polynomial in lambda is integrated. eta: the paper's tau from timestep 200 to 800, elsewhere it is 0 (`NOISY`).
    A step to no noise at all is of first order.
    """
    past: Estimates = []
    before, added = x, torch.zeros_like(x)
    tau, order = 0.0, 1  # of the corrector of the step before
    for i, (now, then) in enumerate(levels.walk(turns)):
        z0 = model(x, now)
        past = [(-math.log(now.sigma), z0 if predicts == "z0" else (x - z0) / now.sigma), *past[:3]]
        if i:
            x = advance(before, past[:order], past[1][0], past[0][0], tau, predicts, added)
        if then.sigma == 0:
            return z0
        left = len(levels) - i
        tau = eta if NOISY[0] <= now.t <= NOISY[1] else 0.0
        added = draw(x) if eta > 0 else added
        before, order = x, min(corrector, i + 2, left + 1 if lower_final else corrector)
        used = past[: min(predictor, i + 1, left if lower_final else predictor)]
        x = advance(x, used, past[0][0], -math.log(then.sigma), tau, predicts, added)
    return x


NOISY = (200, 800)
"""The timesteps between which noise is added, as in diffusers, where nothing else is asked for."""


def advance(
    x: Tensor, used: Estimates, start: float, end: float, tau: float, predicts: Literal["z0", "eps"], noise: Tensor
) -> Tensor:
    """From lambda `start` to `end` under the polynomial through `used`, with the noise of the step. x, noise: (b, …)."""
    h, sigma, c = end - start, math.exp(-end), 1 + tau**2
    estimates = [estimate for _, estimate in used]
    places = [at - end for at, _ in used]
    if predicts == "eps":
        weights = [-c * sigma * weight for weight in integrals(places, h, -1.0)]
        spread = tau * sigma * math.sqrt(math.expm1(2 * h))
    else:
        weights = [c * weight for weight in integrals(places, h, c)]
        if len(used) == 2:  # the authors' own, of third order in h: better pictures in few steps
            more = c * (h**2 / 2 - (c * h + math.expm1(-c * h)) / c**2) / (places[0] - places[1])
            weights = [weights[0] + more, weights[1] - more]
        x, spread = math.exp(-c * h) * x, sigma * math.sqrt(-math.expm1(-2 * tau**2 * h))
    x = x + combine(weights, estimates)
    return x + spread * noise if spread > 0 else x


def integrals(places: list[float], h: float, a: float) -> list[float]:
    """Weights of the values at `places` in the integral of e^(a·u) times their polynomial over u from −h to 0."""
    moments = [-math.expm1(-a * h) / a]
    for k in range(1, len(places)):
        moments.append(-((-h) ** k * math.exp(-a * h) + k * moments[-1]) / a)
    weights: list[float] = np.linalg.solve(np.vander(places, increasing=True).T, np.asarray(moments)).tolist()
    return weights
