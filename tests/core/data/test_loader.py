"""The loader's promise: batch n depends on the data, the seed and n, and on nothing else."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.batch import Batch, collate
from core.data.keyed import KeyedRandom
from core.data.loader import Batches, take
from core.data.shapes import Shapes
from core.data.transfer import on_device

ROOT = Path(__file__).parents[3]


class Plain:
    """A data set as anyone would write it, without `get_batch`."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {
            "image": torch.full((1, 2, 2), float(i)),
            "label": i % 3,
            "boxes": np.ones((i % 4, 4)),
            "caption": str(i),
        }


def flip_and_shift(batch: Batch, random: KeyedRandom) -> Batch:
    flip = torch.from_numpy(random.uniform() < 0.5)[:, None, None, None]
    images = torch.where(flip, batch["images"].flip(-1), batch["images"])
    return {**batch, "images": images + torch.from_numpy(random.normal())[:, None, None, None]}


def fails_at_seven(batch: Batch, random: KeyedRandom) -> Batch:
    if 7 in batch["index"]:
        raise ValueError("sample 7 is bad")
    return batch


def same(one: Batch, other: Batch) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(one[k], other[k]) if isinstance(one[k], torch.Tensor) else one[k] == other[k] for k in one
    )


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(1, 40),
    batch_size=st.integers(1, 12),
    start=st.integers(0, 30),
    seed=st.integers(0, 2**63),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
    plain=st.booleans(),
)
def test_starting_at_k_equals_dropping_k_batches(
    size: int, batch_size: int, start: int, seed: int, shuffle: bool, drop_last: bool, plain: bool
) -> None:
    data = Plain(size) if plain else Shapes(resolution=8, size=size)
    if drop_last:
        batch_size = min(batch_size, size)
    batches = Batches(data, batch_size, seed, shuffle=shuffle, drop_last=drop_last, augment=flip_and_shift)
    resumed = islice(batches.iterate(start), 4)
    assert all(same(a, b) for a, b in zip(resumed, islice(batches.iterate(), start, None), strict=False))


@settings(max_examples=3, deadline=None)
@given(start=st.integers(0, 12), seed=st.integers(0, 2**63))
def test_workers_give_the_same_batches_and_leave_no_trace(start: int, seed: int) -> None:
    data = Shapes(resolution=8, size=40)
    alone = Batches(data, 6, seed, augment=flip_and_shift)
    helped = Batches(data, 6, seed, augment=flip_and_shift, workers=2)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    iterator = helped.iterate(start)
    for expected in islice(alone.iterate(), start, start + 8):
        assert same(expected, next(iterator))
    assert len(multiprocessing.active_children()) == 2
    iterator.close()
    assert multiprocessing.active_children() == []
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()


