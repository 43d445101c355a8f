"""Levels a solver visits: spacings of latent-diffusion and diffusers, Karras and exponential sigmas, partial walks."""

import math

import diffusers
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.diffusion.levels import Levels
from core.diffusion.schedule import NoiseSchedule
from core.diffusion.spacings import SPACINGS

SCHEDULE = NoiseSchedule.linear()
DIFFUSERS = {"beta_schedule": "scaled_linear", "beta_start": 0.0015, "beta_end": 0.0195}


def timesteps(steps, spacing):
    return [level.t for level in Levels.of(SCHEDULE, steps, spacing).levels[:-1]]


@pytest.mark.parametrize("steps", [1, 2, 4, 5, 20, 50, 100, 200, 250, 500])
def test_leading_is_latent_diffusions_where_steps_divide_the_schedule(steps):
    expected = [t + 1 for t in range(0, 1000, 1000 // steps)][::-1]
    assert timesteps(steps, "leading") == expected
    assert timesteps(steps, "ldm") == expected


def test_leading_is_right_and_ldm_is_compatible_elsewhere():
    assert len(timesteps(30, "leading")) == 30
    assert timesteps(30, "ldm") == [t + 1 for t in range(0, 1000, 33)][::-1]
    assert len(timesteps(30, "ldm")) == 31
    assert timesteps(600, "leading")[0] == 999
    assert timesteps(1000, "leading") == list(range(999, -1, -1))
    for steps in (600, 1000):
        with pytest.raises(ValueError, match="use 'leading'"):
            timesteps(steps, "ldm")


@pytest.mark.parametrize("steps", [1, 7, 30, 50, 333, 1000])
@pytest.mark.parametrize("spacing", ["trailing", "linspace"])
def test_trailing_and_linspace_are_those_of_diffusers(steps, spacing):
    theirs = diffusers.DDIMScheduler(timestep_spacing=spacing, **DIFFUSERS)
    theirs.set_timesteps(steps)
    if spacing == "linspace" and steps == 1:
        assert timesteps(1, spacing) == [999]  # one step starts from pure noise; numpy's linspace would give 0
    else:
        assert timesteps(steps, spacing) == theirs.timesteps.tolist()


@pytest.mark.parametrize("steps", [1, 2, 4, 8, 50])
def test_lcm_takes_the_timesteps_of_distillation(steps):
    theirs = diffusers.LCMScheduler(**DIFFUSERS)
    theirs.set_timesteps(steps)
    assert timesteps(steps, "lcm") == theirs.timesteps.tolist()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers' use of numpy
@pytest.mark.parametrize(
    ("spacing", "flag"), [("karras", "use_karras_sigmas"), ("exponential", "use_exponential_sigmas")]
)
def test_sigma_spacings_are_those_of_diffusers(spacing, flag):
    """Tolerance: diffusers computes its largest sigma from float32 products (1e-5 relative); t follows from it."""
    theirs = diffusers.EulerDiscreteScheduler(timestep_spacing="linspace", **DIFFUSERS, **{flag: True})
    theirs.set_timesteps(30)
    ours = Levels.of(SCHEDULE, 30, spacing)
    torch.testing.assert_close(torch.tensor([x.sigma for x in ours.levels]), theirs.sigmas, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(torch.tensor([x.t for x in ours.levels[:-1]]), theirs.timesteps, rtol=1e-4, atol=5e-3)


ANOTHER_NUMBER = ("ldm", "lcm", "a1111", "comfyui_ddim_uniform", "comfyui_beta")
"""Spacings that may visit more or fewer levels than the steps that are asked for."""


@given(steps=st.integers(1, 1000), spacing=st.sampled_from([s for s in SPACINGS if s not in ANOTHER_NUMBER]))
def test_any_number_of_steps_descends_within_the_schedule(steps, spacing):
    for end in ("z0", "t0"):
        levels = Levels.of(SCHEDULE, steps, spacing, end)  # Levels refuses anything that does not descend
        assert len(levels) == steps
        assert all(0 <= level.t <= 999 for level in levels.levels)


def test_the_last_step_ends_where_asked():
    assert Levels.of(SCHEDULE, 50, "leading", end="t0").end == SCHEDULE.level(0)
    assert Levels.of(SCHEDULE, 50, "leading", end="z0").end == SCHEDULE.level_at(0)
    assert Levels.of(SCHEDULE, 50, "linspace", end="t0").end == SCHEDULE.level_at(0)
    assert Levels.of(SCHEDULE, 50, "karras", end="t0").end == SCHEDULE.level_at(0)


@pytest.mark.parametrize("steps", [0, 1001])
def test_impossible_numbers_of_steps_are_refused(steps):
    with pytest.raises(ValueError, match="between 1 and"):
        Levels.of(SCHEDULE, steps)


def test_unknown_spacing_names_the_choices():
    with pytest.raises(ValueError, match="leading, ldm, trailing"):
        Levels.of(SCHEDULE, 10, "cosine")


def test_walk_goes_under_the_callers_loop():
    levels = Levels.of(SCHEDULE, 4)
    seen = []

    def turns(n):
        for i in range(n):
            seen.append((i, n))
            yield i

    pairs = list(levels.walk(turns))
    assert seen == [(i, 4) for i in range(4)]
    assert [now for now, _ in pairs] == list(levels.levels[:-1])
    assert [then for _, then in pairs] == list(levels.levels[1:])


def test_strength_keeps_the_last_steps():
    levels = Levels.of(SCHEDULE, 50)
    assert levels.last_part(1) == levels
    assert levels.last_part(0.3).levels == levels.levels[35:]
    assert len(Levels.of(SCHEDULE, 10).last_part(0.7)) == 7  # .7 · 10 is 6.999… in floating point
    for strength in (0, 0.01, 1.2):
        with pytest.raises(ValueError, match="strength"):
            levels.last_part(strength)


def test_infinite_sigma_becomes_finite_on_request():
    levels = Levels.of(SCHEDULE.with_zero_terminal_snr("v"), 10, "trailing")
    assert math.isinf(levels.start.sigma)
    assert levels.finite().start.sigma == 4096
    assert levels.finite().levels[1:] == levels.levels[1:]
    assert Levels.of(SCHEDULE.with_zero_terminal_snr("v"), 10, "karras").start.sigma == pytest.approx(4096)


@pytest.mark.parametrize("steps", range(1, 61))
def test_each_programs_spacing_is_its_own_at_every_number_of_steps(steps):
    """diffusers by itself; latent-diffusion, k-diffusion and A1111's web UI by the definitions in their repositories.

    CompVis, ldm/modules/diffusionmodules/util.py, make_ddim_timesteps; k-diffusion, external.py, get_sigmas and t_to_sigma; A1111,
    modules/sd_samplers_timesteps.py, get_timesteps, of which ddim() walks all but the first.
    """
    theirs = diffusers.DDIMScheduler(timestep_spacing="leading", steps_offset=1, **DIFFUSERS)
    theirs.set_timesteps(steps)
    assert timesteps(steps, "diffusers") == theirs.timesteps.tolist()

    compvis = [t + 1 for t in range(0, 1000, 1000 // steps)]
    if compvis[-1] < 1000:
        assert timesteps(steps, "ldm") == compvis[::-1]
    else:  # CompVis' own code ends with an IndexError here
        with pytest.raises(ValueError, match="reaches past"):
            Levels.of(SCHEDULE, steps, "ldm")

    log_sigmas = SCHEDULE.sigmas.double().log()
    t = torch.linspace(999, 0, steps, dtype=torch.float64)
    between = log_sigmas[t.floor().long()].lerp(log_sigmas[t.ceil().long()], t.frac())
    ours = Levels.of(SCHEDULE, steps, "k_diffusion")
    torch.testing.assert_close(
        torch.tensor([level.sigma for level in ours.levels], dtype=torch.float64),
        torch.cat([between.exp(), torch.zeros(1, dtype=torch.float64)]),
        rtol=1e-6,
        atol=0,
    )
    assert torch.equal(ours.prior(torch.ones(1)), torch.full((1,), ours.start.noise))

    if len(compvis) > 1:
        web = Levels.of(SCHEDULE, steps, "a1111", end="t0")
        assert [level.t for level in web.levels] == [min(t, 999) for t in compvis[::-1]]
        assert len(web) == len(compvis) - 1
    else:
        with pytest.raises(ValueError, match="use 'diffusers'"):
            Levels.of(SCHEDULE, steps, "a1111")
