"""Which samples make batch n, where some come more often than others, or only like goes with like.

Each group (a bucket of one size) is an endless row of passes over its samples, each pass in a new order, and its batches are cut
from that row: none is dropped, and a small group fills a batch from two passes. Epoch e holds, of a group of m samples, the batches
⌊e·m/b⌋ to ⌊(e + 1)·m/b⌋ − 1, so groups come as often as they are large, and where batch n lies follows from n alone.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.data.keyed import KeyedRandom


class Drawn(NamedTuple):
    """The samples of a batch, (b,), and for each the number that no other showing of any sample in its group has, (b,)."""

    samples: NDArray[np.int64]
    turn: NDArray[np.int64]


class _Group(NamedTuple):
    number: int
    members: NDArray[np.int64]
    chances: NDArray[np.float64] | None
    length: int  # of a pass


class Order:
    """The order of `size` samples: batch n is a pure function of (these arguments, n).

    groups: (size,) numbers; a batch is of one group.
    weights: (size,) how often a sample is shown, relative to the others; 0 for never. A pass shows each as often as its weight
        says, rounded up or down (systematic sampling), and is as long as the share of its group.

    Raises ValueError for weights that are negative, no numbers, or all 0.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        seed: int,
        groups: NDArray[np.int64] | None = None,
        weights: NDArray[np.float64] | None = None,
    ) -> None:
        if weights is not None and (not np.isfinite(weights).all() or weights.min() < 0 or weights.sum() <= 0):
            raise ValueError("The weights of samples must be numbers from 0 on, and one of them more than 0.")
        self.batch_size, self.seed = batch_size, seed
        self._groups = list(_grouped(size, groups, weights))
        self._passes: dict[int, tuple[int, NDArray[np.int64]]] = {}
        self._epoch: tuple[int, NDArray[np.int64]] | None = None

    def __len__(self) -> int:
        """Batches in an epoch; some have a few more or less."""
        return max(1, sum(group.length for group in self._groups) // self.batch_size)

    def batch(self, n: int) -> Drawn:
        """The samples of batch n, counted from the first epoch's first."""
        epoch = self._epoch_of(n)
        which, number = self._batches(epoch)[n - self._before(epoch)]
        turn = np.arange(number * self.batch_size, (number + 1) * self.batch_size)
        return Drawn(self._row(self._groups[which], turn), turn)

    def _before(self, epoch: int) -> int:
        """Batches before an epoch."""
        return sum(epoch * group.length // self.batch_size for group in self._groups)

    def _epoch_of(self, n: int) -> int:
        total = sum(group.length for group in self._groups)
        least = n * self.batch_size // total  # before it there are n batches at most
        most = (n + len(self._groups)) * self.batch_size // total + 1
        return least - 1 + bisect_right(range(least, most + 1), n, key=self._before)

    def _batches(self, epoch: int) -> NDArray[np.int64]:
        """Group and number in the group of each of an epoch's batches, shuffled."""
        if self._epoch is None or self._epoch[0] != epoch:
            numbers = [
                (which, number)
                for which, group in enumerate(self._groups)
                for number in range(
                    epoch * group.length // self.batch_size, (epoch + 1) * group.length // self.batch_size
                )
            ]
            keys = KeyedRandom("batches", self.seed, epoch, np.arange(len(numbers))).bits()
            self._epoch = epoch, np.array(numbers, dtype=np.int64).reshape(-1, 2)[np.argsort(keys, kind="stable")]
        return self._epoch[1]

    def _row(self, group: _Group, turn: NDArray[np.int64]) -> NDArray[np.int64]:
        """What stands at these places of a group's endless row."""
        number, place = np.divmod(turn, group.length)
        index = np.empty(len(turn), dtype=np.int64)
        for each in np.unique(number):
            here = number == each
            index[here] = self._pass(group, int(each))[place[here]]
        return index

    def _pass(self, group: _Group, number: int) -> NDArray[np.int64]:
        known = self._passes.get(group.number)
        if known is None or known[0] != number:
            chosen = group.members
            if group.chances is not None:
                start = KeyedRandom("pass", self.seed, group.number, number).uniform()
                points = (np.arange(group.length) + float(start[0])) / group.length
                chosen = group.members[np.searchsorted(group.chances, points, side="right").clip(max=len(chosen) - 1)]
            keys = KeyedRandom("order", self.seed, group.number, number, np.arange(len(chosen))).bits()
            known = self._passes[group.number] = number, chosen[np.argsort(keys, kind="stable")]
        return known[1]


def _grouped(size: int, groups: NDArray[np.int64] | None, weights: NDArray[np.float64] | None) -> Iterator[_Group]:
    numbers = np.zeros(size, dtype=np.int64) if groups is None else groups
    share = None if weights is None else weights * (size / weights.sum())
    for number in np.unique(numbers).tolist():
        members = np.flatnonzero(numbers == number)
        if share is None:
            yield _Group(number, members, None, len(members))
            continue
        members = members[share[members] > 0]
        if len(members):
            chances = share[members].cumsum()
            yield _Group(number, members, chances / chances[-1], max(1, round(float(chances[-1]))))
