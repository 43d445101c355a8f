"""Random numbers keyed by what they are for, instead of drawn from a stream.

A generator with a state makes a sample's augmentation depend on which worker handled it and on all that was drawn
before; resuming in the middle then needs every worker's state. Here each sample's numbers are a hash of (purpose,
seed, epoch, sample index), so they are the same with any number of workers, in any order and after any restart.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Finaliser of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _as_bits(part: int | str | NDArray[Any]) -> NDArray[np.uint64]:
    if isinstance(part, str):
        part = int.from_bytes(hashlib.blake2b(part.encode(), digest_size=8).digest(), "little")
    if isinstance(part, int):
        return np.array([part % 2**64], dtype=np.uint64)
    return np.atleast_1d(np.asarray(part)).astype(np.uint64)


class KeyedRandom:
    """Random numbers for n samples at once; row i is a pure function of sample i's key and of how much was drawn.

    The key is folded from `parts`: strings (what the numbers are for), integers of any size and sign, and arrays of
    integers, which give one row each (all parts broadcast to one shape (n,)).

    Every draw returns an array (n, *shape) and advances all rows alike, so what a row gets does not depend on the other
    rows. Not for cryptography.
    """

    def __init__(self, *parts: int | str | NDArray[Any]) -> None:
        key = np.zeros(1, dtype=np.uint64)
        for part in parts:
            key = _mix(key + _GAMMA + _mix(_as_bits(part) + _GAMMA))
        self._key = key
        self._drawn = 0

    def __len__(self) -> int:
        return len(self._key)

    def bits(self, *shape: int) -> NDArray[np.uint64]:
        """64 random bits each, (n, *shape)."""
        count = int(np.prod(shape, dtype=np.int64))
        steps = np.arange(self._drawn + 1, self._drawn + count + 1, dtype=np.uint64) * _GAMMA
        self._drawn += count
        return _mix(self._key[:, None] + steps).reshape(len(self._key), *shape)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> NDArray[np.float32]:
        """Uniform in [low, high), float32, (n, *shape)."""
        unit: NDArray[np.float32] = (self.bits(*shape) >> np.uint64(40)).astype(np.float32)
        unit *= (high - low) * 2.0**-24
        unit += low
        return unit

    def integers(self, high: int, *shape: int) -> NDArray[np.int64]:
        """Uniform integers in [0, high), (n, *shape); high ≤ 2³²."""
        return (((self.bits(*shape) >> np.uint64(32)) * np.uint64(high)) >> np.uint64(32)).astype(np.int64)

    def normal(self, *shape: int) -> NDArray[np.float32]:
        """Standard normal, float32, (n, *shape), by the Box–Muller transform."""
        pair = self.bits(2, *shape) >> np.uint64(11)
        radius = np.sqrt(-2.0 * np.log((pair[:, 0] + np.uint64(1)) * 2.0**-53))
        normal: NDArray[np.float32] = (radius * np.cos(pair[:, 1] * (2.0 * np.pi * 2.0**-53))).astype(np.float32)
        return normal

    def generators(self) -> list[np.random.Generator]:
        """One numpy generator a row, for work that is done sample by sample."""
        return [np.random.default_rng(int(seed)) for seed in self.bits()]
