"""The solvers of the latent diffusion paper and its repository: DDPM, DDIM (and its inversion), PLMS.

They are written for a variance-preserving z = signal·z0 + noise·eps, as the repository's are (`in_vp_space`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from core.diffusion.levels import Levels, Turns
from core.diffusion.process import Level
from core.diffusion.solvers.model import Denoise, Draw, Estimated, combine, estimator, in_vp_space


@in_vp_space
def ddpm(
    estimate: Estimated, z: Tensor, levels: Levels, *, draw: Draw = torch.randn_like, turns: Turns = range
) -> Tensor:
    """Ancestral sampling from the posterior q(z_then | z_now, z0) (Ho et al. 2020, algorithm 2), variance β̃.

    z: (b, …) at levels.start. Returns the latent at levels.end. Predictions are not clipped, as in latent-diffusion.
    """
    for now, then in levels.walk(turns):
        z0, _ = estimate(z, now)
        alpha = (now.signal / then.signal) ** 2
        towards_z0 = then.signal * (1 - alpha) / now.noise**2
        staying = math.sqrt(alpha) * (then.noise / now.noise) ** 2
        z = towards_z0 * z0 + staying * z
        if then.noise > 0:
            z = z + math.sqrt(1 - alpha) * then.noise / now.noise * draw(z)
    return z


@in_vp_space
def ddim(
    estimate: Estimated,
    z: Tensor,
    levels: Levels,
    *,
    eta: float = 0.0,
    draw: Draw = torch.randn_like,
    turns: Turns = range,
) -> Tensor:
    """Denoising diffusion implicit models (Song et al. 2021, eq. 12); latent-diffusion, models/diffusion/ddim.py.

    z: (b, …) at levels.start. Returns the latent at levels.end.
    eta: 0 is deterministic, 1 has DDPM's variance (eq. 16).
    """
    for now, then in levels.walk(turns):
        z0, eps = estimate(z, now)
        spread = eta * then.noise / now.noise * math.sqrt(1 - (now.signal / then.signal) ** 2)
        z = then.signal * z0 + math.sqrt(max(then.noise**2 - spread**2, 0)) * eps
        if spread > 0:
            z = z + spread * draw(z)
    return z


def ddim_inversion(denoise: Denoise, z: Tensor, levels: Levels, *, turns: Turns = range) -> Tensor:
    """DDIM run backwards, from a clean latent to the noise that DDIM would start from (Song et al. 2021, section 4.3).

    z: (b, …), a clean latent, at levels.end. Returns the latent at levels.start. Each step asks the denoiser at the
    timestep it goes to, as null-text inversion and diffusers do, so that DDIM on the same levels asks at the same ones.
    """
    estimate = estimator(denoise, levels.process, levels.limit)
    if levels.end.noise == 0:
        z = z * levels.end.signal
    for now, then in levels.climb(turns):
        known = now if levels.process.predicts.determinant(now.signal, now.noise) else then  # x0 alone says no eps
        z0, eps = estimate(z, known._replace(t=then.t))
        z = then.signal * z0 + then.noise * eps
    return z


@in_vp_space
def plms(estimate: Estimated, z: Tensor, levels: Levels, *, turns: Turns = range) -> Tensor:
    """Pseudo linear multi-step (Liu et al. 2022, PNDM); latent-diffusion, models/diffusion/plms.py.

    Adams-Bashforth combinations of the last four eps drive DDIM steps; the first step is a pseudo improved Euler step,
    with two evaluations. z: (b, …) at levels.start. Returns the latent at levels.end.
    """
    levels = levels.finite()

    def transfer(z: Tensor, eps: Tensor, now: Level, then: Level) -> Tensor:
        return then.signal * (z - now.noise * eps) / now.signal + then.noise * eps

    past: list[Tensor] = []  # the last eps, newest first
    for now, then in levels.walk(turns):
        past = [estimate(z, now).eps, *past[:3]]
        if len(past) == 1 and then.noise > 0:
            ahead = estimate(transfer(z, past[0], now, then), then).eps
            eps = (past[0] + ahead) / 2
        else:
            eps = combine(ADAMS_BASHFORTH[len(past) - 1], past)
        z = transfer(z, eps, now, then)
    return z


ADAMS_BASHFORTH = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)
