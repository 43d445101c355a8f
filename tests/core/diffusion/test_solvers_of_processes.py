"""Every solver on every process: where it ends, how fast it converges, how it goes back, and who is refused."""

import math
from itertools import pairwise, product

import pytest
import torch
from solver_oracles import seeded
from torch._subclasses.fake_tensor import FakeTensorMode
from toy_denoisers import SHAPE, gaussian, gaussian_flow, two_modes

from core.diffusion import guidance
from core.diffusion.edm import EDM
from core.diffusion.flow import RectifiedFlow
from core.diffusion.levels import SPACINGS, Levels
from core.diffusion.parametrisation import X0
from core.diffusion.schedule import NoiseSchedule
from core.diffusion.solvers import SOLVERS, sample
from core.diffusion.spacings import BY_TIMESTEP, COMFYUI
from tests.outside.package.loom_outside.cosine_flow import CosineFlow

NOISE = seeded(1)(torch.empty(SHAPE))
PROCESSES = [RectifiedFlow(), RectifiedFlow(shift=3.0), RectifiedFlow(parametrisation="x0"), EDM(), EDM(sigma_data=0.5)]
PROCESSES.append(CosineFlow())
every_process = pytest.mark.parametrize("process", PROCESSES, ids=lambda each: f"{type(each).__name__}-{each.predicts}")
DEFINED = [name for name in SOLVERS if not SOLVERS[name].by_timestep and name != "ddim_inversion"]


def run(process, name, z=None, denoise=None, steps=8, draw=None, spacing=None, **options):
    solver = SOLVERS[name]
    levels = solver.levels(process, steps, spacing)
    z = process.prior(NOISE if z is None else z, levels.start)
    return solver(denoise or two_modes(process), z, levels, draw=draw or seeded(), **options)


@every_process
@pytest.mark.parametrize("name", DEFINED)
def test_it_reaches_the_datas_distribution(process, name):
    """N(.7, .5²) from 20,000 numbers in 120 steps; first-order solvers that add noise narrow it by .04."""
    noise = seeded(3)(torch.empty(2, 1, 100, 100))
    z = run(process, name, noise, gaussian(process), steps=120, draw=seeded(4))
    assert z.mean().item() == pytest.approx(0.7, abs=0.03)
    assert z.std().item() == pytest.approx(0.5, abs=0.06)


@every_process
def test_all_spacings_that_are_defined_lead_to_the_data(process):
    for spacing in SPACINGS:
        if spacing in BY_TIMESTEP:
            with pytest.raises(ValueError, match=f"which {type(process).__name__} has not: choose one of trailing"):
                Levels.of(process, 10, spacing)
        elif spacing in COMFYUI and not isinstance(process, RectifiedFlow):
            with pytest.raises(ValueError, match="ComfyUI's schedulers are for schedules of betas and for flows, not"):
                Levels.of(process, 10, spacing)
        else:
            z = run(process, "dpmpp_2m", steps=30, spacing=spacing)
            assert 0.5 < z.abs().mean() < 1.3
            assert z.abs().max() < 3.2


@every_process
def test_many_or_few_steps_descend(process):
    for steps, spacing in product((1, 2, 7, 1500), ("trailing", "linspace", "karras", "exponential")):
        levels = Levels.of(process, steps, spacing)  # refuses what does not descend
        assert len(levels) == steps
        assert levels.end.noise == 0
    with pytest.raises(ValueError, match="at 1 or above"):
        Levels.of(process, 0)


@every_process
@pytest.mark.parametrize("name", ["lcm", "tcd"])
def test_the_solvers_for_distilled_models_name_those_that_would_do(process, name):
    with pytest.raises(ValueError, match=f"not for {type(process).__name__}: choose one of ddim, ddpm, .*unipc$"):
        SOLVERS[name].levels(process, 4)


@every_process
def test_zero_steps_of_noise_are_exact_for_data_of_one_point(process):
    """Where z0 is always the same, every ODE solver is exact, in one step and in many."""

    def denoise(z, t):
        return process.from_z0(torch.full_like(z, 0.3), z, t)

    for name in ("ddim", "euler", "heun", "dpm2", "dpmpp_2m", "unipc", "lms"):
        for steps in (1, 5):
            z = run(process, name, denoise=denoise, steps=steps)
            torch.testing.assert_close(z, torch.full(SHAPE, 0.3), atol=2e-3, rtol=0)


