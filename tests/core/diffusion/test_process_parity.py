"""Rectified flow and EDM against diffusers: whole trajectories of a denoiser that is known."""

import diffusers
import pytest
import torch
from process_parity import CASES, EDM_MULTISTEP, FLOW, HEUN, NOISE, PIXELS, Case, run_edm, run_flow
from test_solver_parity import TOLERANCE
from toy_denoisers import two_modes

from core.diffusion.levels import Levels
from core.diffusion.process import SIGMA_LIMIT
from core.diffusion.solvers import SOLVERS


def distance(a, b):
    return (a - b).abs().max().item()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_trajectory_is_diffusers(case):
    ours, theirs = case.run()
    assert distance(ours, theirs) <= TOLERANCE
    assert not torch.allclose(ours, NOISE, atol=0.1)


def test_the_oracles_can_tell_solvers_apart():
    """Over 30 steps they differ by far more than the tolerance they are held to."""
    assert distance(Case("euler", FLOW, HEUN, run_flow, "linspace").run()[0], CASES[0].run()[1]) < TOLERANCE
    for wrong in (
        Case("euler", FLOW, HEUN, run_flow, "linspace"),
        Case("euler", FLOW, CASES[0].oracle, run_flow, "karras"),
        Case("euler", PIXELS, EDM_MULTISTEP, run_edm),
        Case("dpmpp_2m", PIXELS, EDM_MULTISTEP, run_edm, "exponential"),
    ):
        assert distance(*wrong.run()) > 30 * TOLERANCE


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers' use of numpy
@pytest.mark.parametrize(
    ("solver", "scheduler"), [("dpmpp_2m", "DPMSolverMultistepScheduler"), ("unipc", "UniPCMultistepScheduler")]
)
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_multistep_solvers_of_flows_are_diffusers(solver, scheduler, shift):
    """From the level that stands for pure noise here: their polynomials in log sigma need some, and take another."""
    theirs = getattr(diffusers, scheduler)(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift, final_sigmas_type="zero"
    )
    theirs.set_timesteps(30)
    theirs.sigmas[0] = FLOW.level_at(SIGMA_LIMIT).noise
    levels = [FLOW.level(1000 * u) for u in theirs.sigmas.double().tolist()]
    denoise = two_modes(FLOW)
    ours = SOLVERS[solver](denoise, NOISE, Levels(FLOW, tuple(levels)))
    z = NOISE
    for u, t in zip(theirs.sigmas, theirs.timesteps, strict=False):
        z = theirs.step(denoise(z, (1000 * u).repeat(len(z))), t, z).prev_sample
    assert distance(ours, z) <= TOLERANCE
