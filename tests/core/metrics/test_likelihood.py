"""Likelihoods against data whose density is known, and the bound against its terms taken one by one."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from core.diffusion.edm import EDM
from core.diffusion.flow import RectifiedFlow
from core.diffusion.process import Process
from core.diffusion.schedule import NoiseSchedule
from core.metrics.likelihood import bits_per_dim, dequantised, flow_log_likelihood, variational_bound
from core.models.unet import UNet

MEANS = torch.tensor([0.5, -0.3, 0.0, 1.0])
DEVIATIONS = torch.tensor([0.6, 1.3, 0.9, 0.4])
PROCESSES: dict[str, Process] = {
    "eps": NoiseSchedule.linear(),
    "v": NoiseSchedule.linear().with_zero_terminal_snr(),
    "flow": RectifiedFlow(),
    "EDM": EDM(),
}


def draws(seed: int) -> Callable[[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return lambda like: torch.randn(like.shape, generator=generator)


def exact(process: Process, mixture: bool = False) -> Callable[[Tensor, Tensor], Tensor]:
    """The best denoiser of independent Gaussians; or of two each, one about its mean and one about the opposite."""

    def denoise(z: Tensor, t: Tensor) -> Tensor:
        signal, noise = process.rates(t, like=z)
        variance = (signal * DEVIATIONS) ** 2 + noise**2

        def about(mean: Tensor) -> Tensor:
            return mean + signal * DEVIATIONS**2 / variance * (z - signal * mean)

        z0 = about(MEANS)
        if mixture:
            first = torch.sigmoid(2 * z * signal * MEANS / variance)
            z0 = first * z0 + (1 - first) * about(-MEANS)
        return process.from_z0(z0, z, t)

    return denoise


def data(n: int, seed: int = 3) -> Tensor:
    return MEANS + DEVIATIONS * torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("mixture", [False, True])
@pytest.mark.parametrize("name", PROCESSES)
def test_the_flow_gives_the_density_of_known_data(name: str, mixture: bool) -> None:
    process = PROCESSES[name]
    z0 = data(16)
    found = flow_log_likelihood(exact(process, mixture), z0, process, draws(1), steps=200)
    first = process.level(process.timestep_at(0.0)).sigma or 1e-3
    width = np.hypot(DEVIATIONS.numpy(), first)
    density = stats.norm.pdf(z0.numpy(), MEANS.numpy(), width)
    if mixture:
        density = (density + stats.norm.pdf(z0.numpy(), -MEANS.numpy(), width)) / 2
    # Where sampling starts from a little signal, data whose mean is not 0 is not quite N(0, 1) there.
    allowed = 0.1 if name in ("eps", "EDM") else 5e-3
    assert np.abs(found.numpy() - np.log(density).sum(1)).max() < allowed


def test_the_flow_s_error_falls_with_the_square_of_its_steps() -> None:
    process = PROCESSES["v"]
    many = flow_log_likelihood(exact(process, True), data(8), process, draws(1), steps=640)
    errors = [
        float((flow_log_likelihood(exact(process, True), data(8), process, draws(1), steps=n) - many).abs().mean())
        for n in (20, 40)
    ]
    assert errors[1] < errors[0] / 2.5


def test_the_estimate_of_a_network_s_divergence_is_its_jacobian_s_trace_on_average() -> None:
    torch.manual_seed(0)
    unet = UNet(1, 1, 8, (1, 2), 1, (1, 2), num_heads=2, norm_groups=4).eval().requires_grad_(False)
    for parameter in unet.out.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    process = NoiseSchedule.linear()
    z0 = torch.randn(1, 1, 4, 4)
    level = process.level(0)
    other = process.level_at(process.level(999).sigma)

    def flow(z: Tensor, position: int) -> Tensor:
        at = (level, other)[position]
        t = torch.full((1,), at.t)
        eps = unet(z, t)
        return at.signal * at.noise * (at.signal * eps - at.noise * (z - at.noise * eps) / at.signal)

    width = math.log(other.sigma) - math.log(level.sigma)
    z = level.signal * z0
    end = z + width * flow(z, 0)
    traces = [
        float(torch.autograd.functional.jacobian(lambda x, p=p: flow(x, p), at).reshape(16, 16).trace())
        for p, at in ((0, z), (1, end))
    ]
    final = z + width / 2 * (flow(z, 0) + flow(end, 1))
    wanted = float(Normal(0, 1).log_prob(final).sum()) + width / 2 * sum(traces) + 16 * math.log(level.signal)
    many = z0.expand(100, -1, -1, -1)
    with torch.no_grad():
        found = flow_log_likelihood(unet, many, process, draws(5), steps=1)
    assert float(found.mean()) == pytest.approx(wanted, abs=5 * float(found.std()) / 100**0.5)
    assert float(found.std()) > 0, "one probe is not the trace"


def test_a_prediction_that_lost_z_is_refused() -> None:
    process = NoiseSchedule.linear()
    with pytest.raises(ValueError, match="without guidance by a gradient"):
        flow_log_likelihood(lambda z, t: z.detach(), data(2), process, draws(0), steps=2)


def test_the_bound_is_the_sum_of_its_terms() -> None:
    schedule = NoiseSchedule.linear(20, 0.01, 0.3)
    denoise = exact(schedule)
    z0 = data(5)
    found = variational_bound(denoise, z0, schedule, draws(7))
    draw, betas = draws(7), torch.tensor(schedule.betas, dtype=torch.float64)
    cumulated = (1 - betas).cumprod(0)
    steps = torch.zeros(5, dtype=torch.float64)
    for t in range(19, -1, -1):
        z = schedule.add_noise(z0, draw(z0), t)
        guess = schedule.to_z0(denoise(z, torch.full((5,), float(t))), z, t).double()
        if t == 0:
            deviation = ((1 - cumulated[0]) / cumulated[0]).sqrt()
            decoder = -Normal(guess, deviation).log_prob(z0.double()).sum(1)
            break
        before = cumulated[t - 1]
        variance = betas[t] * (1 - before) / (1 - cumulated[t])

        def posterior(
            about: Tensor, t: int = t, z: Tensor = z, before: Tensor = before, variance: Tensor = variance
        ) -> Normal:
            # Ho et al. 2020, eq. 7
            mean = before.sqrt() * betas[t] / (1 - cumulated[t]) * about.double()
            mean = mean + (1 - betas[t]).sqrt() * (1 - before) / (1 - cumulated[t]) * z.double()
            return Normal(mean, variance.sqrt())

        steps += kl_divergence(posterior(z0), posterior(guess)).sum(1)
    prior = kl_divergence(Normal(cumulated[-1].sqrt() * z0.double(), (1 - cumulated[-1]).sqrt()), Normal(0.0, 1.0)).sum(
        1
    )
    for ours, theirs in zip(found, (prior, steps, decoder), strict=True):
        assert torch.allclose(ours.double(), theirs, rtol=1e-4, atol=1e-4)
    assert torch.equal(found.total, found.prior + found.steps + found.decoder)


def test_the_bound_lies_above_the_likelihood_and_near_it() -> None:
    """With the best denoiser; the more steps, the nearer."""
    z0 = data(500)
    true = -stats.norm.logpdf(z0.numpy(), MEANS.numpy(), DEVIATIONS.numpy()).sum(1)
    gaps = []
    for steps in (25, 100):
        schedule = NoiseSchedule.linear(steps, 0.0015, min(0.0195 * 1000 / steps, 0.8))
        nats = variational_bound(exact(schedule), z0, schedule, draws(2)).total
        gap = nats.numpy() - true
        assert gap.mean() > 4 * gap.std() / len(gap) ** 0.5, "no bound"
        gaps.append(gap.mean())
    assert gaps[1] < gaps[0] / 2
    assert gaps[1] < 3
    worse = variational_bound(lambda z, t: 1.3 * exact(schedule)(z, t), z0, schedule, draws(2)).total
    assert float(worse.mean()) > float(nats.mean()) + 0.5


def test_pixels_have_the_probability_of_their_interval() -> None:
    schedule = NoiseSchedule.linear(3, 0.0015, 0.5)
    pixels = torch.tensor([[0.0, 255.0, 128.0, 7.0]]) / 127.5 - 1
    guess = torch.tensor([[-0.99, 0.9, 0.02, -0.93]])

    def denoise(z: Tensor, t: Tensor) -> Tensor:
        return schedule.from_z0(guess, z, t)

    found = variational_bound(denoise, pixels, schedule, draws(0), values=256).decoder
    deviation = math.sqrt(schedule.betas[1]) * schedule.level(0).noise / schedule.level(1).noise
    edges = [(-np.inf, -1 + 1 / 255), (1 - 1 / 255, np.inf)]
    edges += [(x - 1 / 255, x + 1 / 255) for x in pixels[0, 2:].tolist()]
    wanted = 0.0
    for (low, high), mean in zip(edges, guess[0].tolist(), strict=True):
        wanted -= math.log(stats.norm.cdf(high, mean, deviation) - stats.norm.cdf(low, mean, deviation))
    assert float(found) == pytest.approx(wanted, rel=1e-3)
    far = variational_bound(lambda z, t: schedule.from_z0(-pixels, z, t), pixels, schedule, draws(0), values=256)
    assert torch.isfinite(far.decoder).all(), "also where both tails are next to nothing"


def test_bits_for_each_dimension() -> None:
    like = torch.zeros(2, 3, 4)
    assert torch.allclose(bits_per_dim(torch.tensor([12 * math.log(2), 0.0]), like), torch.tensor([1.0, 0.0]))
    # Evenly spread over [−1, 1] the density is ½: 256 values have 8 bits but for the half intervals at the ends.
    uniform = bits_per_dim(torch.full((2,), 12 * math.log(2)), like, 256)
    assert float(uniform[0]) == pytest.approx(math.log2(255))
    noisy = dequantised(torch.zeros(1, 4), torch.tensor([[0.0, 0.25, 0.5, 0.75]]), 256)
    assert torch.allclose(noisy * 255, torch.tensor([[-1.0, -0.5, 0.0, 0.5]]))


def test_other_processes_have_no_bound() -> None:
    with pytest.raises(ValueError, match="the variational bound says a noise process by its betas"):
        variational_bound(lambda z, t: z, torch.zeros(1, 4), RectifiedFlow(), draws(0))
