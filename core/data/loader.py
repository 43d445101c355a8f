"""The batch loader: batch n is a pure function of (data, seed, n), so a resumed training needs no loader state but n.

The order of epoch e is hashed from (seed, e) and each sample's augmentation from (seed, e, sample index). Workers only
compute; no random generator of theirs, nor torch's global one, is ever read.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from core.data.batch import Batch, collate
from core.data.keyed import KeyedRandom
from core.data.order import Order
from core.data.permutation import Permutation

LARGEST_SORTED = 2**22
"""Samples of a data set whose order is sorted once an epoch, as it always was: a second or two, and 0.1 GB. That of a larger
one is computed where it is asked for, so many places at once."""
BLOCK = 2**12
SMALL = 2**14
"""Bytes of a tensor up to which it is quicker to send it than to share it."""
_IN_NUMPY = (torch.bool, torch.uint8, torch.int32, torch.int64, torch.float16, torch.float32, torch.float64)

Augment = Callable[[Batch, KeyedRandom], Batch]


class MapData(Protocol):
    """Any map-style data set: sample i is a dictionary, the same each time it is asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, i: int, /) -> dict[str, Any]: ...


@runtime_checkable
class BatchData(Protocol):
    """A data set that makes whole batches: faster, and able to augment, with one row of `random` for each sample."""

    def __len__(self) -> int: ...

    def get_batch(self, indices: NDArray[np.int64], random: KeyedRandom | None = None) -> Batch:
        """The samples at `indices` as a batch; without `random`, unaugmented."""
        ...


def take(data: MapData | BatchData, indices: Iterable[int], random: KeyedRandom | None = None) -> Batch:
    """The samples at `indices` of any data set as a batch; unaugmented without `random`."""
    index = np.fromiter(indices, dtype=np.int64)
    return data.get_batch(index, random) if isinstance(data, BatchData) else collate([data[int(i)] for i in index])


