"""DPM-Solver and DPM-Solver++ of any order up to three, and DEIS: integrators whose past estimates make a polynomial.

DPM-Solver's polynomial is in λ = −log σ, of z0 (++) or of eps (Lu et al. 2022a, b); DEIS' is of eps in log σ under the integral
over σ (Zhang & Chen 2023). The forms are diffusers', whose schedulers are the oracles, and for three steps with noise k-diffusion's.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from core.diffusion.levels import Levels, Turns
from core.diffusion.solvers.dpmpp import advance
from core.diffusion.solvers.model import Denoise, Denoised, Draw, combine, in_sigma_space

FEW = 15
"""Below this number of steps the last ones are of lower order, where that is asked for (Lu et al. 2022b, section 5)."""


@in_sigma_space
def dpm_multistep(
    model: Denoised,
    x: Tensor,
    levels: Levels,
    *,
    order: int = 2,
    predicts: Literal["z0", "eps"] = "z0",
    slopes: Literal["midpoint", "heun"] = "midpoint",
    lower_final: bool = True,
    euler_final: bool = False,
    eta: float = 0.0,
    draw: Draw = torch.randn_like,
    turns: Turns = range,
) -> Tensor:
    """DPM-Solver (eps) or DPM-Solver++ (z0), multi-step (Lu et al. 2022a, b); diffusers, DPMSolverMultistepScheduler.

    x: (b, …). order: 1 to 3; slopes: of the second order, the third is "heun". lower_final: lower orders in the last of few
    steps; euler_final: the first in the very last. eta: 1 for the reverse SDE, with z0. To no noise at all a step is of first order.
    """
    past: list[tuple[float, Tensor]] = []  # (lambda, estimate), newest first
    for i, (now, then) in enumerate(levels.walk(turns)):
        z0 = model(x, now)
        if then.sigma == 0:
            return z0
        past = [(-math.log(now.sigma), z0 if predicts == "z0" else (x - z0) / now.sigma), *past[: order - 1]]
        left = len(levels) - i  # steps, this one among them
        most = min(order, left) if lower_final and len(levels) < FEW and left < 3 else order
        used = past[: 1 if euler_final and left == 1 else most]
        h = math.log(now.sigma / then.sigma)
        if predicts == "z0":
            change = combine(*_weighted(used, h, 1 + eta, slopes))
            x = math.exp(-eta * h) * then.sigma / now.sigma * x + change
        else:
            x = x - then.sigma * combine(*_weighted(used, h, -1.0, slopes))
        if eta > 0:
            x = x + then.sigma * math.sqrt(1 - math.exp(-2 * eta * h)) * draw(x)
    return x


def _weighted(past: list[tuple[float, Tensor]], h: float, c: float, slopes: str) -> tuple[list[float], list[Tensor]]:
    """The integral of the polynomial through `past` over the step h, as weights and what they weigh.

    c: 1 for z0, 2 with the SDE's noise; −1 for eps, whose exponential grows.
    """
    whole = abs(math.expm1(-c * h))
    newest = past[0][1]
    if len(past) == 1:
        return [whole], [newest]
    first, second = _differences(past, h)
    bent = abs(math.expm1(-c * h) / (c * h) + 1)  # of the slope
    if second is None:
        return [whole, whole / 2 if slopes == "midpoint" else bent], [newest, first]
    return [whole, bent, (bent / abs(c * h) - 0.5) * (1 if c < 0 else -1)], [newest, first, second]


def _differences(past: list[tuple[float, Tensor]], h: float) -> tuple[Tensor, Tensor | None]:
    """The first divided difference at the newest estimate, in steps h, and the second one where three are known."""
    (at, newest), (before, older), *rest = past
    r0 = (at - before) / h
    slope = (newest - older) / r0
    if not rest:
        return slope, None
    r1 = (before - rest[0][0]) / h
    bend = (slope - (older - rest[0][1]) / r1) / (r0 + r1)
    return slope + r0 * bend, bend


def dpmpp_3m(denoise: Denoise, z: Tensor, levels: Levels, *, turns: Turns = range) -> Tensor:
    """DPM-Solver++(3M) (Lu et al. 2022b); diffusers, of order 3. z: (b, …)."""
    return dpm_multistep(denoise, z, levels, order=3, slopes="heun", turns=turns)


def dpmpp_3m_sde(
    denoise: Denoise,
    z: Tensor,
    levels: Levels,
    *,
    eta: float = 1.0,
    draw: Draw = torch.randn_like,
    turns: Turns = range,
) -> Tensor:
    """DPM-Solver++(3M) for the reverse SDE; k-diffusion, sample_dpmpp_3m_sde. z: (b, …)."""
    return dpm_multistep(denoise, z, levels, order=3, slopes="heun", lower_final=False, eta=eta, draw=draw, turns=turns)


@in_sigma_space
def dpmpp_2s(
    model: Denoised,
    x: Tensor,
    levels: Levels,
    *,
    slopes: Literal["midpoint", "heun"] = "midpoint",
    turns: Turns = range,
) -> Tensor:
    """DPM-Solver++(2S), single-step over pairs of levels (Lu et al. 2022b); diffusers, DPMSolverSinglestepScheduler.

    x: (b, …). The second of a pair goes again from the first's start, with its estimate as the slope. A last step to no noise is of
    first order, and so is the one before it where the number of steps is even.
    """
    steps = len(levels)
    start, past = x, (0.0, x)
    for i, (now, then) in enumerate(levels.walk(turns)):
        z0 = model(x, now)
        at = -math.log(now.sigma)
        second = i % 2 == 1 and i < steps - 1
        if then.sigma == 0:
            return z0
        if not second:
            start, past = x, (at, z0)
            x = advance(x, z0, now.sigma, then.sigma)
            continue
        h = -math.log(then.sigma) - past[0]
        slope = (z0 - past[1]) / ((at - past[0]) / h)
        whole = -math.expm1(-h)
        x = math.exp(-h) * start + whole * past[1] + (whole / 2 if slopes == "midpoint" else 1 - whole / h) * slope
    return x


@in_sigma_space
def deis(
    model: Denoised, x: Tensor, levels: Levels, *, order: int = 2, lower_final: bool = True, turns: Turns = range
) -> Tensor:
    """DEIS in log rho, "tAB-DEIS" (Zhang & Chen 2023, eq. 15); diffusers, DEISMultistepScheduler. x: (b, …)."""
    past: list[tuple[float, Tensor]] = []  # (sigma, eps), newest first
    for i, (now, then) in enumerate(levels.walk(turns)):
        z0 = model(x, now)
        if then.sigma == 0:
            return z0
        past = [(now.sigma, (x - z0) / now.sigma), *past[: order - 1]]
        left = len(levels) - i
        used = past[: left if lower_final and len(levels) < FEW else order]
        x = x + combine(_log_rho_weights([sigma for sigma, _ in used], then.sigma), [eps for _, eps in used])
    return x


def _log_rho_weights(nodes: list[float], end: float) -> list[float]:
    """Weights of the values at sigmas `nodes` in the integral over sigma, from nodes[0] to end, of their polynomial in log sigma."""
    reach = math.log(end / nodes[0])
    moment = math.expm1(reach)
    moments = [moment]  # ∫ w^k e^w dw from 0 to reach, w = log(sigma / nodes[0])
    for k in range(1, len(nodes)):
        moment = reach**k * math.exp(reach) - k * moment
        moments.append(moment)
    positions = np.log(np.asarray(nodes) / nodes[0])
    weights = np.linalg.solve(np.vander(positions, increasing=True).T, np.asarray(moments))
    return [nodes[0] * float(weight) for weight in weights]
