"""Schedules: betas against diffusers, forward process and parametrisations in accord, tables on any device."""

import json
import math

import diffusers
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from core.diffusion.kinds import from_dict
from core.diffusion.process import SIGMA_LIMIT
from core.diffusion.schedule import PARAMETRISATIONS, NoiseSchedule

SD = {"start": 0.00085, "end": 0.012}


@pytest.mark.parametrize(
    ("ours", "name", "settings"),
    [
        (NoiseSchedule.linear(), "scaled_linear", {"beta_start": 0.0015, "beta_end": 0.0195}),
        (NoiseSchedule.linear(**SD), "scaled_linear", {"beta_start": 0.00085, "beta_end": 0.012}),
        (NoiseSchedule.plain_linear(), "linear", {"beta_start": 1e-4, "beta_end": 2e-2}),
        (NoiseSchedule.cosine(), "squaredcos_cap_v2", {}),
        (
            NoiseSchedule.linear(**SD).with_zero_terminal_snr(),
            "scaled_linear",
            {"beta_start": 0.00085, "beta_end": 0.012, "rescale_betas_zero_snr": True},
        ),
    ],
)
def test_betas_equal_diffusers(ours, name, settings):
    """Tolerance: diffusers multiplies 1000 float32 factors, we float64 ones; rescaling there and back costs it more."""
    theirs = diffusers.DDIMScheduler(beta_schedule=name, **settings)
    atol = 1e-5 if "rescale_betas_zero_snr" in settings else 2e-7
    torch.testing.assert_close(torch.tensor(ours.betas), theirs.betas, atol=atol, rtol=1e-5)
    torch.testing.assert_close(ours.alphas_cumprod, theirs.alphas_cumprod, atol=2e-7, rtol=1e-4)


def test_zero_terminal_snr_ends_in_pure_noise_and_keeps_the_first_level():
    plain = NoiseSchedule.linear(**SD)
    zero = plain.with_zero_terminal_snr("v")
    assert zero.betas[-1] == 1
    assert zero.alphas_cumprod[-1] == 0
    assert zero.level(999).signal == 0
    assert zero.level(999).noise == 1
    assert math.isinf(zero.sigma(999))
    assert zero.level(0).sigma == pytest.approx(plain.level(0).sigma, rel=1e-9)
    assert zero.level(998.5).sigma < SIGMA_LIMIT
    with pytest.raises(ValueError, match="use parametrisation 'v'"):
        plain.with_zero_terminal_snr("eps")


@pytest.mark.parametrize(
    ("betas", "parametrisation"),
    [((0.1, 0.2), "epsilon"), ((0.1,), "eps"), ((0.1, 1.0, 0.2), "v"), ((0.0, 0.1), "eps")],
)
def test_bad_schedules_are_refused(betas, parametrisation):
    with pytest.raises(ValueError, match=r"parametrisation must be one of|betas must be"):
        NoiseSchedule(betas, parametrisation)


def test_json_round_trip_gives_an_equal_value():
    schedule = NoiseSchedule.cosine(steps=50, parametrisation="v")
    again = from_dict(json.loads(json.dumps(schedule.to_dict())))
    assert again == schedule
    assert hash(again) == hash(schedule)
    assert again != schedule.with_parametrisation("eps")
    with pytest.raises(ValueError, match="fields"):
        from_dict({"betas": [0.1, 0.2]})


timesteps = st.one_of(st.integers(0, 999), st.floats(0, 999))


