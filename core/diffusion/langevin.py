"""Annealed Langevin dynamics with the score of a diffusion model (Song & Ermon 2019; Song et al. 2021)."""

from __future__ import annotations

import math

from torch import Tensor

from core.diffusion.schedule import NoiseSchedule, Timestep


def score(prediction: Tensor, z: Tensor, t: Timestep, schedule: NoiseSchedule) -> Tensor:
    """∇_z log q(z_t) = −eps / √(1 − ᾱ_t) (Ho et al. 2020, section 3.2). prediction, z: (b, …)."""
    _, noise = schedule.rates(t, like=z)
    return (-schedule.to_eps(prediction, z, t) / noise).to(z.dtype)


def step_size(t: float, schedule: NoiseSchedule, ratio: float = 0.2) -> float:
    """The step at level t: `ratio` times the variance 1 − ᾱ_t of its noise.

    So score and added noise balance alike at every level (Song & Ermon 2019, section 4.3 and algorithm 1; their settings
    are a ratio of 0.2). Above about 1 the chain's own error shows; above 4 it diverges.
    """
    return ratio * schedule.level(t).noise ** 2


def langevin_step(z: Tensor, score: Tensor, step: float, noise: Tensor) -> Tensor:
    """One step of Langevin dynamics towards the density that has this score: z + step/2·score + √step·noise.

    z, score, noise: (b, …); noise is standard normal. Song & Ermon 2019, eq. 4.
    """
    return z + step / 2 * score + math.sqrt(step) * noise
