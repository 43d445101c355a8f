"""Data that is read in its own order: too large to index, or kept so that it can only be read from the front.

A stream hands out samples as they lie in its files, undecoded, each with the state from which reading goes on behind it. So a
shuffle buffer holds little, and a training's checkpoint holds a few numbers. Batches, shuffling and checkpoints are made of it
by whoever trains.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from core.data.batch import Batch, sample_of
from core.data.keyed import KeyedRandom

State = dict[str, Any]
"""Where a stream stands, as JSON would keep it. It means something to the stream that gave it and, read anew, to the same data."""


@runtime_checkable
class StreamData(Protocol):
    """Samples in the order of their files. Picklable, for workers: files are opened when iterated."""

    classes: tuple[str, ...]
    """Names of the labels, where there are any."""

    def iterate(self, state: State | None = None, part: tuple[int, int] = (0, 1)) -> Iterator[tuple[Any, State]]:
        """One pass: each sample, and the state with which a later `iterate` of the same part goes on behind it.

        part: (which, of how many) share the files; together the parts give every sample once. Raises ValueError where there
        are fewer files than parts, or where the state is of other files.
        """
        ...

    def collate(self, samples: Sequence[Any], random: KeyedRandom | None = None) -> Batch:
        """Decode samples of `iterate` and stack them; `random`, a row for each, augments as `BatchData.get_batch` does."""
        ...


def share(files: Sequence[Any], part: tuple[int, int], what: str) -> list[Any]:
    """The files of one part: every n-th. Raises ValueError where a part would have none."""
    which, parts = part
    if len(files) < parts:
        raise ValueError(
            f"{what}: {len(files)} files cannot be shared by {parts} readers (processes times workers); "
            "write more, smaller files, or use fewer readers"
        )
    return list(files[which::parts])


class Collected:
    """Samples of a stream that are held, undecoded, as a data set that can be indexed.

    Raises ValueError where there are none.
    """

    def __init__(self, stream: StreamData, samples: Sequence[Any]) -> None:
        if not samples:
            raise ValueError("the stream has no samples")
        self.stream, self.samples, self.classes = stream, list(samples), tuple(stream.classes)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return sample_of(self.get_batch([i]))

    def get_batch(self, indices: Sequence[int] | NDArray[np.int64], random: KeyedRandom | None = None) -> Batch:
        """The samples at `indices`, decoded by the stream."""
        return self.stream.collate([self.samples[int(i)] for i in indices], random)
