"""Annealed Langevin dynamics on a Gaussian: the score in closed form, the distribution that the chain reaches."""

import pytest
import torch
from solver_oracles import seeded
from toy_denoisers import SHAPE, gaussian

from core.diffusion.langevin import langevin_step, score, step_size
from core.diffusion.schedule import PARAMETRISATIONS, NoiseSchedule


@pytest.mark.parametrize("parametrisation", PARAMETRISATIONS)
@pytest.mark.parametrize("t", [3, 600, 10.5])
def test_the_score_is_the_gradient_of_the_log_density(parametrisation, t):
    schedule = NoiseSchedule.linear(parametrisation=parametrisation)
    z = seeded(1)(torch.empty(SHAPE, dtype=torch.float64)).requires_grad_()
    level = schedule.level(t)
    density = torch.distributions.Normal(level.signal * 0.7, (level.signal**2 * 0.25 + level.noise**2) ** 0.5)
    (exact,) = torch.autograd.grad(density.log_prob(z).sum(), z)
    tensor_t = torch.tensor([t, t])
    prediction = gaussian(schedule)(z, tensor_t)
    torch.testing.assert_close(score(prediction, z, t, schedule), exact)
    torch.testing.assert_close(score(prediction, z, tensor_t, schedule), exact, rtol=1e-5, atol=1e-6)


def test_annealed_langevin_dynamics_reaches_the_data():
    """N(.7, .5²) from pure noise: 20,000 numbers, 50 levels, 20 steps each.

    The chain itself is off by .02 in the mean and .04 in the deviation: it lags as z grows with √ᾱ.
    """
    schedule = NoiseSchedule.linear()
    denoise = gaussian(schedule)
    draw = seeded(2)
    z = draw(torch.empty(2, 1, 100, 100))
    for t in range(980, -1, -20):
        step = step_size(t, schedule, ratio=0.5)
        for _ in range(20):
            prediction = denoise(z, torch.full((2,), t))
            z = langevin_step(z, score(prediction, z, t, schedule), step, draw(z))
    assert z.mean() == pytest.approx(0.7, abs=0.03)
    assert z.std() == pytest.approx(0.5, abs=0.045)


def test_steps_follow_the_variance_of_the_noise():
    schedule = NoiseSchedule.linear()
    for t in (0, 500, 999):
        variance = 1 - schedule.alphas_cumprod[t].item()
        assert step_size(t, schedule, ratio=0.3) == pytest.approx(0.3 * variance, rel=1e-4)
