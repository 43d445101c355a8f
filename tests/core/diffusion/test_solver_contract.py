"""What holds for every solver: dtype, evaluations, the caller's loop, dry runs, zero terminal SNR, no hidden state."""

import pytest
import torch
from solver_oracles import seeded
from torch._subclasses.fake_tensor import FakeTensorMode
from toy_denoisers import SHAPE, two_modes

from core.diffusion.schedule import NoiseSchedule
from core.diffusion.solvers import SOLVERS, sample

SCHEDULE = NoiseSchedule.linear()
NOISE = seeded(1)(torch.empty(SHAPE))
every_solver = pytest.mark.parametrize("name", SOLVERS)


DATA = (1.5 * torch.linspace(0.2, 1, 48).reshape(1, 3, 4, 4)).expand(SHAPE)  # a mode of what two_modes knows


def run(name, denoise, z=None, schedule=SCHEDULE, steps=8, **options):
    if z is None:
        z = DATA if name == "ddim_inversion" else NOISE
    return sample(denoise, z, schedule, name, steps=steps, draw=seeded(), **options)


@every_solver
def test_evaluations_are_those_of_the_table(name):
    asked = []
    exact = two_modes(SCHEDULE)

    def denoise(z, t):
        asked.append(t)
        return exact(z, t)

    run(name, denoise)
    solver = SOLVERS[name]
    extra = 1 if name == "plms" else -1 if solver.evaluations == 2 else 0  # a last step to z0 needs no second stage
    assert len(asked) == 8 * solver.evaluations + extra
    for t in asked:
        assert t.shape == (2,)
        assert t.dtype == torch.float32
        assert 0 <= t[0] <= 999


@every_solver
def test_the_callers_loop_turns_once_a_step_and_can_stop_it(name):
    turned = []

    def turns(n):
        for i in range(n):
            if i == 3:
                raise KeyboardInterrupt
            turned.append((i, n))
            yield i

    with pytest.raises(KeyboardInterrupt):
        run(name, two_modes(SCHEDULE), turns=turns)
    assert turned == [(0, 8), (1, 8), (2, 8)]


@every_solver
def test_a_run_leaves_nothing_behind_and_its_input_alone(name):
    before = NOISE.clone()
    first = run(name, two_modes(SCHEDULE))
    again = run(name, two_modes(SCHEDULE))
    assert torch.equal(first, again)
    assert torch.equal(NOISE, before)


@every_solver
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_dtype_is_kept(name, dtype):
    z = run(name, two_modes(SCHEDULE), (DATA if name == "ddim_inversion" else NOISE).to(dtype))
    assert z.dtype == dtype
    assert z.isfinite().all()


@every_solver
def test_it_runs_where_its_input_is(name):
    """A device without values refuses tensors of another one, and any read-back of a value."""

    def denoise(z, t):
        return SCHEDULE.from_z0(z, z, t)

    z = sample(denoise, torch.empty(SHAPE, device="meta"), SCHEDULE, name, steps=6)
    assert z.device.type == "meta"


@every_solver
def test_dry_run_goes_round_once_on_fake_tensors(name):
    with FakeTensorMode():
        z = sample(two_modes(SCHEDULE), torch.randn(SHAPE), SCHEDULE, name, turns=lambda n: range(1))
    assert z.shape == SHAPE


@every_solver
@pytest.mark.parametrize("parametrisation", ["v", "x0"])
def test_zero_terminal_snr_stays_finite(name, parametrisation):
    schedule = SCHEDULE.with_zero_terminal_snr(parametrisation)
    z = run(name, two_modes(schedule), schedule=schedule, spacing="trailing")
    assert z.isfinite().all()
    assert z.abs().max() < 10


@every_solver
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace", "karras", "exponential"])
def test_every_solver_walks_every_spacing_to_the_data(name, spacing):
    """The data are ±m + .4·n with |m| ≤ 1.5: whatever the levels, the result is near one of the modes."""
    z = run(name, two_modes(SCHEDULE), spacing=spacing, steps=30)
    if name == "ddim_inversion":
        assert z.abs().max() < 2  # a mode's centre comes from likely noise
    elif name == "dpmpp_3m_sde" and spacing in ("leading", "linspace"):
        assert z.abs().mean() < 3  # k-diffusion's overshoots where the last steps are the longest in log sigma
    else:
        assert 0.5 < z.abs().mean() < 1.3
        assert z.abs().max() < 3.2


@every_solver
def test_noise_is_drawn_only_where_the_table_says(name):
    drawn = []

    def draw(like):
        drawn.append(like)
        return torch.zeros_like(like)

    solver = SOLVERS[name]
    levels = solver.levels(SCHEDULE, 8)
    solver(two_modes(SCHEDULE), NOISE, levels, draw=draw)
    expected = solver.stochastic and solver.eta != 0
    assert bool(drawn) == expected
    if solver.eta is not None:
        drawn.clear()
        solver(two_modes(SCHEDULE), NOISE, levels, draw=draw, eta=0.0)
        assert not drawn