class Batches:
    """Batches of a data set without end, epoch after epoch; any of them can be had by its number.

    data: a `BatchData` or a `MapData`. For `workers`, picklable, as `augment` must be. Where it has `groups` or `weights`,
        (n,) each, shuffled batches are those of `core.data.order`.
    batch_size: the global batch, of which each of `world` processes takes an equal slice.
    shuffle: a new order each epoch; otherwise the data's own.
    drop_last: leave out an epoch's last batch where the data does not fill it.
    workers: processes that prepare batches ahead; with 0 they are made when asked for. The batches are the same.
    augment: changes a finished batch, with random numbers keyed by seed, epoch and sample index.
    rank, world: this process and how many there are (torchrun).
    pinned: what workers prepare waits in pinned memory, from which a GPU reads by itself.

    Raises ValueError where no full batch can be made or the batch cannot be divided by `world`.
    """

    def __init__(
        self,
        data: MapData | BatchData,
        batch_size: int,
        seed: int = 0,
        *,
        shuffle: bool = True,
        drop_last: bool = True,
        workers: int = 0,
        augment: Augment | None = None,
        rank: int = 0,
        world: int = 1,
        pinned: bool = False,
    ) -> None:
        if batch_size < 1 or workers < 0:
            raise ValueError(f"Batches: batch_size {batch_size} must be at least 1, and workers {workers} at least 0.")
        if batch_size % world:
            raise ValueError(f"Batches: batch_size {batch_size} must be a multiple of the {world} processes.")
        if world > 1 and not drop_last:
            raise ValueError("Batches: several processes need drop_last, as an unfilled batch has no equal slices.")
        if not 0 <= rank < world:
            raise ValueError(f"Batches: rank {rank} must be from 0 to {world - 1}.")
        if len(data) < (batch_size if drop_last else 1):
            raise ValueError(
                f"Batches: {len(data)} samples do not fill one batch of {batch_size}: "
                "lower batch_size, add data, or turn drop_last off."
            )
        self.data, self.batch_size, self.seed = data, batch_size, seed
        self.shuffle, self.drop_last, self.workers, self.augment = shuffle, drop_last, workers, augment
        self.rank, self.world, self.pinned = rank, world, pinned
        self._order: tuple[tuple[int, int], NDArray[np.int64]] | None = None
        groups, weights = getattr(data, "groups", None), getattr(data, "weights", None)
        own = shuffle and not (groups is None and weights is None)
        self._own = Order(len(data), batch_size, seed, groups, weights) if own else None

    def __len__(self) -> int:
        """Batches in an epoch."""
        if self._own is not None:
            return len(self._own)
        return len(self.data) // self.batch_size if self.drop_last else -(-len(self.data) // self.batch_size)

    def order(self, epoch: int, start: int = 0, stop: int | None = None) -> NDArray[np.int64]:
        """A part of the permutation of all sample indices that this epoch follows, or all of it."""
        stop = len(self.data) if stop is None else min(stop, len(self.data))
        if not self.shuffle:
            return np.arange(start, stop)
        if len(self.data) <= LARGEST_SORTED:
            return self._sorted(epoch)[start:stop]
        blocks = range(start // BLOCK, -(-stop // BLOCK))
        order = np.concatenate([self._block(epoch, block) for block in blocks])
        return order[start - blocks.start * BLOCK :][: stop - start]

    def _sorted(self, epoch: int) -> NDArray[np.int64]:
        """The order of a whole epoch; the last one is kept."""
        if self._order is None or self._order[0] != (epoch, 0):
            keys = KeyedRandom("order", self.seed, epoch, np.arange(len(self.data))).bits()
            self._order = (epoch, 0), np.argsort(keys, kind="stable")
        return self._order[1]

    def _block(self, epoch: int, block: int) -> NDArray[np.int64]:
        """So many places of an epoch's order; the last ones are kept, as batches follow each other."""
        if self._order is None or self._order[0] != (epoch, block):
            places = np.arange(block * BLOCK, min((block + 1) * BLOCK, len(self.data)))
            self._order = (epoch, block), Permutation(len(self.data), "order", self.seed, epoch)(places)
        return self._order[1]

    def batch(self, n: int) -> Batch:
        """Batch n, counted from the first epoch's first; this process' slice of it. Also holds `index` (b,)."""
        mine = self.batch_size // self.world
        turn: int | NDArray[np.int64]
        if self._own is not None:
            index, turn = (each[self.rank * mine : (self.rank + 1) * mine] for each in self._own.batch(n))
        else:
            turn, place = divmod(n, len(self))
            start = place * self.batch_size + self.rank * mine
            index = self.order(turn, start, start + mine)
        batch = take(self.data, index, KeyedRandom("data", self.seed, turn, index))
        batch["index"] = torch.from_numpy(index.copy())
        return self.augment(batch, KeyedRandom("augment", self.seed, turn, index)) if self.augment else batch

    def iterate(self, start: int = 0, stop: int | None = None) -> Generator[Batch, None, None]:
        """Batches start, start + 1, … up to `stop`, or without end. Closing the iterator ends its workers."""
        if start < 0:
            raise ValueError(f"Batches: cannot start at batch {start}; the first is 0.")
        numbers: Iterable[int] = count(start) if stop is None else range(start, stop)
        return self._prepared_ahead(numbers) if self.workers else (self.batch(n) for n in numbers)

    def _prepared_ahead(self, numbers: Iterable[int]) -> Generator[Batch, None, None]:
        with prepared_ahead(_ByNumber(self), self.workers, numbers, self.pinned) as batches:
            yield from batches


@contextmanager
def prepared_ahead(
    data: Dataset[Any], workers: int, numbers: Iterable[int] | None = None, pinned: bool = False
) -> Iterator[Iterator[Any]]:
    """What worker processes make of a data set, in order; they end with the block.

    numbers: of the items to make; without, each worker iterates the data set, and they take turns. pinned: see `Batches`.
    """
    # Not fork: the parent's threads (OpenMP's, CUDA's) would be copied in an unknown state.
    fast = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if fast else "spawn")
    if fast:
        context.set_forkserver_preload(["torch", __name__])  # imported once, not by every worker
    loader = DataLoader(
        data,
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        multiprocessing_context=context,
        collate_fn=_packed,
        worker_init_fn=_live_with_parent,
        pin_memory=pinned,
        generator=torch.Generator(),  # the loader draws its workers' seed from it, else from the global one
    )
    iterator = iter(loader)
    try:
        yield map(_unpacked, iterator)
    finally:  # at once, and not only when the last reference (an exception's traceback, say) is gone
        iterator._shutdown_workers()  # type: ignore[attr-defined]


class _ByNumber(Dataset[Batch]):
    """The batches as what DataLoader calls a data set, so that a worker gets a number and returns a whole batch."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __getitem__(self, n: int) -> Batch:
        return self.batches.batch(n)


class _Small(NamedTuple):
    """A tensor that travels with the message itself: for a place in shared memory each would open a connection."""

    values: NDArray[Any]


def _packed(item: Any) -> Any:
    if isinstance(item, torch.Tensor) and item.nbytes <= SMALL and item.dtype in _IN_NUMPY:
        return _Small(item.numpy())
    if type(item) is dict:
        return {name: _packed(value) for name, value in item.items()}
    return tuple(map(_packed, item)) if type(item) is tuple else item


def _unpacked(item: Any) -> Any:
    if isinstance(item, _Small):
        return torch.from_numpy(item.values)
    if type(item) is dict:
        return {name: _unpacked(value) for name, value in item.items()}
    return tuple(map(_unpacked, item)) if type(item) is tuple else item


def _live_with_parent(_worker: int) -> None:
    """Ctrl-C reaches the whole process group; the parent decides when to stop, and ends its workers itself. Where it is
    killed, they end with it: torch looks at the parent's number, and that of a forkserver's child is the forkserver's.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
