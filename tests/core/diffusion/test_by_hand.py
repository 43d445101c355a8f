"""Noise levels by hand and align-your-steps against diffusers and ComfyUI, and churn against k-diffusion's algorithm."""

from __future__ import annotations

import diffusers
import numpy as np
import pytest
import torch
from diffusers.schedulers import AysSchedules
from solver_oracles import run_churned, seeded
from toy_denoisers import SHAPE, two_modes

from core.diffusion.edm import EDM
from core.diffusion.flow import RectifiedFlow
from core.diffusion.levels import Levels
from core.diffusion.schedule import NoiseSchedule
from core.diffusion.solvers import SOLVERS
from core.diffusion.solvers.churn import Churn

SD = NoiseSchedule.linear(start=0.00085, end=0.012)
NOISE = seeded(1)(torch.empty(SHAPE))
CHURNING = [name for name, solver in SOLVERS.items() if solver.churns]

pytestmark = [  # diffusers still calls numpy in its old way
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning"),
]


def run(solver: str, levels: Levels, process=SD, **options):
    return SOLVERS[solver](two_modes(process), levels.prior(NOISE), levels, draw=seeded(), **options)


def theirs(scheduler, process, **grid):
    """A scheduler of diffusers at levels by hand, from the same noise."""
    scheduler.set_timesteps(**grid)
    denoise = two_modes(process)
    x = NOISE * scheduler.init_noise_sigma if hasattr(scheduler, "init_noise_sigma") else NOISE * scheduler.sigmas[0]
    for t in scheduler.timesteps:
        seen = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        x = scheduler.step(denoise(seen, t.repeat(len(x)).float()), t, x).prev_sample
    return x


def betas(**config):
    return {"trained_betas": list(SD.betas), "num_train_timesteps": 1000, **config}


SIGMAS = [14.6146, 9.0, 4.5, 3.9, 1.2, 0.31, 0.05, 0.0]


def test_sigmas_by_hand_are_sampled_as_diffusers_does() -> None:
    scheduler = diffusers.EulerDiscreteScheduler(**betas(timestep_spacing="leading"))  # begins with unit variance
    wanted = theirs(scheduler, SD, sigmas=SIGMAS)
    torch.testing.assert_close(run("euler", Levels.by_hand(SD, SIGMAS)), wanted, atol=1e-4, rtol=0)


def test_timesteps_by_hand_are_sampled_as_diffusers_does() -> None:
    timesteps = [999, 700, 333, 180, 20]
    scheduler = diffusers.HeunDiscreteScheduler(**betas(timestep_spacing="leading"))
    wanted = theirs(scheduler, SD, timesteps=timesteps)
    sigmas = Levels(SD, (*map(SD.level, timesteps), SD.level_at(0.0))).sigmas()
    torch.testing.assert_close(run("heun", Levels.by_hand(SD, sigmas)), wanted, atol=1e-4, rtol=0)


def test_levels_of_a_flow_by_hand_are_sampled_as_diffusers_does() -> None:
    process = RectifiedFlow()
    hand = [1.0, 0.8, 0.55, 0.3, 0.07]
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    wanted = theirs(scheduler, process, sigmas=hand)
    levels = Levels.by_hand(process, [*hand, 0.0])
    torch.testing.assert_close(run("euler", levels, process), wanted, atol=1e-4, rtol=0)
    assert levels.sigmas() == pytest.approx([*hand, 0.0])


@pytest.mark.parametrize("process", [SD, SD.with_zero_terminal_snr("v"), RectifiedFlow(shift=3.0), EDM()])
@pytest.mark.parametrize("spacing", ["trailing", "karras"])
def test_a_spacing_by_hand_is_the_spacing(process, spacing: str) -> None:
    levels = SOLVERS["euler"].levels(process, 9, spacing)
    again = Levels.by_hand(process, levels.sigmas())
    assert [level.t for level in again.levels] == pytest.approx([level.t for level in levels.levels], abs=1e-3)
    torch.testing.assert_close(
        run("euler", again, process), run("euler", levels, process), atol=2e-4, rtol=1e-4
    )  # t goes there and back through its table


