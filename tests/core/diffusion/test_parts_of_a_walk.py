"""A walk in two parts: the first ends early, the last goes on from its latent."""

import pytest
import torch
from solver_oracles import seeded
from toy_denoisers import SHAPE, two_modes

from core.diffusion.edm import EDM
from core.diffusion.flow import RectifiedFlow
from core.diffusion.levels import Levels
from core.diffusion.schedule import NoiseSchedule
from core.diffusion.solvers import SOLVERS

NOISE = seeded(1)(torch.empty(SHAPE))
STEPS, CUT = 12, 7
PROCESSES = [NoiseSchedule.linear(), NoiseSchedule.linear().with_zero_terminal_snr("v"), RectifiedFlow(), EDM()]


def both(name, process, denoise, draws=seeded):
    """The latent of a whole walk, and that of the same in two parts."""
    solver = SOLVERS[name]
    levels = solver.levels(process, STEPS)
    start = process.prior(NOISE, levels.start)
    eta = 0.0 if solver.history > 1 and solver.stochastic else None
    whole = solver(denoise, start, levels, draw=draws(), eta=eta)
    draw = draws()  # goes on from part to part
    between = solver(denoise, start, levels.part(0, CUT), draw=draw, eta=eta)
    return whole, solver(denoise, between, levels.part(CUT), draw=draw, eta=eta)


@pytest.mark.parametrize("process", PROCESSES, ids=["betas", "zero terminal SNR", "flow", "EDM"])
@pytest.mark.parametrize("name", sorted(set(SOLVERS) - {"ddim_inversion"}))
def test_two_parts_are_the_whole(name, process):
    solver = SOLVERS[name]
    if solver.by_timestep and not isinstance(process, NoiseSchedule):
        pytest.skip("of schedules of betas only")
    whole, parts = both(name, process, two_modes(process))
    between = solver.levels(process, STEPS).part(0, CUT).end
    own = {"ddim": NoiseSchedule, "ddpm": NoiseSchedule, "lcm": NoiseSchedule, "tcd": NoiseSchedule}
    own |= dict.fromkeys(("euler", "heun", "dpm2"), RectifiedFlow)
    own_scale = isinstance(process, own.get(name, ()))
    assert between.noise > 0
    if solver.history == 1 and own_scale:
        assert torch.equal(parts, whole)
    elif solver.history == 1:
        torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-5 * float(whole.abs().max()))
    else:  # it begins anew, with a step or two of a lower order
        assert (parts - whole).norm() < 0.25 * whole.norm()


@pytest.mark.parametrize(
    "name", ["ddpm", "euler_ancestral", "dpmpp_2s_ancestral", "dpmpp_sde", "dpmpp_2m_sde", "lcm", "tcd", "sa_solver"]
)
def test_a_solver_draws_as_often_as_it_says(name):
    drawn = []

    def draw(like):
        drawn.append(1)
        return torch.zeros_like(like)

    process = NoiseSchedule.linear()
    levels = SOLVERS[name].levels(process, STEPS).part(0, CUT)
    SOLVERS[name](two_modes(process), NOISE, levels, draw=draw)
    assert len(drawn) == CUT * SOLVERS[name].draws


def test_parts_that_are_none_are_refused():
    levels = Levels.of(NoiseSchedule.linear(), STEPS)
    assert len(levels.part(0)) == STEPS
    assert levels.part(3, 5).levels == levels.levels[3:6]
    for start, end in ((3, 3), (5, 3), (-1, 3), (0, STEPS + 1), (STEPS, None)):
        with pytest.raises(ValueError, match=f"there is no part of {STEPS} steps: the start must lie before the end"):
            levels.part(start, end)
