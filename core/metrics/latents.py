"""What the scale of latents does to the noise process."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from core.diffusion.process import Process
from core.numbers import finite
from core.precision import in_float32


class SignalToNoise(NamedTuple):
    """Scalars: the variance of latents over all of their values, and the ratio of signal to noise that follows from it."""

    variance: Tensor
    ratio: Tensor


@in_float32
def signal_to_noise(
    z: Tensor,
    process: Process,
    t: float,
    mean: Callable[[list[Tensor]], list[Tensor]] = list,
    world: int = 1,
) -> SignalToNoise:
    """Var(z) · signal² / noise² at timestep t (Rombach et al. 2022, appendix D.1, Var(z)/σ_t²).

    The process' own ratio, `Process.snr`, is that of latents of unit variance. z: (b, …), clean; at least two values.
    mean, world: averages over the processes that hold equal shares of z, and how many they are.
    Raises ValueError for a timestep outside the process, and for one without noise.
    """
    level = process.level(t)
    if not level.noise:
        raise ValueError(f"at timestep {t} there is no noise; ask at a later one")
    z = finite(z, "the latents").float()
    values = z.numel() * world
    (middle,) = mean([z.mean()])
    (square,) = mean([(z - middle).square().mean()])
    variance = square * values / (values - 1)
    return SignalToNoise(variance, variance * (level.signal / level.noise) ** 2)
