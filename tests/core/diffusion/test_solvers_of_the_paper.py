"""DDPM, DDIM, PLMS and DDIM inversion against diffusers' schedulers with latent-diffusion's settings."""

import pytest
import torch
from solver_oracles import run_diffusers, seeded
from toy_denoisers import SHAPE, two_modes

from core.diffusion.schedule import PARAMETRISATIONS, NoiseSchedule
from core.diffusion.solvers import SOLVERS, sample

TOLERANCE = 1e-4
LDM = {"clip_sample": False, "steps_offset": 1, "set_alpha_to_one": False}
NOISE = seeded(1)(torch.empty(SHAPE))


def guided(schedule, scale=3.0):
    cond, uncond = two_modes(schedule), two_modes(schedule, mean=0.5, std=0.8)
    return lambda z, t: uncond(z, t) + scale * (cond(z, t) - uncond(z, t))


def assert_close(ours, theirs):
    torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("build", [two_modes, guided])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("parametrisation", PARAMETRISATIONS)
def test_ddim_is_diffusers_with_latent_diffusions_settings(build, eta, parametrisation):
    schedule = NoiseSchedule.linear(parametrisation=parametrisation)
    denoise = build(schedule)
    theirs = run_diffusers("DDIMScheduler", schedule, denoise, NOISE, 50, step={"eta": eta, "generator": True}, **LDM)
    assert_close(sample(denoise, NOISE, schedule, "ddim", steps=50, eta=eta, draw=seeded()), theirs)
    assert not torch.allclose(theirs, NOISE, atol=0.1)


@pytest.mark.parametrize("build", [two_modes, guided])
@pytest.mark.parametrize("parametrisation", PARAMETRISATIONS)
def test_ddpm_is_diffusers(build, parametrisation):
    schedule = NoiseSchedule.linear(parametrisation=parametrisation)
    denoise = build(schedule)
    theirs = run_diffusers(
        "DDPMScheduler", schedule, denoise, NOISE, 50, step={"generator": True}, clip_sample=False, steps_offset=1
    )
    assert_close(sample(denoise, NOISE, schedule, "ddpm", steps=50, draw=seeded()), theirs)


def test_ddpm_over_all_timesteps():
    schedule = NoiseSchedule.linear(steps=200)
    denoise = two_modes(schedule)
    theirs = run_diffusers("DDPMScheduler", schedule, denoise, NOISE, 200, step={"generator": True}, clip_sample=False)
    assert_close(sample(denoise, NOISE, schedule, "ddpm", steps=200, draw=seeded()), theirs)


@pytest.mark.parametrize("build", [two_modes, guided])
@pytest.mark.parametrize("parametrisation", ["v", "x0"])
def test_ddim_at_zero_terminal_snr_with_trailing_spacing(build, parametrisation):
    schedule = NoiseSchedule.linear(start=0.00085, end=0.012).with_zero_terminal_snr(parametrisation)
    denoise = build(schedule)
    theirs = run_diffusers("DDIMScheduler", schedule, denoise, NOISE, 50, timestep_spacing="trailing", **LDM)
    assert_close(sample(denoise, NOISE, schedule, "ddim", steps=50, spacing="trailing"), theirs)


@pytest.mark.parametrize("build", [two_modes, guided])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 50])
def test_plms_is_pndm_without_its_runge_kutta_steps(build, steps):
    schedule = NoiseSchedule.linear()
    denoise = build(schedule)
    asked = []

    def counting(z, t):
        asked.append(t)
        return denoise(z, t)

    ours = sample(counting, NOISE, schedule, "plms", steps=steps)
    assert len(asked) == steps + 1
    if steps > 1:  # diffusers needs a second timestep for its first step
        theirs = run_diffusers("PNDMScheduler", schedule, denoise, NOISE, steps, skip_prk_steps=True, steps_offset=1)
        assert_close(ours, theirs)


@pytest.mark.parametrize("parametrisation", PARAMETRISATIONS)
def test_ddim_inversion_is_diffusers(parametrisation):
    schedule = NoiseSchedule.linear(parametrisation=parametrisation)
    denoise = two_modes(schedule)
    theirs = run_diffusers("DDIMInverseScheduler", schedule, denoise, NOISE, 50, **LDM)
    assert_close(sample(denoise, NOISE, schedule, "ddim_inversion", steps=50), theirs)


def test_ddim_undoes_its_inversion():
    """Both are first-order: the round trip's error falls with the number of steps."""
    schedule = NoiseSchedule.linear()
    denoise = two_modes(schedule)
    z0 = sample(denoise, NOISE, schedule, "ddim", steps=50)

    def error(steps):
        noise = sample(denoise, z0, schedule, "ddim_inversion", steps=steps)
        return (sample(denoise, noise, schedule, "ddim", steps=steps) - z0).abs().max()

    assert error(500) < error(50) / 4 < 0.1


def test_image_to_image_starts_from_a_noised_latent():
    """At little strength the result is near the start; with the exact denoiser it stays in the data's distribution."""
    schedule = NoiseSchedule.linear()
    ddim = SOLVERS["ddim"]
    z0 = torch.full(SHAPE, 1.5)
    levels = ddim.levels(schedule, 50).last_part(0.2)
    z = schedule.add_noise(z0, NOISE, levels.start.t)
    result = ddim(two_modes(schedule), z, levels)
    whole = ddim(two_modes(schedule), NOISE, ddim.levels(schedule, 50))
    assert (result - z0).abs().mean() < 0.5 * (whole - z0).abs().mean()


def test_bad_choices_name_the_remedy():
    schedule = NoiseSchedule.linear()
    with pytest.raises(ValueError, match="choose one of ddim, ddpm"):
        sample(two_modes(schedule), NOISE, schedule, "dimm")
    with pytest.raises(ValueError, match="'plms' has no eta"):
        sample(two_modes(schedule), NOISE, schedule, "plms", eta=0.5)
