"""ComfyUI's schedulers against its formulas, written here anew from tables of sigmas alone."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import beta as beta_distribution

from core.diffusion.edm import EDM
from core.diffusion.flow import RectifiedFlow
from core.diffusion.levels import Levels
from core.diffusion.process import Process
from core.diffusion.schedule import NoiseSchedule
from core.diffusion.solvers import SOLVERS, sample
from core.diffusion.spacings import COMFYUI
from tests.effort import THOROUGH

SD = NoiseSchedule.linear(1000, 0.00085, 0.012)
SHIFT = 3.0
BETAS = np.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=np.float64) ** 2
TABLE = np.sqrt((1 - np.cumprod(1 - BETAS)) / np.cumprod(1 - BETAS))


def shifted(u: float) -> float:
    return SHIFT * u / (1 + (SHIFT - 1) * u)


FLOW_TABLE = np.array([shifted(i / 1000) for i in range(1, 1001)])


def between_entries(t: float) -> float:
    """The discrete model sampling's sigma(timestep): its logarithm is linear between entries."""
    low, high = math.floor(t), math.ceil(t)
    return math.exp((1 - (t - low)) * math.log(TABLE[low]) + (t - low) * math.log(TABLE[high]))


def theirs(name: str, steps: int, flow: bool) -> list[float]:
    """ComfyUI's sigmas without the zero at the end."""
    table = FLOW_TABLE if flow else TABLE
    high, low = float(table[-1]), float(table[0])
    sigma = (lambda t: shifted(t / 1000)) if flow else between_entries
    first, last = (1000 * high, 1000 * low) if flow else (999.0, 0.0)
    match name:
        case "normal":
            return [sigma(t) for t in np.linspace(first, last, steps)]
        case "sgm_uniform":
            return [sigma(t) for t in np.linspace(first, last, steps + 1)[:-1]]
        case "simple":
            return [float(table[-(1 + int(i * (len(table) / steps)))]) for i in range(steps)]
        case "ddim_uniform":
            return [float(each) for each in table[1 :: max(len(table) // steps, 1)][::-1]]
        case "beta":
            shares = 1 - np.linspace(0, 1, steps, endpoint=False)
            rows = np.rint(beta_distribution.ppf(shares, 0.6, 0.6) * (len(table) - 1))
            return [float(table[int(row)]) for row in dict.fromkeys(rows)]
        case "karras":
            ramp = np.linspace(0, 1, steps)
            return [float(each) for each in (high ** (1 / 7) + ramp * (low ** (1 / 7) - high ** (1 / 7))) ** 7]
        case "exponential":
            return [math.exp(each) for each in np.linspace(math.log(high), math.log(low), steps)]
        case "kl_optimal":
            ramp = np.arange(steps) / max(steps - 1, 1)
            return [float(each) for each in np.tan(ramp * math.atan(low) + (1 - ramp) * math.atan(high))]
    raise AssertionError(name)


@pytest.mark.parametrize("flow", [False, True], ids=["betas", "flow"])
@pytest.mark.parametrize("name", COMFYUI)
def test_sigmas_are_comfyuis_at_every_number_of_steps(name: str, flow: bool) -> None:
    process: Process = RectifiedFlow(SHIFT) if flow else SD
    for steps in range(1, 61) if THOROUGH else (*range(1, 10), 20, 25, 30, 33, 50, 60):
        levels = Levels.of(process, steps, name)  # type: ignore[arg-type]
        ours = [process.straight(level).noise for level in levels.levels[:-1]]
        np.testing.assert_allclose(ours, theirs(name.removeprefix("comfyui_"), steps, flow), rtol=2e-5, atol=1e-9)
        assert levels.end.sigma == 0


def told(sigma: float) -> int:
    """The discrete model sampling's timestep(sigma): the entry whose logarithm is nearest."""
    return int(np.abs(np.log(TABLE) - math.log(sigma)).argmin())


@pytest.mark.parametrize("solver", ["euler", "heun", "dpm2", "dpmpp_sde"])
def test_the_denoiser_is_told_the_nearest_whole_timestep(solver: str) -> None:
    """Between the levels too, where a solver looks at the middle of a step."""
    asked: list[float] = []

    def denoise(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        asked.append(float(t[0]))
        return torch.zeros_like(z)

    sample(denoise, torch.ones(1, 1, 2, 2), SD, solver, steps=7, spacing="comfyui_karras")
    assert asked
    assert all(t == int(t) for t in asked)
    looks = SOLVERS[solver].levels(SD, 7, "comfyui_karras").levels[:-1]
    assert [level.t for level in looks] == [told(level.sigma) for level in looks]


@pytest.mark.parametrize(("solver", "discards"), [("dpm2", True), ("dpm2_ancestral", True), ("unipc", True), ("euler", False)])  # fmt: skip
def test_some_solvers_leave_out_the_last_look_but_one(solver: str, discards: bool) -> None:
    wanted = theirs("karras", 13, False)[:-1] if discards else theirs("karras", 12, False)
    levels = SOLVERS[solver].levels(SD, 12, "comfyui_karras").levels
    np.testing.assert_allclose([level.sigma for level in levels], [*wanted, 0.0], rtol=2e-5)


@pytest.mark.parametrize("name", COMFYUI)
def test_euler_is_comfyuis_from_the_same_noise(name: str) -> None:
    """Written as there, at the scale x = z0 + sigma · eps: the first sigma's noise, or that of all variance at the noisiest level."""
    noise = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def eps_of(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return torch.tanh(z * 0.7 + (t.view(-1, 1, 1, 1) / 999).to(z.dtype) - 0.3)

    sigmas = [*theirs(name.removeprefix("comfyui_"), 10, False), 0.0]
    at_most = math.isclose(sigmas[0], TABLE[-1], rel_tol=1e-5)
    x = noise * (math.sqrt(1 + sigmas[0] ** 2) if at_most else sigmas[0])
    for now, then in pairwise(sigmas):
        t = torch.full((2,), float(told(now)), dtype=torch.float64)
        x = x + (then - now) * eps_of(x / math.sqrt(1 + now**2), t)
    ours = sample(eps_of, noise, SD, "euler", steps=10, spacing=name) if at_most else None  # type: ignore[arg-type]
    if ours is None:
        levels = Levels.of(SD, 10, name)  # type: ignore[arg-type]
        ours = SOLVERS["euler"](eps_of, levels.prior(noise), levels)
    torch.testing.assert_close(ours, x, rtol=2e-5, atol=2e-5)


def test_what_has_no_table_is_refused() -> None:
    with pytest.raises(ValueError, match="schedules of betas and for flows, not for EDM"):
        Levels.of(EDM(), 5, "comfyui_normal")
