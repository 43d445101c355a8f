"""Noise levels as numbers, and predictions read another way: what a solver drawn by hand is made of."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field

from core.diffusion.process import Spacing
from core.diffusion.solvers import SOLVERS
from graph_runner.context import Device
from graph_runner.contract import node
from nodes.sampling import Solver
from nodes.wires import Latent, PerSample, Prediction, Schedule, Timestep


class Rates(NamedTuple):
    """A noise level for each sample, z = signal · z0 + noise · eps; sigma = noise / signal, snr = (signal / noise)²."""

    signal: PerSample
    noise: PerSample
    sigma: PerSample
    snr: PerSample


class SolverLevel(NamedTuple):
    """One level that a solver visits: its timestep, z = signal · z0 + noise · eps, and sigma = noise / signal."""

    t: Timestep
    signal: float
    noise: float
    sigma: float


@node(category="diffusion", words=("sigma", "snr", "signal-to-noise ratio", "alphas_cumprod", "alpha bar"))
def noise_level(schedule: Schedule, t: Timestep) -> Rates:
    """What a timestep means: how much signal and noise are in z, and their ratios; by betas √ᾱ_t and √(1 − ᾱ_t).

    t: a timestep for each sample.
    """
    at = t if t.is_floating_point() else t.float()
    signal, noise = schedule.coefficients(at)
    return Rates(signal, noise, noise / signal, (signal / noise) ** 2)


@node(category="diffusion", words=("sigmas", "timesteps", "scheduler", "karras"))
def solver_level(
    schedule: Schedule,
    index: Annotated[int, Field(ge=0, le=100_000)],
    device: Device,
    solver: Solver = "ddim",
    steps: Annotated[int, Field(ge=1, le=10_000)] = 50,
    spacing: Spacing | None = None,
) -> SolverLevel:
    """Any of the noise levels that a solver visits: step i leads from level i to level i + 1.

    schedule: the one the denoiser was trained with.
    index: 0 is where sampling starts, the number of steps where it ends.
    solver: whose levels; it says where they end, and how they are spaced if nothing else does.
    steps: of the solver.
    spacing: which timesteps are visited; nothing for the default of the schedule's process, or of the solver.
    """
    levels = SOLVERS[solver].levels(schedule, steps, spacing).levels
    if not 0 <= index < len(levels):
        raise ValueError(
            f"there is no level {index}: {solver} in {len(levels) - 1} steps has levels 0 to {len(levels) - 1}"
        )
    level = levels[index]
    return SolverLevel(torch.full((1,), level.t, device=device), level.signal, level.noise, level.sigma)


@node(category="diffusion", words=("sigma to timestep", "t of sigma", "inverse of noise level", "sigma_to_t"))
def timestep_at_sigma(schedule: Schedule, sigma: Annotated[float, Field(ge=0)], device: Device) -> Timestep:
    """The timestep at which noise / signal is sigma: where a denoiser is asked on another process' path. Back: `noise_level`.

    A sigma outside of the schedule's, infinite ones too, gives its nearest end.

    schedule: the one the denoiser was trained with.
    sigma: the same for all samples.
    """
    largest = schedule.level(schedule.last).sigma
    return torch.full((1,), schedule.t_at(sigma) if sigma < largest else schedule.last, device=device)


@node(category="diffusion", words=("number to timestep",))
def to_timestep(t: Annotated[float, Field(ge=-1000, le=100_000)], device: Device) -> Timestep:
    """A number as a timestep, the same for all samples. Back: `to_number`.

    t: by betas from 0 to T − 1; of rectified flow from 0 to 1000.
    """
    return torch.full((1,), t, device=device)


@node(category="diffusion", words=("epsilon", "noise prediction", "x0 to eps"))
def estimate_eps(prediction: Prediction, z: Latent, t: Timestep, schedule: Schedule) -> Latent:
    """The noise eps that a prediction stands for, whatever the denoiser predicts."""
    return schedule.to_eps(prediction, z, t)


@node(category="diffusion", words=("v-prediction", "flow velocity", "rectified flow"))
def estimate_velocity(prediction: Prediction, z: Latent, t: Timestep, schedule: Schedule) -> Latent:
    """The velocity that a prediction stands for: v by betas (Salimans & Ho 2022), eps − z0 in rectified flow."""
    return schedule.to_velocity(prediction, z, t)


@node(category="diffusion", words=("x0", "eps", "v-prediction", "convert", "inverse of estimate"))
def as_prediction(
    value: Latent,
    z: Latent,
    t: Timestep,
    schedule: Schedule,
    given: Literal["z0", "eps", "velocity"] = "z0",
) -> Prediction:
    """The prediction that stands for a clean latent, noise or velocity: what a denoiser of this schedule would say.

    value: what the prediction is to stand for.
    z: where it is made.
    given: what the value is: the clean latent z0, the noise eps, or the velocity (v by betas, eps − z0 in rectified flow).
    """
    match given:
        case "z0":
            return schedule.from_z0(value, z, t)
        case "eps":
            return schedule.from_eps(value, z, t)
        case "velocity":
            return schedule.from_velocity(value, z, t)
