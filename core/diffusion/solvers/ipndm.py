"""Improved pseudo linear multi-step (Zhang & Chen 2023, section 3.3, of Liu et al. 2022's PNDM)."""

from __future__ import annotations

from torch import Tensor

from core.diffusion.levels import Levels, Turns
from core.diffusion.solvers.ldm import ADAMS_BASHFORTH
from core.diffusion.solvers.model import Denoised, combine, in_straight_space


@in_straight_space
def ipndm(model: Denoised, x: Tensor, levels: Levels, *, turns: Turns = range) -> Tensor:
    """`plms` without its second evaluation at the first step; diffusers, IPNDMScheduler, and ComfyUI, sample_ipndm.

    x: (b, …). The weights of the last four slopes are Adams-Bashforth's for even steps, whatever the steps (`lms` has them for
    uneven ones). A step to no noise at all is of first order.
    """
    past: list[Tensor] = []  # slopes, newest first
    for now, then in levels.walk(turns):
        z0 = model(x, now)
        if then.noise == 0:
            return z0
        past = [(x - z0) / now.noise, *past[:3]]
        x = x + (then.noise - now.noise) * combine(ADAMS_BASHFORTH[len(past) - 1], past)
    return x