@every_process
@pytest.mark.parametrize("name", ["ddim", "euler", "heun", "dpm2", "dpmpp_2m", "dpmpp_2s_ancestral"])
def test_halving_the_steps_divides_the_error_by_two_to_the_order(process, name):
    z = NOISE.double()

    def error(steps):
        sigmas = torch.linspace(math.log(10), math.log(0.05), steps + 1, dtype=torch.float64).exp()
        levels = Levels(process, tuple(process.level_at(sigma) for sigma in sigmas.tolist()))
        eta = {} if SOLVERS[name].eta is None else {"eta": 0.0}
        found = SOLVERS[name](gaussian(process), z, levels, **eta)
        return (found - gaussian_flow(z, levels.start, levels.end)).abs().max().item()

    assert math.log2(error(80) / error(160)) == pytest.approx(SOLVERS[name].order, abs=0.15)


@every_process
def test_ddim_undoes_its_inversion(process):
    z0 = 0.7 + 0.5 * NOISE

    def there_and_back(steps):
        levels = SOLVERS["ddim_inversion"].levels(process, steps)
        noise = SOLVERS["ddim_inversion"](gaussian(process), z0, levels)
        assert 0.5 < noise.std() < 1.5
        return (SOLVERS["ddim"](gaussian(process), noise, levels) - z0).abs().max().item()

    falls = 2 if process.predicts == X0 else 4  # which says no eps where the way up begins
    assert there_and_back(400) < there_and_back(40) / falls
    assert there_and_back(400) < 0.1


@every_process
def test_steering_by_the_exact_likelihood_samples_the_posterior(process):
    """z0 ~ N(0, 1), y = z0 + N(0, .5²) = 2: the posterior is N(1.6, .2)."""
    denoise = gaussian(process, mean=0.0, std=1.0)

    def guided(z, t):
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            prediction = denoise(z, t)
            z0 = process.to_z0(prediction, z, t)
            sigma = process.rates(t, like=z)[1] / process.rates(t, like=z)[0].clamp(min=1e-6)
            spread = sigma**2 / (1 + sigma**2)  # variance of z0, given z
            grad = guidance.gradient(-0.5 * ((2.0 - z0) ** 2 / (spread + 0.25)).flatten(1).sum(1), z)
        return guidance.steer(prediction.detach(), grad, t, process)

    z = run(process, "heun", seeded(4)(torch.empty(4, 1, 40, 40)), guided, steps=60, spacing="karras")
    assert z.mean().item() == pytest.approx(1.6, abs=0.04)
    assert z.std().item() == pytest.approx(0.2**0.5, abs=0.03)


@every_process
@pytest.mark.parametrize("name", ["ddim", "euler", "dpmpp_sde"])
def test_inpainting_keeps_where_the_mask_is_one(process, name):
    known, mask = torch.full(SHAPE, 5.0), torch.zeros(1, 1, 4, 4)
    mask[..., :2] = 1
    z = run(process, name, denoise=guidance.inpainting(two_modes(process), known, seeded(6)(NOISE), mask, process))
    torch.testing.assert_close(z[..., :2], known[..., :2], atol=5e-3, rtol=0)
    assert z[..., 2:].abs().max() < 3.2


@every_process
def test_a_dry_run_goes_round_once_and_dtypes_are_kept(process):
    with FakeTensorMode():
        assert run(process, "dpmpp_2m", torch.randn(SHAPE), turns=lambda n: range(1)).shape == SHAPE
    for dtype in (torch.bfloat16, torch.float64):
        z = run(process, "heun", NOISE.to(dtype))
        assert z.dtype == dtype
        assert z.isfinite().all()


@every_process
def test_the_denoiser_is_told_the_process_own_time(process):
    asked = []

    def denoise(z, t):
        asked.append(t)
        return two_modes(process)(z, t)

    sample(denoise, NOISE, process, "dpm2", steps=6)
    assert all(t.shape == (2,) for t in asked)
    assert asked[0][0].item() == pytest.approx(process.last)
    assert all(a[0] >= b[0] for a, b in pairwise(asked))


@pytest.mark.parametrize("spacing", ["leading", "linspace", "karras"])
def test_inversion_of_x0_begins_without_noise_too(spacing):
    """There z0 alone says no eps; by betas this was NaN."""
    process = NoiseSchedule.linear(parametrisation="x0")
    levels = SOLVERS["ddim_inversion"].levels(process, 60, spacing)
    noise = SOLVERS["ddim_inversion"](gaussian(process), 0.7 + 0.5 * NOISE, levels)
    assert 0.5 < noise.std() < 1.5
