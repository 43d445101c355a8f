"""Guidance on problems whose answer is known: posteriors of Gaussians, kept regions, contrast."""

import pytest
import torch
from solver_oracles import seeded
from toy_denoisers import SHAPE, gaussian, two_modes

from core.diffusion import guidance
from core.diffusion.levels import Levels
from core.diffusion.schedule import PARAMETRISATIONS, NoiseSchedule
from core.diffusion.solvers import SOLVERS, sample

NOISE = seeded(1)(torch.empty(SHAPE))


def predictions(schedule, t):
    """Two predictions of one z that mean the same in every parametrisation."""
    z, a, b = seeded(2)(torch.empty(3, *SHAPE, dtype=torch.float64))
    return z, schedule.from_z0(a, z, t), schedule.from_z0(b, z, t)


def test_classifier_free_guidance_means_the_same_in_every_parametrisation():
    results = []
    for parametrisation in PARAMETRISATIONS:
        schedule = NoiseSchedule.linear(parametrisation=parametrisation)
        z, cond, uncond = predictions(schedule, 300)
        assert torch.allclose(guidance.classifier_free(cond, uncond, 1), cond)
        assert torch.equal(guidance.classifier_free(cond, uncond, 0), uncond)
        results.append(schedule.to_eps(guidance.classifier_free(cond, uncond, 4.0), z, 300))
    torch.testing.assert_close(results[0], results[1])
    torch.testing.assert_close(results[0], results[2])


def test_rescaling_gives_the_conditional_predictions_contrast():
    cond, uncond = seeded(3)(torch.empty(2, *SHAPE))
    guided = guidance.classifier_free(cond, uncond, 7.5)
    full = guidance.rescale(guided, cond, 1.0)
    torch.testing.assert_close(full.std((1, 2, 3)), cond.std((1, 2, 3)))
    torch.testing.assert_close(guidance.rescale(guided, cond, 0.0), guided)
    torch.testing.assert_close(guidance.rescale(guided, cond, 0.7), 0.7 * full + 0.3 * guided)


def test_steering_changes_eps_alike_in_every_parametrisation():
    for t in (5, torch.tensor([5, 900])):
        for parametrisation in PARAMETRISATIONS:
            schedule = NoiseSchedule.linear(parametrisation=parametrisation)
            z, prediction, grad = predictions(schedule, t)
            _, noise = schedule.rates(t, like=z)
            before = schedule.to_eps(prediction, z, t)
            after = schedule.to_eps(guidance.steer(prediction, grad, t, schedule, scale=3.0), z, t)
            torch.testing.assert_close(after, before - 3 * noise * grad)


@pytest.mark.parametrize("parametrisation", PARAMETRISATIONS)
def test_steering_by_the_exact_likelihood_samples_the_posterior(parametrisation):
    """z0 ~ N(0, 1), y = z0 + N(0, .5²) = 2: the posterior is N(1.6, .2). A plus sign would lead to about −4."""
    schedule = NoiseSchedule.linear(parametrisation=parametrisation)
    denoise = gaussian(schedule, mean=0.0, std=1.0)

    def guided(z, t):
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            prediction = denoise(z, t)
            z0 = schedule.to_z0(prediction, z, t)
            _, noise = schedule.rates(t, like=z)
            log_p = -0.5 * ((2.0 - z0) ** 2 / (noise**2 + 0.25)).flatten(1).sum(1)  # given z_t, z0 has variance noise²
            grad = guidance.gradient(log_p, z)
        return guidance.steer(prediction.detach(), grad, t, schedule)

    noise = seeded(4)(torch.empty(4, 1, 40, 40))
    z = sample(guided, noise, schedule, "heun", steps=60, spacing="karras")
    assert z.mean() == pytest.approx(1.6, abs=0.03)
    assert z.std() == pytest.approx(0.2**0.5, abs=0.02)


def test_image_guidance_flows_through_decoder_and_denoiser():
    """For a linear decoder and the Gaussian's linear denoiser the gradient of −½‖y − T(D(z0))‖² is known."""
    schedule = NoiseSchedule.linear()
    denoise = gaussian(schedule, mean=0.0, std=1.0)
    t = torch.tensor([400, 400])
    signal = schedule.level(400).signal
    z = NOISE.double().requires_grad_()
    wanted = torch.ones(SHAPE, dtype=torch.float64)
    seen = 2 * schedule.to_z0(denoise(z, t), z, t) - 1
    log_p = guidance.image_log_likelihood(seen, wanted)
    assert log_p.shape == (2,)
    torch.testing.assert_close(log_p[0], -0.5 * ((wanted - seen)[0] ** 2).sum())
    exact = 2 * signal * (wanted - (2 * signal * z.detach() - 1))
    torch.testing.assert_close(guidance.gradient(log_p, z), exact, rtol=1e-5, atol=1e-5)


