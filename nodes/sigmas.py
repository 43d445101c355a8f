"""Noise levels by hand: lists of sigmas for `sample`, made by a solver's spacing or between two ends, and cut and shifted.

A sigma is noise / signal by betas and in EDM, and u in a flow, as k-diffusion, diffusers and ComfyUI have it.
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

from core.diffusion import comfyui
from core.diffusion.levels import Levels
from core.diffusion.process import Spacing
from core.diffusion.sigmas import between
from core.diffusion.solvers import SOLVERS
from graph_runner.contract import node
from nodes.sampling import Solver
from nodes.wires import Schedule

Steps = Annotated[int, Field(ge=1, le=10_000)]
Sigma = Annotated[float, Field(ge=1e-6, le=100_000)]


class Halves(NamedTuple):
    """A list in two; the level between them is in both."""

    high: list[float]
    low: list[float]


@node(category="sampling", words=("sigmas", "scheduler", "basic scheduler", "timesteps"))
def solver_sigmas(
    schedule: Schedule, solver: Solver = "euler", steps: Steps = 50, spacing: Spacing | None = None
) -> list[float]:
    """The levels that a solver visits, as sigmas: to see them, to change them, to give them to another solver.

    schedule: the one the denoiser was trained with.
    solver: whose levels; it says where they end, and how they are spaced if nothing else does.
    steps: of the solver; there is one sigma more.
    spacing: which timesteps are visited; nothing for the default of the schedule's process, or of the solver.
    """
    return SOLVERS[solver].levels(schedule, steps, spacing).sigmas()


@node(category="sampling", words=("timesteps by hand", "custom timesteps", "sigmas"))
def timestep_sigmas(
    schedule: Schedule, timesteps: Annotated[list[float], Field(min_length=1)], ends_clean: bool = True
) -> list[float]:
    """The sigmas of timesteps by hand, noisiest first: diffusers' `timesteps`.

    schedule: the one the denoiser was trained with.
    timesteps: by betas from T − 1 to 0, of rectified flow from 1000 to 0.
    ends_clean: whether a last step leads to no noise; else the last timestep is where it ends.
    """
    levels = [schedule.level(t) for t in timesteps] + [schedule.level_at(0.0)] * ends_clean
    return Levels(schedule, tuple(levels)).sigmas()


@node(category="sampling", words=("karras scheduler", "sigmas", "rho"))
def karras_sigmas(
    steps: Steps = 20,
    sigma_max: Sigma = 14.614642,
    sigma_min: Sigma = 0.0291675,
    rho: Annotated[float, Field(ge=0.1, le=100)] = 7.0,
) -> list[float]:
    """Sigmas even in σ^(1/ρ) (Karras et al. 2022, eq. 5), and 0 after them.

    steps: of a solver; there is one sigma more.
    sigma_max: the first; Stable Diffusion's by default.
    sigma_min: the last before 0.
    rho: more for shorter steps where there is little noise.
    """
    return [*_falling(sigma_max, sigma_min, between("karras", sigma_max, sigma_min, steps, rho)), 0.0]


@node(category="sampling", words=("exponential scheduler", "polyexponential", "sigmas"))
def exponential_sigmas(
    steps: Steps = 20,
    sigma_max: Sigma = 14.614642,
    sigma_min: Sigma = 0.0291675,
    rho: Annotated[float, Field(ge=0.1, le=100)] = 1.0,
) -> list[float]:
    """Sigmas even in (log σ)^(1/ρ) between the ends, and 0 after them: k-diffusion's polyexponential, exponential at 1.

    steps: of a solver; there is one sigma more.
    sigma_max: the first; Stable Diffusion's by default.
    sigma_min: the last before 0.
    rho: 1 for even steps in log σ; more for shorter ones where there is little noise.
    """
    high, low = math.log(sigma_max), math.log(sigma_min)
    ramp = np.exp(np.linspace(1, 0, steps) ** rho * (high - low) + low)
    return [*_falling(sigma_max, sigma_min, ramp.tolist()), 0.0]


@node(category="sampling", words=("beta scheduler", "beta sampling", "sigmas"))
def beta_sigmas(
    schedule: Schedule,
    steps: Steps = 20,
    alpha: Annotated[float, Field(ge=0.01, le=100)] = 0.6,
    beta: Annotated[float, Field(ge=0.01, le=100)] = 0.6,
) -> list[float]:
    """Sigmas of the timesteps at the quantiles of a beta distribution (Lee et al. 2024), each once, and 0 after them.

    schedule: the one the denoiser was trained with.
    steps: of a solver, if no timestep comes twice.
    alpha: below 1 for more steps where there is little noise.
    beta: below 1 for more steps where there is much.
    """
    levels = comfyui.beta(schedule, steps, alpha, beta)
    return Levels(schedule, (*levels, schedule.level_at(0.0))).sigmas()


@node(category="sampling", words=("split sigmas", "refiner", "two samplers"))
def split_sigmas(sigmas: list[float], step: Annotated[int, Field(ge=1, le=10_000)] = 1) -> Halves:
    """A list of sigmas in two, for two samplings that share a walk; the level between them ends one and begins the other.

    sigmas: noisiest first.
    step: the first of the second half, counted from 0.
    """
    if not step < len(sigmas) - 1:
        raise ValueError(f"{len(sigmas)} sigmas are {len(sigmas) - 1} steps, which cannot be split before step {step}")
    return Halves(sigmas[: step + 1], sigmas[step:])


@node(category="sampling", words=("shift", "model sampling sd3", "flow shift", "resolution"))
def shift_sigmas(sigmas: list[float], shift: Annotated[float, Field(ge=0.01, le=100)] = 3.0) -> list[float]:
    """The levels of a flow moved towards the noise, s·u / (1 + (s − 1)·u), as for large pictures (Esser et al. 2024, eq. 23).

    sigmas: u, from 1 to 0.
    shift: 1 for none.
    """
    if any(not 0 <= u <= 1 for u in sigmas):
        raise ValueError("what is shifted are the levels u of a flow, from 1 to 0; sigmas by betas are not")
    return [shift * u / (1 + (shift - 1) * u) for u in sigmas]


@node(category="sampling", words=("s_churn", "s_tmin", "s_tmax", "s_noise", "stochastic"))
def churn(
    s_churn: Annotated[float, Field(ge=0, le=10_000)] = 40.0,
    s_tmin: Annotated[float, Field(ge=0, le=100_000)] = 0.05,
    s_tmax: Annotated[float, Field(ge=0, le=100_000)] = 50.0,
    s_noise: Annotated[float, Field(ge=0, le=2)] = 1.003,
) -> list[float]:
    """The noise that a solver adds before each of its steps (Karras et al. 2022, algorithm 2): the `churn` of `sample`.

    s_churn: how much in all steps together; none in one step more than is there.
    s_tmin: the least sigma at which any is added.
    s_tmax: the largest.
    s_noise: its deviation, a little above 1 against the loss of detail.
    """
    return [s_churn, s_tmin, s_tmax, s_noise]


def _falling(sigma_max: float, sigma_min: float, sigmas: list[float]) -> list[float]:
    if sigma_min >= sigma_max:
        raise ValueError(f"sigma_min must lie below sigma_max, not {sigma_min:g} and {sigma_max:g}")
    return sigmas