def test_every_epoch_holds_every_sample_once_in_a_new_order() -> None:
    batches = Batches(Plain(20), 5, seed=1)
    epochs = [torch.cat([batch["index"] for batch in batches.iterate(e * 4, e * 4 + 4)]).tolist() for e in range(3)]
    assert len(batches) == 4
    assert all(sorted(epoch) == list(range(20)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert epochs[0] != torch.cat([batch["index"] for batch in Batches(Plain(20), 5, seed=2).iterate(0, 4)]).tolist()


def test_augmentation_follows_the_sample_and_the_epoch_not_its_place() -> None:
    shuffled, ordered = (
        Batches(Shapes(resolution=8, size=12), 4, seed=3, shuffle=shuffle, augment=flip_and_shift)
        for shuffle in (True, False)
    )

    def by_index(batches: Batches, epoch: int) -> dict[int, torch.Tensor]:
        found = batches.iterate(3 * epoch, 3 * epoch + 3)
        return {int(i): image for b in found for i, image in zip(b["index"], b["images"], strict=True)}

    first, again, later = by_index(shuffled, 0), by_index(ordered, 0), by_index(shuffled, 1)
    assert all(torch.equal(first[i], again[i]) for i in range(12))
    assert not any(torch.equal(first[i], later[i]) for i in range(12))


def test_ranks_slice_the_global_batch() -> None:
    whole = Batches(Plain(30), 6, seed=4)
    ranks = [Batches(Plain(30), 6, seed=4, rank=rank, world=3) for rank in range(3)]
    for n in (0, 4, 7):
        pieces = [rank.batch(n)["images"] for rank in ranks]
        assert torch.equal(torch.cat(pieces), whole.batch(n)["images"])


def test_the_last_batch_is_kept_on_request_and_boxes_are_padded() -> None:
    batches = list(Batches(Plain(7), 4, shuffle=False, drop_last=False).iterate(0, 2))
    assert [len(batch["captions"]) for batch in batches] == [4, 3]
    assert batches[0]["boxes"].shape == (4, 3, 4)
    assert batches[0]["boxes"].sum((1, 2)).tolist() == [0, 4, 8, 12]
    assert batches[1]["labels"].tolist() == [1, 2, 0]
    assert take(Plain(7), range(4, 7))["captions"] == ["4", "5", "6"]
    assert take(Shapes(size=7), [3])["captions"] == [Shapes(size=7)[3]["caption"]]


def test_a_worker_s_error_reaches_the_caller_and_workers_end() -> None:
    batches = Batches(Plain(20), 2, shuffle=False, augment=fails_at_seven, workers=1)
    with pytest.raises(ValueError, match="sample 7 is bad"):
        list(batches.iterate(0, 10))
    assert multiprocessing.active_children() == []


def test_workers_survive_an_interrupt_until_they_are_closed() -> None:
    iterator = Batches(Plain(100), 2, workers=1).iterate()
    next(iterator)
    (worker,) = multiprocessing.active_children()
    os.kill(worker.pid or 0, signal.SIGINT)
    time.sleep(0.1)
    for _ in range(10):
        next(iterator)
    iterator.close()
    assert not worker.is_alive()


@pytest.mark.slow
def test_workers_of_a_killed_process_end_with_it() -> None:
    """Under a forkserver a worker's parent by number is the server, which lives as long as its workers do."""
    code = (
        "import multiprocessing, time\n"
        "from core.data.loader import Batches\n"
        "from core.data.shapes import Shapes\n"
        "if __name__ == '__main__':\n"
        "    batches = Batches(Shapes(8, 100), 4, workers=2).iterate()\n"
        "    next(batches)\n"
        "    print(*(child.pid for child in multiprocessing.active_children()), flush=True)\n"
        "    time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        workers = [int(word) for word in process.stdout.readline().split()]
    assert len(workers) == 2
    process.kill()
    process.wait()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline, "a worker outlived the process that it worked for"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 11}, "10 samples do not fill"),
        ({"batch_size": 4, "world": 3}, "multiple of the 3"),
        ({"batch_size": 4, "world": 2, "rank": 2}, "rank 2"),
        ({"batch_size": 4, "world": 2, "drop_last": False}, "drop_last"),
    ],
)
def test_wrong_parameters_are_named(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Batches(Plain(10), **wrong)
    with pytest.raises(ValueError, match="first is 0"):
        Batches(Plain(10), 2).iterate(-1)


def test_samples_that_do_not_fit_together_are_named() -> None:
    with pytest.raises(ValueError, match="'image' differ in shape"):
        collate([{"image": torch.zeros(3, 2, 2)}, {"image": torch.zeros(3, 4, 2)}])
    with pytest.raises(ValueError, match="different fields"):
        collate([{"image": 1}, {"label": 1}])


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_on_their_way_to_a_device_are_the_same_and_closing_them_ends_their_source(workers: int) -> None:
    batches = Batches(Shapes(8, 12), 4, seed=3, workers=workers)
    source = batches.iterate(0, 5)
    there = on_device(source, torch.device("cpu"))
    for n, batch in zip(range(2), there, strict=False):
        assert same(batch, batches.batch(n))
    there.close()
    assert next(source, None) is None
