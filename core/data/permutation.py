"""A keyed permutation of 0 … n − 1 of which any part can be asked for alone: no table, whatever n is.

A Feistel network over the smallest power of two that holds n, with cycle walking: what falls outside of 0 … n − 1 is sent
through again until it falls inside (Black & Rogaway 2002, "Ciphers with arbitrary finite domains", method 2). Fewer than
two passes are needed on average. For shuffling, not for cryptography.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.data.keyed import KeyedRandom

ROUNDS = 6
"""Four rounds of good functions cannot be told from a random permutation (Luby & Rackoff 1988); two more for short halves."""


class Permutation:
    """A permutation of 0 … n − 1 by its key: strings and integers, as `KeyedRandom` has them. n: from 1 to 2⁶²."""

    def __init__(self, n: int, *key: int | str) -> None:
        if not 1 <= n <= 2**62:
            raise ValueError(f"Permutation: n must be from 1 to 2^62, not {n}.")
        self.n = n
        bits = max(2, (n - 1).bit_length())
        self._low = np.uint64(bits // 2)
        self._high = np.uint64(bits - bits // 2)
        self._keys = KeyedRandom("permutation", *key, n).bits(ROUNDS)[0]

    def __call__(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """What stands at these places, each from 0 to n − 1: int64 of their shape."""
        found = self._encrypt(np.asarray(places).astype(np.uint64))
        while (outside := found >= np.uint64(self.n)).any():
            found[outside] = self._encrypt(found[outside])
        return found.astype(np.int64)

    def _encrypt(self, x: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """A permutation of the power of two: halves take turns at being changed by a hash of the other."""
        low, high = self._low, self._high
        for key in self._keys:
            right = x & ((np.uint64(1) << low) - np.uint64(1))
            left = (x >> low) ^ (_hash(right ^ key) >> (np.uint64(64) - high))
            x, low, high = (right << high) | left, high, low
        return x


def _hash(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mixes 64 bits (the first half of SplitMix64's finaliser); its high bits are good."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