def test_a_likelihood_without_gradient_is_refused():
    with pytest.raises(ValueError, match="enable_grad"):
        guidance.gradient(torch.zeros(2), NOISE)


@pytest.mark.parametrize("t", [999, torch.tensor([999, 999])])
def test_steering_does_nothing_at_zero_snr(t):
    schedule = NoiseSchedule.linear().with_zero_terminal_snr("v")
    assert torch.equal(guidance.steer(NOISE, NOISE, t, schedule), NOISE)


@pytest.mark.parametrize("name", [name for name in SOLVERS if name != "ddim_inversion"])
@pytest.mark.parametrize("parametrisation", ["eps", "v"])
def test_inpainting_keeps_where_the_mask_is_one_and_generates_elsewhere(name, parametrisation):
    """Exact for solvers that end at z0 (float32: 1e-4); those that end at the first level leave its noise."""
    schedule = NoiseSchedule.linear(parametrisation=parametrisation)
    known = torch.full(SHAPE, 5.0)  # far from what the denoiser knows
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2] = 1
    denoise = guidance.inpainting(two_modes(schedule), known, seeded(6)(NOISE), mask, schedule)
    z = sample(denoise, NOISE, schedule, name, steps=20, draw=seeded(7))
    atol = 1e-4 if SOLVERS[name].end == "z0" else 4 * schedule.level(0).noise
    torch.testing.assert_close(z[..., :2], known[..., :2], atol=atol, rtol=0)
    assert z[..., 2:].abs().max() < 3.2


def test_what_ddim_leaves_of_the_noise_on_the_known_region_is_that_of_the_level_where_it_stops():
    """√ᾱ₀ · z0 + √(1 − ᾱ₀) · eps, eps being the start's; none of it where the last step leads to z0."""
    schedule = NoiseSchedule.linear()
    known, mask = torch.full(SHAPE, 5.0), torch.ones(1, 1, 4, 4)
    denoise = guidance.inpainting(two_modes(schedule), known, seeded(6)(NOISE), mask, schedule)
    start, first = schedule.level(951), schedule.level(0)
    eps = (NOISE - start.signal * known) / start.noise
    z = sample(denoise, NOISE, schedule, "ddim", steps=20)
    torch.testing.assert_close(z, first.signal * known + first.noise * eps, atol=1e-4, rtol=0)
    z = SOLVERS["ddim"](denoise, NOISE, Levels.of(schedule, 20, "leading", end="z0"))
    torch.testing.assert_close(z, known, atol=1e-4, rtol=0)


def test_the_denoiser_sees_the_known_region_at_its_noise_level():
    schedule = NoiseSchedule.linear()
    z0, noise = torch.ones(SHAPE), seeded(8)(NOISE)
    mask = torch.ones(1, 1, 4, 4)
    mask[..., 0] = 0
    t = torch.tensor([100, 700])
    z = guidance.keep_known(NOISE, z0, noise, t, mask, schedule)
    torch.testing.assert_close(z[..., 1:], schedule.add_noise(z0, noise, t)[..., 1:])
    torch.testing.assert_close(z[..., 0], NOISE[..., 0])


@pytest.mark.parametrize("parametrisation", PARAMETRISATIONS)
def test_dynamic_threshold_bounds_z0_and_leaves_small_ones_alone(parametrisation):
    schedule = NoiseSchedule.linear(parametrisation=parametrisation)
    z = NOISE.double()
    small = 0.9 * torch.tanh(seeded(9)(z))
    z0 = torch.stack([small[0], 10 * small[1]])
    prediction = schedule.from_z0(z0, z, 200)
    thresholded = schedule.to_z0(guidance.dynamic_threshold(prediction, z, 200, schedule), z, 200)
    torch.testing.assert_close(thresholded[0], z0[0])
    assert thresholded[1].abs().max() == pytest.approx(1)
    limit = torch.quantile(z0[1].abs(), 0.995)
    inside = z0[1].abs() < limit
    torch.testing.assert_close(thresholded[1][inside], z0[1][inside] / limit, rtol=1e-5, atol=1e-6)