@pytest.mark.parametrize(
    ("sigmas", "said"),
    [
        ([], "these are none"),
        ([1.0], "two or more numbers"),
        ([1.0, 2.0], "each smaller than the one before it"),
        ([1.0, 1.0], "each smaller"),
        ([1.0, -1.0], "down to 0"),
        ([float("inf"), 1.0], "numbers"),
        ([float("nan"), 1.0], "numbers"),
        ([80.0, 20.0, 0.0], "are 14.6145 at most, and 20 is the second"),
    ],
)
def test_sigmas_that_are_no_walk_are_refused(sigmas: list[float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Levels.by_hand(SD, sigmas)


def test_below_the_most_noise_it_begins_with_the_noise_alone_as_in_k_diffusion() -> None:
    levels = Levels.by_hand(SD, [5.0, 1.0, 0.0])
    assert torch.equal(levels.prior(NOISE), levels.start.noise * NOISE)
    assert torch.equal(Levels.by_hand(SD, [15.0, 1.0, 0.0]).prior(NOISE), NOISE)


@pytest.mark.parametrize(
    ("spacing", "timesteps"), [("ays_sd", "StableDiffusionTimesteps"), ("ays_sdxl", "StableDiffusionXLTimesteps")]
)
def test_ten_steps_of_align_your_steps_are_the_published_timesteps(spacing, timesteps: str) -> None:
    levels = Levels.of(SD, 10, spacing)
    published = AysSchedules[timesteps]
    assert [level.t for level in levels.levels[:-1]] == published
    scheduler = diffusers.DPMSolverMultistepScheduler(**betas())
    torch.testing.assert_close(run("dpmpp_2m", levels), theirs(scheduler, SD, timesteps=published), atol=1e-4, rtol=0)
    for steps in (4, 7, 10, 23, 40):  # ComfyUI's: even in log sigma, the last replaced by 0
        sigmas = Levels.of(SD, steps, spacing).sigmas()
        ten = [*Levels.of(SD, 10, spacing).sigmas()[:-1], SD.level(0).sigma]
        wanted = np.exp(np.interp(np.linspace(0, 1, steps + 1), np.linspace(0, 1, 11), np.log(ten)))
        assert sigmas == pytest.approx([*wanted[:-1], 0.0], rel=1e-5)


def test_the_video_levels_reach_where_the_process_does() -> None:
    process = EDM(sigma_min=0.002, sigma_max=700.0)
    assert Levels.of(process, 10, "ays_svd").sigmas() == pytest.approx(
        [*AysSchedules["StableDiffusionVideoSigmas"][:-1], 0.0]
    )


@pytest.mark.parametrize("numbers", [(10.0,), (30.0, 0.1, 8.0, 1.003), (80.0, 0.0, 50.0, 0.9)])
@pytest.mark.parametrize("steps", [5, 18, 33])
@pytest.mark.parametrize("name", CHURNING)
def test_churn_is_k_diffusions(name: str, steps: int, numbers: tuple[float, ...]) -> None:
    levels = SOLVERS[name].levels(SD, steps, "karras")
    churn = Churn.of(numbers, len(levels))
    found = run(name, levels, churn=churn)
    s_churn, s_tmin, s_tmax, s_noise = (*numbers, *(0.0, float("inf"), 1.0)[len(numbers) - 1 :])
    wanted = run_churned(name, SD, two_modes(SD), NOISE, steps, s_churn, s_tmin, s_tmax, s_noise)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)
    assert (found - run(name, levels)).abs().max() > 1e-2
    assert churn.draws(levels.levels[:-1]) > 0


@pytest.mark.parametrize("name", CHURNING)
def test_no_churn_is_no_churn(name: str) -> None:
    levels = SOLVERS[name].levels(SD, 6)
    assert torch.equal(run(name, levels), run(name, levels, churn=Churn.of([0.0], 6)))


def test_churn_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="'ddim' has no churn; leave churn empty, or choose euler, heun, dpm2"):
        run("ddim", SOLVERS["ddim"].levels(SD, 4), churn=Churn(0.1))
    flow = RectifiedFlow()
    with pytest.raises(ValueError, match="RectifiedFlow is not solved in"):
        run("euler", SOLVERS["euler"].levels(flow, 4), flow, churn=Churn(0.1))
    for numbers in ([], [1, 2, 3, 4, 5], [-1]):
        with pytest.raises(ValueError, match="churn is one to four numbers of 0 or more"):
            Churn.of(numbers, 4)
