"""How likely a diffusion model thinks data to be: a bound by its chain of steps, and the density of its probability flow.

Both give nats for each sample; `bits_per_dim` says them as papers do.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from core.diffusion.levels import Turns
from core.diffusion.process import PRESERVING, SIGMA_LIMIT, Level, Process
from core.diffusion.schedule import NoiseSchedule, with_betas
from core.diffusion.solvers.model import Denoise, Draw, estimator
from core.models.kept_context import constant_context
from core.numbers import finite
from core.precision import in_float32

LEAST_SIGMA = 1e-3
"""Where the probability flow begins in a process that has no least noise of its own."""


class Bound(NamedTuple):
    """The terms of the variational bound on −log p(z0), nats of each sample, (b,): their sum is the bound."""

    prior: Tensor
    steps: Tensor
    decoder: Tensor

    @property
    def total(self) -> Tensor:
        """The bound."""
        return self.prior + self.steps + self.decoder


def variational_bound(
    denoise: Denoise, z0: Tensor, process: Process, draw: Draw, values: int = 0, turns: Turns = range
) -> Bound:
    """−log p(z0) ≤ L_T + Σ L_{t−1} + L_0 (Ho et al. 2020, eq. 5), each term of all T with one draw of z_t.

    Between the posterior q(z_{t−1} | z_t, z0) and the model's step of the same variance β̃_t the divergence is
    ½ (SNR(t−1) − SNR(t)) ‖z0 − ẑ0‖² (Kingma et al. 2021, eq. 13). The decoder is a Gaussian about ẑ0 at the first timestep: for
    pixels with the variance β̃_1, as in Ho et al. 2020's program, for continuous data with that of the noise there, 1 / SNR.

    z0: (b, …). draw: noise of its shape, asked once a timestep, noisiest first. turns: the loop's range.
    values: of data that takes so many evenly spaced values in [−1, 1], as the 256 of pixels, the likelihood of each value's
        interval (Ho et al. 2020, eq. 13); 0 for continuous data, whose density is meant.
    Raises ValueError for a process without betas.
    """
    schedule = with_betas(process, "the variational bound")
    last = schedule.num_timesteps - 1
    steps = decoder = torch.zeros(len(z0), device=z0.device)
    with constant_context():
        for turn in turns(schedule.num_timesteps):
            t = last - turn
            at = torch.full((len(z0),), float(t), device=z0.device)
            z = schedule.add_noise(z0, draw(z0), t)
            error = z0 - schedule.to_z0(denoise(z, at), z, t)
            if t:
                weight = (_snr(schedule, t - 1) - _snr(schedule, t)) / 2
                steps = steps + weight * _summed(error.square())
            else:
                decoder = _decoder(z0, error, schedule, values)
    level = schedule.level(last)
    variance = level.noise**2
    prior = _summed(level.signal**2 * z0.square() + variance - 1 - math.log(variance)) / 2
    return Bound(prior, steps, decoder)


def flow_log_likelihood(
    denoise: Denoise,
    z0: Tensor,
    process: Process,
    draw: Draw,
    steps: int = 100,
    turns: Turns = range,
) -> Tensor:
    """log p(z0) under the probability-flow ODE (Song et al. 2021, "Score-based generative modeling through SDEs", eq. 39), (b,) nats.

    log p(z at λ0) = log N(z at λ1; 0, 1) + ∫ div(dz/dλ) dλ with λ = ln sigma, in coordinates where signal² + noise² = 1. The
    divergence is Hutchinson's estimate εᵀ(∂f/∂z)ε with one ε of ±1 for each sample, the same on all of the way (FFJORD,
    Grathwohl et al. 2019): unbiased, and exact where the Jacobian is diagonal. Heun's steps are even in λ.

    It begins at the process' least noise, and z0 is taken for a sample of the density there.

    z0: (b, …). draw: standard normal noise of its shape, whose signs are ε. steps: of two evaluations each.
    Raises ValueError where the prediction does not say how it depends on z, as that of guidance by a gradient does not.
    """
    first, end = _ends(process)
    low, high = math.log(first.sigma), math.log(end.sigma)
    probe = torch.where(draw(z0) < 0, -1.0, 1.0).to(z0.dtype)
    estimate = estimator(_differentiable(denoise), process)

    def flow(z: Tensor, position: float) -> tuple[Tensor, Tensor]:
        """dz/dλ, (b, …), and its divergence, (b,)."""
        level = _level(process, math.exp(position), first)
        signal, noise = PRESERVING.rates(level.sigma)
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            found = estimate(z * (level.signal / signal), level)
            velocity = (signal * found.eps - noise * found.z0) * (signal * noise)
            along = (velocity * probe).sum()
        (slope,) = torch.autograd.grad(along, z)
        return velocity.detach(), _summed(slope * probe)

    signal = PRESERVING.rates(first.sigma)[0]
    z = signal * z0
    width = (high - low) / steps
    grown = torch.zeros(len(z0), device=z0.device)
    with constant_context():
        for turn in turns(steps):
            here, there = (low + (turn + k) * width for k in (0, 1))
            slope, divergence = flow(z, here)
            end_slope, end_divergence = flow(z + width * slope, there)
            z = z + width / 2 * (slope + end_slope)
            grown = grown + width / 2 * (divergence + end_divergence)
    dims = z0[0].numel()
    base = -_summed(z.square()) / 2 - dims / 2 * math.log(2 * math.pi)
    return finite(base + grown + dims * math.log(signal), "the log likelihoods")


def bits_per_dim(nats: Tensor, like: Tensor, values: int = 0) -> Tensor:
    """−log p in nats, (b,), as bits for each dimension of `like` (b, …).

    values: of data that takes so many evenly spaced values in [−1, 1] and had noise as wide as their distance added to it, where
        `nats` are of its density: the bits of a value, 2 / (values − 1) wide. 0 leaves them as they are.
    """
    offset = math.log2((values - 1) / 2) if values else 0.0
    return nats / (like[0].numel() * math.log(2)) + offset


def dequantised(z0: Tensor, uniform: Tensor, values: int) -> Tensor:
    """Data of so many values in [−1, 1] with uniform noise as wide as their distance (Theis et al. 2016). Both (b, …), uniform in [0, 1)."""
    return z0 + (uniform - 0.5) * (2 / (values - 1))


def _differentiable(denoise: Denoise) -> Denoise:
    def asked(z: Tensor, t: Tensor) -> Tensor:
        prediction = denoise(z, t)
        if not prediction.requires_grad:
            raise ValueError(
                "the prediction does not say how it depends on z, so that its divergence is unknown: measure the likelihood of"
                " a denoiser without guidance by a gradient"
            )
        return prediction

    return asked


def _snr(schedule: NoiseSchedule, t: int) -> float:
    return schedule.level(t).sigma ** -2


def _decoder(z0: Tensor, error: Tensor, schedule: NoiseSchedule, values: int) -> Tensor:
    """−log p(z0 | z_0), nats of each sample; error: z0 − ẑ0."""
    first, second = schedule.level(0), schedule.level(1)
    if not values:
        scaled = error.float() / first.sigma
        return _summed(scaled.square() / 2) + z0[0].numel() * math.log(first.sigma * math.sqrt(2 * math.pi))
    deviation = math.sqrt(schedule.betas[1]) * first.noise / second.noise  # √β̃_1
    scaled = error.float() / deviation
    half = 1 / (values - 1) / deviation
    above, below = scaled + half, scaled - half
    # log(Φ(above) − Φ(below)), taken in the tail where both are small.
    flip = below > 0
    upper, lower = torch.where(flip, -below, above), torch.where(flip, -above, below)
    inside = _log_difference(torch.special.log_ndtr(upper), torch.special.log_ndtr(lower))
    inside = torch.where(z0 < -1 + 1e-3 / values, torch.special.log_ndtr(above), inside)
    inside = torch.where(z0 > 1 - 1e-3 / values, torch.special.log_ndtr(-below), inside)
    return -_summed(inside)


def _log_difference(larger: Tensor, smaller: Tensor) -> Tensor:
    return larger + torch.log(-torch.expm1(torch.clamp(smaller - larger, max=-1e-7)))


def _ends(process: Process) -> tuple[Level, Level]:
    """The least and the most noise between which the flow is followed."""
    first = process.level(process.timestep_at(0.0))
    end = process.level(process.last)
    return (
        first if first.sigma >= LEAST_SIGMA else process.level_at(LEAST_SIGMA),
        end if end.sigma <= SIGMA_LIMIT else process.level_at(SIGMA_LIMIT),
    )


def _level(process: Process, sigma: float, first: Level) -> Level:
    return first if math.isclose(sigma, first.sigma, rel_tol=1e-9) else process.level_at(sigma)


@in_float32
def _summed(values: Tensor) -> Tensor:
    """(b, …) to (b,)."""
    return values.float().flatten(1).sum(1)
