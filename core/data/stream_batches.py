"""Batches of a stream: shuffled, shared by processes and workers, and found again after a stop.

A stream is read in `parts`, each of which has files of its own and hands out an endless row of samples, pass after pass. The row
of part p is cut into windows, none longer than a pass, and window w is shuffled by a hash of (seed, p, w). Batch n holds, of each part, the next few
samples. So which samples make it, and in which order, follows from (data, batch size, buffer, parts, seed, n) and from nothing
else: neither from how many processes share the parts and how many workers read them, nor from where a training was stopped.

Nobody can open a stream in the middle by a number alone. So a checkpoint holds where the windows began, and who goes on
reads at most a window again, undecoded. Without it the stream is read from its start.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count, islice
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from core.data.batch import Batch, concatenate
from core.data.keyed import KeyedRandom
from core.data.loader import BatchData, Batches, MapData, prepared_ahead
from core.data.stream import State, StreamData

BUFFER = 4096
"""Samples that are held, undecoded, to be shuffled."""
PARTS = 16
"""Parts that a stream is read in where nobody says how many, at most."""


@dataclass
class ShuffledStream:
    """A stream and how it is shuffled: see `StreamBatches`."""

    data: StreamData
    buffer: int = BUFFER
    parts: int = 0

    def __post_init__(self) -> None:
        self.classes = self.data.classes

    def iterate(self, state: State | None = None, part: tuple[int, int] = (0, 1)) -> Iterator[tuple[Any, State]]:
        """The stream's, unshuffled."""
        return self.data.iterate(state, part)

    def collate(self, samples: Sequence[Any], random: KeyedRandom | None = None) -> Batch:
        """The stream's."""
        return self.data.collate(samples, random)


def batches_of(
    data: MapData | BatchData | StreamData,
    batch_size: int,
    seed: int = 0,
    *,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
    pinned: bool = False,
) -> Batches | StreamBatches:
    """The shuffled batches of any data, a stream or not. Raises ValueError as `Batches` and `StreamBatches` do."""
    if isinstance(data, StreamData):
        how = data if isinstance(data, ShuffledStream) else ShuffledStream(data)
        settings: dict[str, Any] = {"buffer": how.buffer, "parts": how.parts}
        return StreamBatches(how.data, batch_size, seed, **settings, workers=workers, rank=rank, world=world)
    return Batches(data, batch_size, seed, workers=workers, rank=rank, world=world, pinned=pinned)


class Position(NamedTuple):
    """A window of a part: its number, that of its first sample in the part's row, and the stream's state in front of it.

    No state stands for the beginning of a pass.
    """

    window: int
    first: int
    state: State | None


