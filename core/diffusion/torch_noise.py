"""Noise as other programs draw it from a seed, so that their pictures can be made again.

diffusers draws a batch at once from one generator, which goes on to draw what a solver adds. A1111 has a generator for each picture,
of seeds that follow one another. ComfyUI draws a batch at once, and what a solver adds from a generator of its own. On a CPU that
generator is PyTorch's Mersenne Twister; on CUDA it is Philox (Salmon et al. 2011), which is computed here on the CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Way = Literal["diffusers", "diffusers gpu", "a1111", "a1111 gpu", "comfyui", "comfyui gpu"]
"""The program, and where it draws: on the CPU, or as an NVIDIA GPU does."""

BROWNIAN: dict[str, tuple[str, ...]] = {
    "diffusers": ("dpmpp_sde",),
    "a1111": ("dpmpp_sde", "dpmpp_2m_sde", "dpmpp_3m_sde"),
    "comfyui": ("dpmpp_sde", "dpmpp_2m_sde", "dpmpp_3m_sde"),
}
"""Solvers to which a program adds increments of a Brownian path, and no numbers drawn one after the other."""

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
Words = NDArray[np.uint64]


def philox(counter: tuple[Words, Words, Words, Words], key: tuple[int, int], rounds: int = 10) -> tuple[Words, ...]:
    """Philox4x32 of four 32-bit counter words, each an array or number of uint64, and two key words (Salmon et al. 2011, table 2)."""
    a, b, c, d = counter
    for number in range(rounds):
        first, second = ((key[i] + number * _WEYL[i]) & 0xFFFFFFFF for i in range(2))
        left, right = a * np.uint64(_MULTIPLIERS[0]), c * np.uint64(_MULTIPLIERS[1])
        high_left, high_right = left >> np.uint64(32), right >> np.uint64(32)
        a, b, c, d = high_right ^ b ^ np.uint64(first), right & _LOW, high_left ^ d ^ np.uint64(second), left & _LOW
    return a, b, c, d


class Generator(Protocol):
    """What draws standard normal numbers, each time others."""

    def __call__(self, *shape: int) -> Tensor:
        """float32 numbers of this shape, on the CPU."""
        ...


class Philox:
    """`torch.randn(shape, device="cuda")` of a seed, up to the last digits.

    A thread of the GPU has the number of its element in the counter's third word, and the first word counts the calls; of the four
    words that it gets, a thread uses two (Box & Muller 1958). So it is up to as many elements as the GPU starts threads at once, some
    hundred thousand.
    """

    def __init__(self, seed: int) -> None:
        self.key = (seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF)
        self.calls = 0

    def __call__(self, *shape: int) -> Tensor:
        """float32 numbers of this shape, on the CPU."""
        places = np.arange(math.prod(shape), dtype=np.uint64)
        none = np.zeros_like(places)
        x, y, *_ = philox((none + np.uint64(self.calls), none, places, none), self.key)
        self.calls += 1
        radius = np.sqrt(-2 * np.log((x + 0.5) * 2.0**-32))
        angle = (y + 0.5) * float(np.float32(math.tau * 2.0**-32))
        return torch.from_numpy((radius * np.sin(angle)).astype(np.float32)).reshape(shape)


class Twister:
    """`torch.randn(shape)` of a CPU generator with this seed."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed % 2**64)

    def __call__(self, *shape: int) -> Tensor:
        """float32 numbers of this shape, on the CPU."""
        return torch.randn(shape, generator=self.generator)


class EachRow:
    """A generator for each row, of seeds that follow one another."""

    def __init__(self, kind: Callable[[int], Generator], seed: int) -> None:
        self.kind, self.seed = kind, seed
        self.rows: list[Generator] = []

    def __call__(self, *shape: int) -> Tensor:
        """float32 numbers of this shape, (b, …), on the CPU."""
        for row in range(len(self.rows), shape[0]):
            self.rows.append(self.kind(self.seed + row))
        return torch.stack([generator(*shape[1:]) for generator in self.rows[: shape[0]]])


def start(way: Way, seed: int, first_row: int = 0) -> Generator:
    """What draws the noise at which a sampling starts.

    first_row: of a larger batch; A1111's pictures can be made alone. Raises ValueError for it where a batch is drawn at once.
    """
    program, _, gpu = way.partition(" ")
    if program == "a1111":
        return EachRow(Philox if gpu else Twister, seed + first_row)
    if first_row:
        raise ValueError(f"{program} draws a batch at once: there is no row {first_row} alone; leave first_row at 0 and draw the batch")  # fmt: skip
    return Philox(seed) if gpu and program != "comfyui" else Twister(seed)


def added(way: Way, seed: int, solver: str, skip: int, first_row: int = 0) -> Callable[[Tensor], Tensor]:
    """What draws the noise that a solver adds, of its argument's shape, dtype and device, after the noise that sampling starts from.

    skip: how many times the solver has drawn before; ComfyUI's begins anew with each sampling. Raises ValueError for a solver whose noise the program draws otherwise.
    """
    program, _, gpu = way.partition(" ")
    if solver in BROWNIAN[program]:
        raise ValueError(
            f"{program} draws the noise that {solver} adds from a Brownian path, which is not made again here; "
            "draw it by row, or choose another solver"
        )
    if program == "comfyui":
        start(way, seed, first_row)  # refuses rows
        generator: Generator = Philox(seed) if gpu else Twister(seed + 1)
        skip = 0
    else:
        generator, skip = start(way, seed, first_row), skip + 1
    passed = False

    def draw(like: Tensor) -> Tensor:
        nonlocal passed
        for _ in range(0 if passed else skip):
            generator(*like.shape)
        passed = True
        return generator(*like.shape).to(like)

    return draw
