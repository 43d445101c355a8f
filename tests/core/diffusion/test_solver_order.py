"""Convergence on a Gaussian, whose probability flow is known, and the distribution that stochastic solvers reach."""

import math

import numpy as np
import pytest
import torch
from solver_oracles import seeded
from toy_denoisers import gaussian, gaussian_flow

from core.diffusion.levels import Levels
from core.diffusion.schedule import NoiseSchedule
from core.diffusion.solvers import SOLVERS, sample
from core.diffusion.solvers.karras import adams_bashforth, ancestral
from core.diffusion.solvers.sa import sa_solver
from core.diffusion.solvers.unipc import unipc

SCHEDULE = NoiseSchedule.linear()
DENOISE = gaussian(SCHEDULE)
NOISE = seeded(2)(torch.empty(1, 2, 4, 4, dtype=torch.float64))


def even(steps, tiny_last_step=False):
    """Levels even in log sigma, from 10 to 0.05."""
    sigmas = np.exp(np.linspace(math.log(10), math.log(0.05), steps + 1)).tolist()
    if tiny_last_step:
        sigmas.append(sigmas[-1] * (1 - 1e-5))
    return Levels(SCHEDULE, tuple(SCHEDULE.level_at(sigma) for sigma in sigmas))


def error(solver, levels):
    result = solver(DENOISE, NOISE, levels)
    return (result - gaussian_flow(NOISE, levels.start, levels.end)).abs().max().item()


def without_noise(name):
    solver = SOLVERS[name]
    return lambda *args: solver(*args, eta=None if solver.eta is None else 0.0)


OTHERS = ("ddpm", "lcm", "tcd", "ddim_inversion", "lms", "unipc", "dpmpp_3m", "dpmpp_3m_sde", "sa_solver")
ODE_SOLVERS = [name for name in SOLVERS if name not in OTHERS]


@pytest.mark.parametrize("name", ODE_SOLVERS)
def test_halving_the_steps_divides_the_error_by_two_to_the_order(name):
    solver = without_noise(name)
    measured = math.log2(error(solver, even(80)) / error(solver, even(160)))
    assert measured == pytest.approx(SOLVERS[name].order, abs=0.1)


def test_lms_is_better_than_third_order_until_its_first_steps_dominate():
    """k-diffusion starts it with orders 1, 2, 3: a tail of second order; the weights themselves are of fourth."""
    solver = without_noise("lms")
    assert math.log2(error(solver, even(20)) / error(solver, even(80))) / 2 > 3
    nodes, end = [2.0, 2.5, 3.3, 4.1], 1.7
    for power in range(4):
        exact = (end ** (power + 1) - nodes[0] ** (power + 1)) / (power + 1)
        assert sum(w * x**power for w, x in zip(adams_bashforth(nodes, end), nodes, strict=True)) == pytest.approx(
            exact
        )


@pytest.mark.parametrize("name", ["dpmpp_3m", "dpmpp_3m_sde"])
def test_third_order_is_better_than_second_until_its_first_steps_dominate(name):
    """They start with orders 1 and 2, whose errors remain."""
    assert error(without_noise(name), even(40)) < error(SOLVERS["dpmpp_2m"], even(40)) / 2


@pytest.mark.parametrize(("order", "reached"), [(1, 1.9), (2, 2.9), (3, 3.3)])
def test_unipc_gains_an_order_by_its_corrector(order, reached):
    """Its last step, without corrector and of first order, is made tiny here (it is exact where it ends at z0).

    UniPC-3 starts with lower orders, whose errors remain: it reaches more than 3, not 4.
    """

    def solver(*args):
        return unipc(*args, order=order)

    measured = math.log2(error(solver, even(40, True)) / error(solver, even(160, True))) / 2
    assert measured > reached


@pytest.mark.parametrize(("predictor", "corrector", "reached"), [(1, 1, 0.9), (2, 2, 1.9), (2, 3, 2.4), (3, 4, 3.0)])
def test_sa_solver_has_its_predictors_order_and_more_by_its_corrector(predictor, corrector, reached):
    """Its last step is without corrector, and is made tiny here; without noise, as tau 0."""

    def solver(*args):
        return sa_solver(*args, predictor=predictor, corrector=corrector, lower_final=False, eta=0.0)

    assert math.log2(error(solver, even(40, True)) / error(solver, even(160, True))) / 2 > reached


def test_ddim_inversion_is_first_order():
    def inversion_error(steps):
        levels = even(steps)
        z0 = gaussian_flow(NOISE, levels.start, levels.end)
        return (SOLVERS["ddim_inversion"](DENOISE, z0, levels) - NOISE).abs().max().item()

    assert math.log2(inversion_error(80) / inversion_error(160)) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("name", [name for name in SOLVERS if SOLVERS[name].stochastic and name not in ("lcm", "tcd")])
def test_stochastic_solvers_reach_the_datas_distribution(name):
    """N(.7, .5²) from 20,000 numbers in 400 steps: statistical error .004 of the mean, .0025 of the deviation.

    The first-order ones narrow it by .017 (by .037 in 100 steps).
    """
    noise = seeded(3)(torch.empty(2, 1, 100, 100))
    z = sample(DENOISE, noise, SCHEDULE, name, steps=400, eta=1.0 if name != "ddpm" else None, draw=seeded(4))
    assert z.mean() == pytest.approx(0.7, abs=0.015)
    assert z.std() == pytest.approx(0.5, abs=0.02)


def test_ancestral_steps_arrive_at_the_next_level():
    for eta in (0.0, 0.5, 1.0):
        down, up = ancestral(3.0, 2.0, eta)
        assert down**2 + up**2 == pytest.approx(4)
    assert ancestral(3.0, 2.0, 0.0) == (2.0, 0.0)
    assert ancestral(3.0, 0.0) == (0.0, 0.0)
