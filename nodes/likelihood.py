"""How likely a diffusion model thinks latents to be, and how much noise they bear."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import Field

from core.metrics import latents, likelihood
from graph_runner.context import Loop, Processes, Rng
from graph_runner.contract import Body, node
from nodes.diffusion import FirstRow
from nodes.sampling import Denoise, Stepwise
from nodes.wires import Latent, Scalar, Schedule

Values = Annotated[int, Field(ge=0, le=2**16)]


class VariationalBound(NamedTuple):
    """Bits for each dimension, the mean over samples: the bound, and the terms that it is the sum of."""

    bits: Scalar
    prior: Scalar
    steps: Scalar
    decoder: Scalar


class LatentSNR(NamedTuple):
    """The variance of latents, and their signal-to-noise ratio."""

    variance: Scalar
    snr: Scalar


@node(category="metrics", keep=True, words=("nll", "elbo", "vlb", "bits per dimension", "bpd"))
def variational_bound(
    denoise: Body[Denoise],
    z0: Latent,
    schedule: Schedule,
    loop: Loop,
    rng: Rng,
    values: Values = 0,
    first_row: FirstRow = 0,
) -> VariationalBound:
    """The variational bound on −log p(z0) in bits for each dimension: every timestep's term, once (Ho et al. 2020, eq. 5).

    The nodes inside are the denoiser, called once at each timestep. For schedules of betas, with the posterior's variances.

    z0: clean latents, or pixels in [−1, 1] where the model has no first stage.
    schedule: the one the denoiser was trained with.
    values: 256 for pixels of 8 bits; 0 for continuous data, such as latents, of which the density is meant.
    first_row: the sample of a larger batch that z0 begins with, counted from 0.
    """
    draw, stepwise = rng.from_row(first_row).randn_like, Stepwise(denoise, loop)
    found = likelihood.variational_bound(stepwise, z0, schedule, draw, values, turns=stepwise.turns)
    terms = (likelihood.bits_per_dim(nats, z0).mean() for nats in found)
    return VariationalBound(likelihood.bits_per_dim(found.total, z0).mean(), *terms)


@node(category="metrics", keep=True, words=("nll", "probability flow", "bits per dimension", "bpd", "hutchinson"))
def flow_likelihood(
    denoise: Body[Denoise],
    z0: Latent,
    schedule: Schedule,
    loop: Loop,
    rng: Rng,
    steps: Annotated[int, Field(ge=1, le=10_000)] = 100,
    values: Values = 0,
    first_row: FirstRow = 0,
) -> Scalar:
    """−log p(z0) in bits for each dimension by the probability-flow ODE, for any noise process (Song et al. 2021, eq. 39).

    The divergence is Hutchinson's estimate with one probe for each sample: the mean over many samples is what to compare.

    z0: clean latents, or pixels in [−1, 1] where the model has no first stage.
    schedule: the one the denoiser was trained with.
    steps: of Heun's method, two evaluations and their gradients each.
    values: 256 for pixels of 8 bits, to which noise as wide as a value is added; 0 for continuous data, of which the density is meant.
    first_row: the sample of a larger batch that z0 begins with, counted from 0.
    """
    rows, stepwise = rng.from_row(first_row), Stepwise(denoise, loop)
    if values:
        z0 = likelihood.dequantised(z0, rows.rand(*z0.shape).to(z0), values)
    nats = -likelihood.flow_log_likelihood(stepwise, z0, schedule, rows.randn_like, steps, turns=stepwise.turns)
    return likelihood.bits_per_dim(nats, z0, values).mean()


@node(category="metrics", words=("signal-to-noise",))
def latent_snr(
    z: Latent, schedule: Schedule, processes: Processes, t: Annotated[float, Field(ge=0, le=100_000)] = 500.0
) -> LatentSNR:
    """Var(z) · signal² / noise²: what decides how much of a picture is left in noise (Rombach et al. 2022, appendix D.1).

    Latents that are not rescaled to unit variance keep too much of it at each timestep, and large pictures fall apart in convolutional
    sampling.

    z: clean latents.
    schedule: the noise process.
    t: a timestep of it.
    """
    variance, snr = latents.signal_to_noise(z, schedule, t, processes.mean, processes.world)
    return LatentSNR(variance, snr)