@settings(max_examples=60, deadline=None)
@given(parametrisation=st.sampled_from(PARAMETRISATIONS), t=timesteps, as_tensor=st.booleans(), seed=st.integers(0, 99))
def test_the_target_of_noised_latents_reads_back_as_z0_and_noise(parametrisation, t, as_tensor, seed):
    """to_z0 and to_eps invert add_noise + target at any t (division by √ᾱ ≥ .01 in float64)."""
    schedule = NoiseSchedule.linear(parametrisation=parametrisation)
    z0, noise = torch.randn(2, 2, 3, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    t = torch.tensor([t, t]) if as_tensor else t
    z, prediction = schedule.add_noise(z0, noise, t), schedule.target(z0, noise, t)
    torch.testing.assert_close(schedule.to_z0(prediction, z, t), z0, atol=1e-9, rtol=0)
    torch.testing.assert_close(schedule.to_eps(prediction, z, t), noise, atol=1e-9, rtol=0)
    torch.testing.assert_close(schedule.from_z0(z0, z, t), prediction, atol=1e-9, rtol=0)


@pytest.mark.parametrize("schedule", [NoiseSchedule.linear(), NoiseSchedule.linear().with_zero_terminal_snr("v")])
def test_numbers_and_tensors_of_any_kind_agree(schedule):
    z0, noise = torch.randn(2, 3, 4, 5, 5)
    for t in (0, 500, 999, 0.25, 500.5, 998.75):
        z = schedule.add_noise(z0, noise, t)
        signal, sigma = schedule.level(t).signal, schedule.level(t).noise
        assert signal**2 + sigma**2 == pytest.approx(1)
        torch.testing.assert_close(z, signal * z0 + sigma * noise)
        as_float = torch.full((3,), float(t), dtype=torch.float64)
        torch.testing.assert_close(schedule.add_noise(z0, noise, as_float), z)
        if t == int(t):
            torch.testing.assert_close(schedule.add_noise(z0, noise, torch.full((3,), t)), z)
        torch.testing.assert_close(schedule.snr(as_float), torch.full((3,), schedule.snr(t), dtype=torch.float64))
        torch.testing.assert_close(schedule.sigma(as_float), torch.full((3,), schedule.sigma(t), dtype=torch.float64))


def test_each_sample_has_its_own_timestep():
    schedule = NoiseSchedule.linear()
    z0, noise = torch.randn(2, 3, 4, 5, 5)
    t = torch.tensor([3, 400, 990])
    z = schedule.add_noise(z0, noise, t)
    for i in range(3):
        torch.testing.assert_close(z[i], schedule.add_noise(z0[i], noise[i], int(t[i])))


@given(sigma=st.floats(0.04, 13))
def test_fractional_timesteps_invert_sigma(sigma):
    schedule = NoiseSchedule.linear(**SD)
    level = schedule.level_at(sigma)
    assert level.sigma == sigma
    assert schedule.level(level.t).sigma == pytest.approx(sigma, rel=1e-9)


def test_timesteps_outside_the_schedule_are_refused():
    with pytest.raises(ValueError, match="run from 0 to 999"):
        NoiseSchedule.linear().level(1000)


def test_half_precision_keeps_its_dtype():
    schedule = NoiseSchedule.linear(parametrisation="v")
    z0, noise = torch.randn(2, 2, 4, 3, 3, dtype=torch.bfloat16)
    t = torch.tensor([10, 900])
    for result in (schedule.add_noise(z0, noise, t), schedule.target(z0, noise, t), schedule.to_z0(noise, z0, t)):
        assert result.dtype == torch.bfloat16


def test_tables_follow_the_tensors_device():
    schedule = NoiseSchedule.linear()
    z0 = torch.empty(2, 4, 8, 8, device="meta")
    for t in (torch.tensor([1, 2], device="meta"), torch.tensor([1.5, 2], device="meta"), 3):
        assert schedule.add_noise(z0, z0, t).device.type == "meta"
    assert {device.type for device, _ in schedule._tables} == {"meta"}


def test_tables_move_once_and_a_dry_run_leaves_nothing_behind():
    schedule = NoiseSchedule.linear()
    with FakeTensorMode():
        fake = schedule.add_noise(torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8), torch.tensor([1, 2]))
    assert fake.shape == (2, 4, 8, 8)
    z0 = torch.ones(2, 4, 8, 8)
    schedule.add_noise(z0, z0, torch.tensor([1, 2]))
    (table,) = schedule._tables.values()
    assert type(table) is torch.Tensor
    schedule.add_noise(z0, z0, torch.tensor([3, 4]))
    assert next(iter(schedule._tables.values())) is table
    with FakeTensorMode():
        schedule.add_noise(torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8), torch.tensor([1, 2]))
    assert next(iter(schedule._tables.values())) is table
