"""Spacings of the levels that a solver visits: (process, steps) -> that many levels, noisiest first.

They go by name (`SPACINGS`). "ldm", "diffusers", "k_diffusion" and "a1111" are those of the programs they are named after, at
every number of steps; what diffusers' schedulers make of all their options is the affair of `core.diffusion.grids`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, get_args

import numpy as np

from core.diffusion import comfyui
from core.diffusion.process import SIGMA_LIMIT, Level, Process, Spacing
from core.diffusion.schedule import NoiseSchedule


def leading(schedule: NoiseSchedule, steps: int) -> list[Level]:
    """⌊i·T/S⌋ + 1, latent-diffusion's DDIM timesteps, spread over the whole schedule also where S does not divide T.

    The + 1 is left out where there is no room for it (S = T).
    """
    total = schedule.num_timesteps
    return [schedule.level(i * total // steps + (steps < total)) for i in reversed(range(steps))]


def ldm(schedule: NoiseSchedule, steps: int) -> list[Level]:
    """range(0, T, T // S) + 1, exactly as latent-diffusion does: asked for 30 of 1000 steps it takes 31.

    Equal to `leading` where S divides T. Raises ValueError where latent-diffusion leaves its table (S = 600 of 1000).
    """
    total = schedule.num_timesteps
    chosen = [t + 1 for t in range(0, total, total // steps)]
    if chosen[-1] >= total:
        raise ValueError(
            f"'ldm' spacing of {steps} steps reaches past the last timestep {total - 1}; use 'leading' for this many"
        )
    return [schedule.level(t) for t in reversed(chosen)]


def diffusers(schedule: NoiseSchedule, steps: int) -> list[Level]:
    """i · (T // S) + 1, as diffusers' "leading" with an offset of 1, which is Stable Diffusion's there.

    The + 1 is left out where there is no room for it (S = T).
    """
    total = schedule.num_timesteps
    return [schedule.level(i * (total // steps) + (steps < total)) for i in reversed(range(steps))]


def a1111(schedule: NoiseSchedule, steps: int) -> list[Level]:
    """DDIM and PLMS in A1111's web UI: the timesteps of `ldm`, the first of which is where the last step ends.

    So 30 steps are 30 there, and 20 are 19. Raises ValueError where no step is left.
    """
    total = schedule.num_timesteps
    chosen = [min(t + 1, total - 1) for t in range(0, total, total // steps)]
    if len(chosen) < 2 or chosen[-1] == chosen[-2]:
        raise ValueError(f"'a1111' spacing makes no walk of {steps} steps; use 'diffusers' for this many")
    return [schedule.level(t) for t in reversed(chosen)]


def trailing(process: Process, steps: int) -> list[Level]:
    """Evenly from the most noise, the last step from a share 1/S of the way (Lin et al. 2024, table 2; SD3's pipeline).

    In a schedule of betas round(T − i·T/S) − 1: always starts at T − 1. Needed at zero terminal SNR.
    """
    if isinstance(process, NoiseSchedule):
        total = process.num_timesteps
        return [process.level(round(total - i * total / steps) - 1) for i in range(steps)]
    return [process.level(process.timestep_at(1 - i / steps)) for i in range(steps)]


def linspace(process: Process, steps: int) -> list[Level]:
    """Evenly from the most noise to the least, both included (Nichol & Dhariwal 2021; diffusers' FlowMatchEuler).

    In a schedule of betas rounded to whole timesteps, T − 1 to 0; in EDM even in σ^(1/ρ) (Karras et al. 2022, eq. 5).
    """
    if isinstance(process, NoiseSchedule):
        return [process.level(round(t)) for t in np.linspace(process.num_timesteps - 1, 0, steps).tolist()]
    return [process.level(process.timestep_at(share)) for share in np.linspace(1, process.least, steps).tolist()]


def k_diffusion(schedule: NoiseSchedule, steps: int) -> list[Level]:
    """Evenly in t from T − 1 to 0, not rounded: k-diffusion's get_sigmas, A1111's "uniform", ComfyUI's "normal"."""
    return [schedule.level(t) for t in np.linspace(schedule.last, 0, steps).tolist()]


def sgm_uniform(schedule: NoiseSchedule, steps: int) -> list[Level]:
    """Evenly in t from T − 1, the last step from a share 1/S of the way, not rounded: A1111's and ComfyUI's "sgm_uniform"."""
    return [schedule.level(t) for t in np.linspace(schedule.last, 0, steps + 1)[:-1].tolist()]


def simple(schedule: NoiseSchedule, steps: int) -> list[Level]:
    """T − 1 − ⌊i·T/S⌋: A1111's and ComfyUI's "simple"."""
    total = schedule.num_timesteps
    return [schedule.level(total - 1 - int(i * (total / steps))) for i in range(steps)]


def karras(process: Process, steps: int, rho: float = 7.0) -> list[Level]:
    """Evenly in σ^(1/ρ) from the process' largest sigma to its smallest (Karras et al. 2022, eq. 5).

    In rectified flow u stands for σ, as in diffusers.
    """
    high, low = _noise_range(process)
    ramp = np.linspace(high ** (1 / rho), low ** (1 / rho), steps) ** rho
    return [_at(process, noise) for noise in ramp.tolist()]


def exponential(process: Process, steps: int) -> list[Level]:
    """Evenly in log σ from the process' largest sigma to its smallest; in rectified flow u stands for σ."""
    high, low = _noise_range(process)
    return [_at(process, noise) for noise in np.exp(np.linspace(math.log(high), math.log(low), steps)).tolist()]


def lcm(schedule: NoiseSchedule, steps: int, distilled: int = 50) -> list[Level]:
    """`steps` of the 50 trailing timesteps that latent consistency models are distilled on (Luo et al. 2023)."""
    stride = schedule.num_timesteps // distilled
    if steps > distilled or stride == 0:
        raise ValueError(
            f"'lcm' spacing takes at most {distilled} steps of a schedule with at least {distilled} timesteps"
        )
    return [schedule.level((distilled - i * distilled // steps) * stride - 1) for i in range(steps)]


def _noise_range(process: Process) -> tuple[float, float]:
    """The most and the least noise, in the coordinates in which the process' paths are straight."""
    ends = (process.level(process.timestep_at(share)) for share in (1, process.least))
    high, low = (process.straight(level).noise for level in ends)
    return min(high, SIGMA_LIMIT), low


def _at(process: Process, noise: float) -> Level:
    sigma = process.straight.sigma(noise)
    return process.level(process.last) if math.isinf(sigma) else process.level_at(sigma)


BY_TIMESTEP = ("leading", "ldm", "diffusers", "a1111", "k_diffusion", "sgm_uniform", "simple", "lcm")
"""The spacings that are defined for schedules of betas only."""

WITH_END = ("a1111",)
"""The spacings whose last level is where the last step ends, whatever the solver would have."""

SIGNALLESS = ("k_diffusion", "sgm_uniform", "simple")
"""The spacings of programs that start from the noise alone, of the first level's deviation (`Levels.deviation`)."""

COMFYUI: dict[Spacing, Callable[[Any, int], list[Level]]] = {
    "comfyui_normal": comfyui.normal,
    "comfyui_karras": comfyui.karras,
    "comfyui_exponential": comfyui.exponential,
    "comfyui_sgm_uniform": comfyui.sgm_uniform,
    "comfyui_simple": comfyui.simple,
    "comfyui_ddim_uniform": comfyui.ddim_uniform,
    "comfyui_beta": comfyui.beta,
    "comfyui_kl_optimal": comfyui.kl_optimal,
}
"""ComfyUI's schedulers: they end without noise whatever the solver, and the denoiser is told whole timesteps."""

SPACINGS: dict[Spacing, Callable[[Any, int], list[Level]]] = {
    "leading": leading,
    "ldm": ldm,
    "trailing": trailing,
    "linspace": linspace,
    "karras": karras,
    "exponential": exponential,
    "lcm": lcm,
    "diffusers": diffusers,
    "k_diffusion": k_diffusion,
    "a1111": a1111,
    "sgm_uniform": sgm_uniform,
    "simple": simple,
    **COMFYUI,
}
assert tuple(SPACINGS) == get_args(Spacing)
