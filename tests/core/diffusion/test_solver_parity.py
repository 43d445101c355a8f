"""Every solver against its oracle, and the published table of them."""

import re

import pytest
import torch
from process_parity import CASES as OTHERS
from solver_oracles import run_diffusers, run_ipndm, seeded
from solver_parity import CASES, NOISE, TABLE, table
from toy_denoisers import two_modes

from core.diffusion.levels import Levels
from core.diffusion.schedule import NoiseSchedule
from core.diffusion.solvers import SOLVERS, sample
from core.diffusion.solvers.unipc import unipc

TOLERANCE = 1e-4
SCHEDULE = NoiseSchedule.linear()

# diffusers still calls numpy in its old way
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning"),
]


def distance(a, b):
    return (a - b).abs().max().item()


@pytest.mark.parametrize(
    ("case", "parametrisation"),
    [(case, p) for case in CASES for p in case.parametrisations],
    ids=lambda value: value if isinstance(value, str) else f"{value.solver}-{value.spacing}-{value.eta}",
)
def test_solver_equals_its_oracle(case, parametrisation):
    schedule = SCHEDULE.with_parametrisation(parametrisation)
    ours, theirs = case.run(schedule, two_modes(schedule))
    assert distance(ours, theirs) <= TOLERANCE


def test_every_solver_has_an_oracle():
    assert {case.solver for case in CASES} == set(SOLVERS)


def test_the_oracles_can_tell_solvers_apart():
    """Over 30 steps the deterministic solvers of one grid differ by far more than the tolerance they are held to."""
    denoise = two_modes(SCHEDULE)
    names = ["euler", "heun", "dpm2", "lms", "dpmpp_2m", "unipc", "plms"]
    results = {n: sample(denoise, NOISE, SCHEDULE, n, steps=30, spacing="trailing") for n in names}
    for a in names:
        for b in names:
            assert a == b or distance(results[a], results[b]) > 3 * TOLERANCE, (a, b)


def test_unipc_of_third_order_equals_diffusers():
    denoise = two_modes(SCHEDULE)
    ours = unipc(denoise, NOISE, Levels.of(SCHEDULE, 30, "trailing"), order=3)
    theirs = run_diffusers(
        "UniPCMultistepScheduler", SCHEDULE, denoise, NOISE, 30, solver_order=3, timestep_spacing="trailing"
    )
    assert distance(ours, theirs) <= TOLERANCE


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 12, 50])
def test_ipndm_equals_diffusers_in_few_and_many_steps(steps):
    denoise = two_modes(SCHEDULE)
    ours = sample(denoise, NOISE, SCHEDULE, "ipndm", steps=steps, spacing="trailing")
    assert distance(ours, run_ipndm(SCHEDULE, denoise, NOISE, steps)) <= TOLERANCE


@pytest.mark.parametrize(
    ("solver", "scheduler", "config"),
    [
        ("euler", "EulerDiscreteScheduler", {}),
        ("euler_ancestral", "EulerAncestralDiscreteScheduler", {"step": {"generator": True}}),
        ("dpmpp_2m", "DPMSolverMultistepScheduler", {}),
        ("unipc", "UniPCMultistepScheduler", {}),
    ],
)
def test_zero_terminal_snr_equals_diffusers(solver, scheduler, config):
    plain = NoiseSchedule.linear(start=0.00085, end=0.012, parametrisation="v")
    zero = plain.with_zero_terminal_snr("v")
    denoise = two_modes(zero)
    ours = sample(denoise, NOISE, zero, solver, steps=30, spacing="trailing", draw=seeded())
    theirs = run_diffusers(
        scheduler, plain, denoise, NOISE, 30, timestep_spacing="trailing", rescale_betas_zero_snr=True, **config
    )
    assert distance(ours, theirs) <= TOLERANCE


def test_the_published_table_is_current():
    """Equal but for the measured errors, which depend on the machine; those are within the tolerance."""

    def without_errors(text):
        return re.sub(r"\| \S+ \|$", "|", text, flags=re.MULTILINE)

    published = TABLE.read_text()
    assert without_errors(published) == without_errors(table())
    errors = [float(e) for e in re.findall(r"\| (\d\S*) \|$", published, flags=re.MULTILINE)]
    assert len(errors) == len(SOLVERS) + len(OTHERS)
    assert max(errors) <= TOLERANCE


def test_oracle_noise_is_ours():
    """What the stochastic cases rest on: a seeded source equals torch's generator of that seed."""
    generator = torch.Generator().manual_seed(5)
    assert torch.equal(seeded(5)(NOISE), torch.randn(NOISE.shape, generator=generator))
