"""The noise levels that ComfyUI's schedulers visit, under its names.

They are chosen from a table of as many levels as the model has timesteps, or between its ends; flows have a table of 1000. What
belongs to it besides: the denoiser is told the nearest whole timestep of a schedule of betas (`Levels.whole`), sampling starts from
the noise itself where it starts at the noisiest level, and some solvers leave out the last look but one (`DISCARDING`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from core.diffusion.flow import RectifiedFlow
from core.diffusion.process import SIGMA_LIMIT, Level, Process
from core.diffusion.schedule import NoiseSchedule
from core.diffusion.sigmas import beta_quantiles, between

DISCARDING = ("dpm2", "dpm2_ancestral", "unipc")
"""The solvers that are given one look more there, of which the last but one is left out."""
FLOW_TABLE = 1000


def normal(process: Process, steps: int) -> list[Level]:
    """ComfyUI's "normal": evenly in t from the most noise to the least, not rounded."""
    return list(_between_ends(process, np.linspace(1, 0, steps).tolist()))


def sgm_uniform(process: Process, steps: int) -> list[Level]:
    """ComfyUI's "sgm_uniform": evenly in t from the most noise, the last step from a share 1/S of the way."""
    return list(_between_ends(process, np.linspace(1, 0, steps + 1)[:-1].tolist()))


def simple(process: Process, steps: int) -> list[Level]:
    """ComfyUI's "simple": every T/S-th level of its table, from the noisiest down."""
    stride = _size(process) / steps
    return [_entry(process, _size(process) - 1 - int(i * stride)) for i in range(steps)]


def ddim_uniform(process: Process, steps: int) -> list[Level]:
    """ComfyUI's "ddim_uniform": each (T // S)-th level of its table from number 1 up; 30 of 1000 make 31 steps."""
    chosen = range(1, _size(process), max(_size(process) // steps, 1))
    return [_entry(process, i) for i in reversed(chosen)]


def beta(process: Process, steps: int) -> list[Level]:
    """ComfyUI's "beta": levels of its table at the quantiles of Beta(0.6, 0.6) (Lee et al. 2024), each once. Needs scipy."""
    shares = beta_quantiles(1 - np.linspace(0, 1, steps, endpoint=False))
    chosen = np.rint(shares * (_size(process) - 1)).astype(int).tolist()
    return [_entry(process, i) for i in dict.fromkeys(chosen)]


def karras(process: Process, steps: int) -> list[Level]:
    """ComfyUI's "karras": evenly in σ^(1/7) between the ends of its table (Karras et al. 2022, eq. 5)."""
    return [_at(process, noise) for noise in between("karras", *_ends(process), steps)]


def exponential(process: Process, steps: int) -> list[Level]:
    """ComfyUI's "exponential": evenly in log σ between the ends of its table."""
    return [_at(process, noise) for noise in between("exponential", *_ends(process), steps)]


def kl_optimal(process: Process, steps: int) -> list[Level]:
    """ComfyUI's "kl_optimal": evenly in arctan σ between the ends of its table (Sabour et al. 2024, align your steps)."""
    high, low = map(math.atan, _ends(process))
    return [_at(process, math.tan(angle)) for angle in np.linspace(high, low, steps).tolist()]


def nearest(t: float) -> float:
    """The nearest whole timestep, of two the lower, which their table names first."""
    return float(math.ceil(t - 0.5))


def _size(process: Process) -> int:
    if isinstance(process, NoiseSchedule):
        return process.num_timesteps
    if isinstance(process, RectifiedFlow):
        return FLOW_TABLE
    raise ValueError(
        f"ComfyUI's schedulers are for schedules of betas and for flows, not for {type(process).__name__}: choose trailing, karras or exponential"
    )


def _entry(process: Process, i: int) -> Level:
    """Level i of the table, of which 0 is the least noisy."""
    if isinstance(process, NoiseSchedule):
        return process.level(i)
    return process.level(process.timestep_at((i + 1) / FLOW_TABLE))


def _ends(process: Process) -> tuple[float, float]:
    """The most noise and the least, in the coordinates in which the process' paths are straight."""
    high, low = (process.straight(_entry(process, i)).noise for i in (_size(process) - 1, 0))
    return min(high, SIGMA_LIMIT), low


def _between_ends(process: Process, shares: list[float]) -> Iterator[Level]:
    """Levels at shares of the way in t between the ends. In a flow the lower end has been shifted, and is shifted again."""
    if isinstance(process, NoiseSchedule):
        yield from (process.level(process.last * share) for share in shares)
        return
    low = _ends(process)[1]
    yield from (process.level(process.timestep_at(low + share * (1 - low))) for share in shares)


def _at(process: Process, noise: float) -> Level:
    sigma = process.straight.sigma(noise)
    return process.level(process.last) if math.isinf(sigma) else process.level_at(sigma)
