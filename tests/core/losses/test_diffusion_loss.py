"""The denoising objective: targets, weightings against their published formulas, helpers."""

import pytest
import torch
from torch.nn.functional import l1_loss, mse_loss

from core.diffusion.schedule import PARAMETRISATIONS, NoiseSchedule
from core.losses.diffusion import diffusion_loss, offset_noise, weights

EVERY_T = torch.arange(1000)


def batch(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    z0, noise, other = torch.randn(3, 4, 2, 3, 3, generator=generator, dtype=dtype)
    return z0, noise, other, torch.tensor([0, 17, 500, 999])


@pytest.mark.parametrize("parametrisation", PARAMETRISATIONS)
def test_the_simple_loss_is_the_mean_distance_from_the_target(parametrisation):
    schedule = NoiseSchedule.linear(parametrisation=parametrisation)
    z0, noise, prediction, t = batch()
    target = schedule.target(z0, noise, t)
    torch.testing.assert_close(diffusion_loss(prediction, z0, noise, t, schedule), mse_loss(prediction, target))
    torch.testing.assert_close(diffusion_loss(prediction, z0, noise, t, schedule, "l1"), l1_loss(prediction, target))
    assert diffusion_loss(target, z0, noise, t, schedule) == 0


def test_min_snr_is_the_papers():
    """Hang et al. 2023: min(SNR, γ)/SNR for eps, min(SNR, γ)/(SNR + 1) for v, min(SNR, γ) for x0. float32: 1e-4."""
    alphas_cumprod = NoiseSchedule.linear().alphas_cumprod.double()
    snr = alphas_cumprod / (1 - alphas_cumprod)
    capped = snr.clamp(max=5)
    for parametrisation, expected in (("eps", capped / snr), ("v", capped / (snr + 1)), ("x0", capped)):
        ours = weights(EVERY_T, NoiseSchedule.linear(parametrisation=parametrisation), "min_snr")
        torch.testing.assert_close(ours.double(), expected, rtol=1e-4, atol=0)


def test_elbo_is_latent_diffusions_for_eps():
    """lvlb_weights = β² / (2·β̃·α·(1−ᾱ)), the first replaced by the second (ddpm.py, register_schedule)."""
    schedule = NoiseSchedule.linear()
    betas = torch.tensor(schedule.betas, dtype=torch.float64)
    alphas_cumprod = (1 - betas).cumprod(0)
    before = torch.cat([torch.ones(1, dtype=torch.float64), alphas_cumprod[:-1]])
    posterior = betas * (1 - before) / (1 - alphas_cumprod)
    expected = betas**2 / (2 * posterior * (1 - betas) * (1 - alphas_cumprod))
    expected[0] = expected[1]
    torch.testing.assert_close(weights(EVERY_T, schedule, "elbo").double(), expected, rtol=2e-3, atol=0)


@pytest.mark.parametrize("weighting", ["min_snr", "elbo"])
def test_weighted_losses_agree_across_parametrisations(weighting):
    """One estimate of z0, said in eps, v or x0, costs the same (float64 data; the weights' float32 allows 1e-3)."""
    z0, noise, estimate, t = batch(torch.float64)
    t = t.clamp(min=1)
    losses = []
    for parametrisation in PARAMETRISATIONS:
        schedule = NoiseSchedule.linear(parametrisation=parametrisation)
        z = schedule.add_noise(z0, noise, t)
        prediction = schedule.from_z0(estimate, z, t)
        losses.append(diffusion_loss(prediction, z0, noise, t, schedule, weighting=weighting).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert losses[0] == pytest.approx(losses[2], rel=1e-3)


def test_weights_are_per_sample_and_the_gradient_flows():
    schedule = NoiseSchedule.linear(parametrisation="v")
    z0, noise, prediction, t = batch()
    prediction.requires_grad_()
    diffusion_loss(prediction, z0, noise, t, schedule, weighting="min_snr").backward()
    expected = 2 * weights(t, schedule, "min_snr").reshape(4, 1, 1, 1) * (prediction - schedule.target(z0, noise, t))
    torch.testing.assert_close(prediction.grad, expected.detach() / prediction.numel())


def test_zero_terminal_snr_has_finite_weights():
    schedule = NoiseSchedule.linear().with_zero_terminal_snr("v")
    for weighting in ("none", "min_snr", "elbo"):
        assert weights(EVERY_T, schedule, weighting).isfinite().all()


def test_unknown_names_are_refused():
    z0, noise, prediction, t = batch()
    with pytest.raises(ValueError, match="'l1' or 'l2'"):
        diffusion_loss(prediction, z0, noise, t, NoiseSchedule.linear(), "huber")
    with pytest.raises(ValueError, match="'none', 'min_snr' or 'elbo'"):
        diffusion_loss(prediction, z0, noise, t, NoiseSchedule.linear(), weighting="snr")


def test_uniform_timesteps_cover_the_schedule_evenly():
    schedule = NoiseSchedule.linear(steps=10)
    t = schedule.timesteps(torch.rand(20000, generator=torch.Generator().manual_seed(0)))
    assert t.dtype == torch.int64
    counts = torch.bincount(t, minlength=10)
    assert counts.shape == (10,)
    assert (counts - 2000).abs().max() < 200  # five standard deviations
    edge = torch.tensor([0.0, 1 - 2**-24])
    assert schedule.timesteps(edge).tolist() == [0, 9]


def test_offset_noise_shifts_each_channels_mean():
    _, noise, _, _ = batch()
    offset = torch.randn(4, 2, 1, 1, generator=torch.Generator().manual_seed(1))
    shifted = offset_noise(noise, offset, 0.2)
    torch.testing.assert_close(shifted.mean((2, 3)) - noise.mean((2, 3)), 0.2 * offset[..., 0, 0])
    torch.testing.assert_close(shifted.std((2, 3)), noise.std((2, 3)))