class StreamBatches:
    """Batches of a stream without end, pass after pass.

    batch_size: the global batch, of which each of `world` processes takes an equal slice.
    buffer: samples to shuffle among, over all parts; 1 keeps the stream's order within each part.
    parts: into how many the stream is cut, each with files of its own: a divisor of the batch size, and a multiple of `world`. 0
        takes the largest divisor for which there are files, up to `PARTS`.
    workers: processes that read and decode ahead; more than a process has parts are not used.

    Raises ValueError where the parts do not suit.
    """

    def __init__(
        self,
        data: StreamData,
        batch_size: int,
        seed: int = 0,
        *,
        buffer: int = BUFFER,
        parts: int = 0,
        workers: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if batch_size < 1 or buffer < 1 or parts < 0 or workers < 0:
            raise ValueError(
                f"batch_size {batch_size} and buffer {buffer} must be at least 1, and neither parts nor workers less than 0"
            )
        parts = parts or _most_parts(data, batch_size)
        if batch_size % parts:
            raise ValueError(
                f"a batch of {batch_size} cannot be taken from {parts} parts alike; set parts to a divisor of it"
            )
        if parts % world:
            raise ValueError(
                f"{parts} parts of a stream cannot be shared by {world} processes; set parts of shuffle_stream to a multiple of "
                f"{world}, write the data into more files, or use fewer processes"
            )
        self.workers = workers
        mine = range(rank * parts // world, (rank + 1) * parts // world)
        lanes = [_Lane(data, part, parts, max(1, buffer // parts), batch_size // parts, seed) for part in mine]
        self._rows = _Rows(data, lanes, seed)
        self._settings = [buffer, parts]
        self._positions: dict[int, Position] = {}

    def iterate(self, start: int = 0, stop: int | None = None) -> Generator[Batch, None, None]:
        """Batches start, start + 1, … up to `stop`, or without end. Closing the iterator ends its workers."""
        make = self._ahead if self.workers else self._rows.batches
        for batch, positions in make(start, stop, dict(self._positions)):
            self._positions |= positions
            yield batch

    def _ahead(self, start: int, stop: int | None, known: dict[int, Position]) -> Iterator[_Part]:
        workers = min(self.workers, len(self._rows.lanes))
        with prepared_ahead(_Shared(self._rows, start, stop, known), workers) as ahead:
            while parts := list(islice(ahead, workers)):  # they take turns, in their order
                positions = {part: position for _, some in parts for part, position in some.items()}
                yield concatenate([batch for batch, _ in parts]), positions

    def share(self, gather: Callable[[Any], list[Any]]) -> None:
        """Let the process that writes checkpoints know where the others stand; all must ask. gather: every process' value, on one."""
        for positions in gather(self._positions):
            self._positions |= positions

    def state_dict(self) -> dict[str, Any]:
        """Where the windows of the last batch began, as JSON has it."""
        positions = {str(part): list(position) for part, position in self._positions.items()}
        return {"settings": self._settings, "positions": positions}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave; of a stream that is cut in another way, nothing."""
        if state.get("settings") == self._settings:
            self._positions = {int(part): Position(*position) for part, position in state["positions"].items()}


_Part = tuple[Batch, dict[int, Position]]
"""Some rows of a batch, and the positions from which they can be had again, by part."""


class _Lane:
    """One part's endless row of samples, window by window."""

    def __init__(self, data: StreamData, part: int, parts: int, window: int, rows: int, seed: int) -> None:
        self.data, self.part, self.parts, self.window, self.rows, self.seed = data, part, parts, window, rows, seed

    def batches(self, start: int, known: Position | None) -> Iterator[tuple[list[Any], range, Position]]:
        """Of each batch from `start` on: samples, their numbers in the row, and the position of the first."""
        row = self._row(start * self.rows, known)
        for n in count(start):
            taken = list(islice(row, self.rows))
            yield [sample for sample, _ in taken], range(n * self.rows, (n + 1) * self.rows), taken[0][1]

    def _row(self, start: int, known: Position | None) -> Iterator[tuple[Any, Position]]:
        """Samples from number `start` on, each with the position of its window. The next window is read as this one is used."""
        position = known if known is not None and known.first <= start else Position(0, 0, None)
        stream = self._read(position.state)
        window = _Window(position, self.window)
        while not window.full or window.following.first <= start:
            window = _Window(window.following, self.window) if window.full else window
            window.read(stream)
        place = start - window.position.first
        while True:
            key = KeyedRandom("window", self.seed, self.part, window.position.window, np.arange(len(window.samples)))
            ahead = _Window(window.following, self.window)
            for _ in range(place):
                ahead.read(stream)
            for which in np.argsort(key.bits())[place:]:
                sample, window.samples[which] = window.samples[which], None
                yield sample, window.position
                ahead.read(stream)
            while not ahead.full:
                ahead.read(stream)
            window, place = ahead, 0

    def _read(self, state: State | None) -> Iterator[tuple[Any, State] | None]:
        """Samples from a state on, pass after pass, nothing between them. Raises ValueError where a whole pass holds none."""
        while True:
            found = False
            for sample, after in self.data.iterate(state, (self.part, self.parts)):
                found = True
                yield sample, after
            if not found and state is None:
                raise ValueError(
                    f"part {self.part + 1} of {self.parts} of the stream holds no samples; give it data, or fewer parts"
                )
            yield None
            state = None


class _Window:
    """Samples that follow each other in a part, at most `size`, of one pass: read one by one."""

    def __init__(self, position: Position, size: int) -> None:
        self.position, self.size = position, size
        self.samples: list[Any] = []
        self.full = False
        self._after = position.state

    def read(self, stream: Iterator[tuple[Any, State] | None]) -> None:
        """One sample more, where there is room."""
        if self.full:
            return
        found = next(stream)
        if found is None:
            self.full, self._after = bool(self.samples), None
        else:
            sample, self._after = found
            self.samples.append(sample)
            self.full = len(self.samples) == self.size

    @property
    def following(self) -> Position:
        """Where the next window begins, once this one is full."""
        return Position(self.position.window + 1, self.position.first + len(self.samples), self._after)


class _Rows:
    """Rows of batches from several parts."""

    def __init__(self, data: StreamData, lanes: list[_Lane], seed: int) -> None:
        self.data, self.lanes, self.seed = data, lanes, seed

    def batches(self, start: int, stop: int | None, known: dict[int, Position]) -> Iterator[_Part]:
        """The rows of batches start … stop − 1, or without end, with the positions."""
        numbers = count(start) if stop is None else range(start, stop)
        lanes = [lane.batches(start, known.get(lane.part)) for lane in self.lanes]
        part = np.array([lane.part for lane in self.lanes for _ in range(lane.rows)])
        for _, *taken in zip(numbers, *lanes, strict=False):
            place = np.concatenate([np.array(places) for _, places, _ in taken])
            samples = [sample for some, _, _ in taken for sample in some]
            batch = self.data.collate(samples, KeyedRandom("stream", self.seed, part, place))
            yield batch, {lane.part: position for lane, (_, _, position) in zip(self.lanes, taken, strict=True)}


class _Shared(IterableDataset[_Part]):
    """The rows as what DataLoader calls a data set: each worker makes those of its own share of the parts."""

    def __init__(self, rows: _Rows, start: int, stop: int | None, known: dict[int, Position]) -> None:
        self.rows, self.start, self.stop, self.known = rows, start, stop, known

    def __iter__(self) -> Iterator[_Part]:
        worker = get_worker_info()
        assert worker is not None
        lanes = self.rows.lanes
        bounds = [len(lanes) * i // worker.num_workers for i in (worker.id, worker.id + 1)]
        mine = _Rows(self.rows.data, lanes[slice(*bounds)], self.rows.seed)
        return mine.batches(self.start, self.stop, self.known)


def _most_parts(data: StreamData, batch_size: int) -> int:
    """The largest divisor of the batch size, up to `PARTS`, for which each part has a file; at least 1."""
    for parts in range(min(PARTS, batch_size), 1, -1):
        if batch_size % parts == 0:
            with suppress(ValueError):
                if next(iter(data.iterate(None, (0, parts))), None) is not None:
                    return parts
    return 1
