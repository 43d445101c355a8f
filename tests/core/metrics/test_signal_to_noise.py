"""The signal-to-noise ratio of latents."""

import pytest
import torch

from core.diffusion.flow import RectifiedFlow
from core.diffusion.schedule import NoiseSchedule
from core.metrics.latents import signal_to_noise


def test_it_is_the_ratio_of_the_variances_in_noisy_latents() -> None:
    torch.manual_seed(0)
    z, schedule = 3 * torch.randn(64, 4, 16, 16) + 1, NoiseSchedule.linear()
    found = signal_to_noise(z, schedule, 400)
    clean = schedule.add_noise(z, torch.zeros_like(z), 400)
    noise = schedule.add_noise(torch.zeros_like(z), torch.randn_like(z), 400)
    assert float(found.ratio) == pytest.approx(float(clean.var() / noise.var()), rel=0.02)
    assert float(found.variance) == pytest.approx(9, rel=0.02)
    assert float(signal_to_noise(z / z.std(), schedule, 400).ratio) == pytest.approx(schedule.snr(400), rel=1e-5)


def test_timesteps_without_noise_and_outside_are_refused() -> None:
    with pytest.raises(ValueError, match="there is no noise"):
        signal_to_noise(torch.randn(2, 4), RectifiedFlow(), 0.0)
    with pytest.raises(ValueError, match="timesteps run from 0 to 999"):
        signal_to_noise(torch.randn(2, 4), NoiseSchedule.linear(), 1000.0)
