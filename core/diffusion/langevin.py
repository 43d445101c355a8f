"""Annealed Langevin dynamics with the score of a diffusion model (Song & Ermon 2019; Song et al. 2021)."""

from __future__ import annotations

import math

from torch import Tensor

from core.diffusion.process import Process, Timestep


def score(prediction: Tensor, z: Tensor, t: Timestep, process: Process) -> Tensor:
    """∇_z log q(z_t) = −eps / noise, noise = √(1 − ᾱ_t) in Ho et al. 2020, section 3.2. prediction, z: (b, …)."""
    _, noise = process.rates(t, like=z)
    return (-process.to_eps(prediction, z, t) / noise).to(z.dtype)


def step_size(t: Timestep, process: Process, ratio: float = 0.2) -> float | Tensor:
    """The step at level t, a number, or a (1,) tensor where t is one, of a device that nobody should wait for: `ratio` times the variance of its noise (1 − ᾱ_t in a schedule of betas).

    So score and added noise balance alike at every level (Song & Ermon 2019, section 4.3 and algorithm 1; their settings
    are a ratio of 0.2). Above about 1 the chain's own error shows; above 4 it diverges.
    """
    noise = process.rates(t, like=t)[1] if isinstance(t, Tensor) else process.level(t).noise
    return ratio * noise**2


def langevin_step(z: Tensor, score: Tensor, step: float | Tensor, noise: Tensor) -> Tensor:
    """One step of Langevin dynamics towards the density that has this score: z + step/2·score + √step·noise.

    z, score, noise: (b, …); noise is standard normal. Song & Ermon 2019, eq. 4.
    """
    spread = step.sqrt() if isinstance(step, Tensor) else math.sqrt(step)
    return (z + step / 2 * score + spread * noise).to(z.dtype)
