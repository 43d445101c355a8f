"""Batches of a stream: the same for any number of workers and processes, and from wherever one goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.batch import Batch, collate
from core.data.keyed import KeyedRandom
from core.data.loader import Batches
from core.data.shapes import Shapes
from core.data.stream import State, StreamData, share
from core.data.stream_batches import ShuffledStream, StreamBatches, batches_of
from tests.effort import cases


@dataclass
class Files:
    """Files of numbers: file f holds f·1000, f·1000 + 1, …. `read` counts what was read of them."""

    sizes: Sequence[int]
    classes: tuple[str, ...] = ()
    read: int = 0

    def iterate(self, state: State | None = None, part: tuple[int, int] = (0, 1)) -> Iterator[tuple[Any, State]]:
        files = share(range(len(self.sizes)), part, "numbers")
        at = state or {"file": 0, "sample": 0}
        for file in range(at["file"], len(files)):
            for i in range(at["sample"] if file == at["file"] else 0, self.sizes[files[file]]):
                self.read += 1
                yield files[file] * 1000 + i, {"file": file, "sample": i + 1}

    def collate(self, samples: Sequence[Any], random: KeyedRandom | None = None) -> Batch:
        batch = collate(
            [{"label": sample, "caption": str(sample), "boxes": torch.ones(sample % 3, 4)} for sample in samples]
        )
        return batch | ({} if random is None else {"drawn": torch.from_numpy(random.uniform())})


def same(a: Batch, b: Batch) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) if n != "captions" else a[n] == b[n] for n in a)


def some(batches: StreamBatches, start: int, stop: int) -> list[Batch]:
    iterator = batches.iterate(start, stop)
    try:
        return list(iterator)
    finally:
        iterator.close()


def test_a_pass_holds_every_sample_once_in_another_order_each_time() -> None:
    data = Files([5, 7, 8, 4])  # two parts of 13 and 11
    for buffer in (1000, 10, 26, 2):
        batches = StreamBatches(data, 4, seed=1, buffer=buffer, parts=2)
        drawn = [label for batch in some(batches, 0, 143) for label in batch["labels"].tolist()]
        for part, size in ((0, 13), (1, 11)):
            row = [label for label in drawn if label // 1000 % 2 == part]
            passes = [row[start : start + size] for start in range(0, 286, size)]
            assert all(len(set(each)) == size for each in passes)
            assert len(set(map(tuple, passes))) == (1 if buffer == 2 else len(passes))
    plain = StreamBatches(data, 4, buffer=1, parts=1)
    assert [label for batch in some(plain, 0, 6) for label in batch["labels"].tolist()] == [
        f * 1000 + i for f, size in enumerate(data.sizes) for i in range(size)
    ]


@settings(max_examples=cases(60, 1500), deadline=None)
@given(
    sizes=st.lists(st.integers(1, 20), min_size=4, max_size=9),
    parts=st.sampled_from([1, 2, 4]),
    buffer=st.integers(1, 60),
    stop=st.integers(1, 40),
    more=st.integers(1, 10),
)
def test_whoever_goes_on_gets_the_same_batches(sizes: list[int], parts: int, buffer: int, stop: int, more: int) -> None:
    def batches() -> StreamBatches:
        return StreamBatches(Files(sizes), 8, seed=5, buffer=buffer, parts=parts)

    whole = some(batches(), 0, stop + more)
    first = batches()
    some(first, 0, stop)
    kept = json.loads(json.dumps(first.state_dict()))
    for known in (kept, {}, {"settings": [0, 0], "positions": {"0": [9, 9, None]}}):
        again = batches()
        again.load_state_dict(known)
        assert all(map(same, some(again, stop, stop + more), whole[stop:]))
    again = batches()
    again.load_state_dict(kept)
    some(again, stop, stop + more)
    held = parts * max(1, buffer // parts)
    assert again._rows.data.read <= 2 * held + 8 * (more + 1)  # type: ignore[attr-defined]


@settings(max_examples=cases(30, 500), deadline=None)
@given(st.lists(st.integers(1, 20), min_size=4, max_size=9), st.integers(1, 60), st.sampled_from([1, 2, 4]))
def test_processes_share_what_one_would_draw(sizes: list[int], buffer: int, world: int) -> None:
    alone = some(StreamBatches(Files(sizes), 8, buffer=buffer, parts=4), 0, 9)
    shared = [StreamBatches(Files(sizes), 8, buffer=buffer, parts=4, rank=rank, world=world) for rank in range(world)]
    drawn = [some(each, 0, 9) for each in shared]
    for n, batch in enumerate(alone):
        assert [x for each in drawn for x in each[n]["labels"].tolist()] == batch["labels"].tolist()
        assert torch.equal(torch.cat([each[n]["drawn"] for each in drawn]), batch["drawn"])
    states: list[Any] = [each._positions for each in shared]
    shared[0].share(lambda own: states)
    one = StreamBatches(Files(sizes), 8, buffer=buffer, parts=4)  # goes on alone from what the first of them kept
    one.load_state_dict(shared[0].state_dict())
    going_on = some(StreamBatches(Files(sizes), 8, buffer=buffer, parts=4), 0, 12)[9:]
    assert all(map(same, some(one, 9, 12), going_on))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(workers: int) -> None:
    def batches(workers: int) -> StreamBatches:
        return StreamBatches(Files([9, 4, 7, 12, 5]), 8, buffer=20, parts=4, workers=workers)

    alone = some(batches(0), 0, 30)
    ahead = batches(workers)
    assert all(map(same, some(ahead, 0, 17), alone))
    for later in (0, 2):
        again = batches(later)
        again.load_state_dict(json.loads(json.dumps(ahead.state_dict())))
        assert all(map(same, some(again, 17, 30), alone[17:]))


def test_parts_are_chosen_by_the_files_and_must_suit() -> None:
    for files, batch, parts in ((1, 32, 1), (3, 32, 2), (9, 32, 8), (40, 32, 16), (40, 6, 6), (40, 7, 7)):
        assert len(StreamBatches(Files([3] * files), batch)._rows.lanes) == parts
    with pytest.raises(ValueError, match="cannot be taken from 3 parts"):
        StreamBatches(Files([3] * 4), 8, parts=3)
    with pytest.raises(ValueError, match="2 parts of a stream cannot be shared by 4 processes"):
        StreamBatches(Files([3, 3]), 8, world=4)
    with pytest.raises(ValueError, match="2 files cannot be shared"):
        some(StreamBatches(Files([3, 3]), 8, parts=4), 0, 1)
    with pytest.raises(ValueError, match="part 2 of 2 of the stream holds no samples"):
        some(StreamBatches(Files([3, 0]), 8, parts=2), 0, 1)
    with pytest.raises(ValueError, match="at least 1"):
        StreamBatches(Files([3]), 8, buffer=0)


def test_what_is_no_stream_has_batches_as_ever() -> None:
    assert isinstance(Files([1]), StreamData)
    assert not isinstance(Shapes(16, 9), StreamData)
    assert isinstance(batches_of(Shapes(16, 9), 4), Batches)
    shuffled = batches_of(ShuffledStream(Files([3, 3], ("a",)), buffer=2, parts=1), 4, seed=2)
    assert isinstance(shuffled, StreamBatches)
    assert ShuffledStream(Files([3], ("a",))).classes == ("a",)
    expected = StreamBatches(Files([3, 3]), 4, seed=2, buffer=2, parts=1).iterate()
    assert all(map(same, islice(shuffled.iterate(), 5), expected))
