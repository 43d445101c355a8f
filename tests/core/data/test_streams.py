"""Streams of Parquet and of webdataset's shards: every sample once, and from any state on the rest of them."""

from __future__ import annotations

import json
import pickle
import tarfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from core.data.arrow import ArrowPictures, ParquetStream
from core.data.frames import Frame
from core.data.keyed import KeyedRandom
from core.data.loader import Batches, take
from core.data.pictures import Framed
from core.data.stream import Collected, StreamData
from core.data.tar_shards import TarShards, TarStream
from tests import sources

pytest.importorskip("webdataset")
N, FRAME = 12, Frame(16, 16, random_crop=True, flip=True)
STREAMS: dict[str, Callable[[Path], StreamData]] = {
    "parquet": lambda root: ParquetStream(sources.parquet(root / "d", N, 3), FRAME),
    "tar": lambda root: TarStream(sources.shards(root / "d", N, 3), FRAME),
}
INDEXED: dict[str, Callable[[Path], Any]] = {
    "parquet": lambda root: ArrowPictures(root / "d", root / "cache"),
    "tar": lambda root: TarShards(root / "d"),
}


def captions(stream: StreamData, samples: list[Any]) -> list[str]:
    texts: list[str] = stream.collate(samples)["captions"]
    return texts


@pytest.mark.parametrize("kind", STREAMS)
def test_a_pass_gives_every_sample_once_and_goes_on_from_any_state(kind: str, tmp_path: Path) -> None:
    stream = STREAMS[kind](tmp_path)
    read = list(stream.iterate())
    whole = captions(stream, [sample for sample, _ in read])
    assert whole == [sources.caption(i) for i in range(N)]
    for place, (_, state) in enumerate(read, start=1):
        kept = json.loads(json.dumps(state))
        rest = [sample for sample, _ in pickle.loads(pickle.dumps(stream)).iterate(kept)]
        assert [name for sample in rest for name in captions(stream, [sample])] == whole[place:]
    [(_, second)] = islice(stream.iterate(read[3][1]), 1)
    again = [sample for sample, _ in stream.iterate(json.loads(json.dumps(second)))]
    assert captions(stream, again) == whole[5:], "a state of a pass that itself went on"


@pytest.mark.parametrize("kind", STREAMS)
def test_parts_share_the_files(kind: str, tmp_path: Path) -> None:
    stream = STREAMS[kind](tmp_path)
    parts = [[sample for sample, _ in stream.iterate(part=(which, 2))] for which in range(2)]
    found = [captions(stream, part) for part in parts]
    assert list(map(len, found)) == [8, 4]
    assert sorted([*found[0], *found[1]]) == sorted(map(sources.caption, range(N)))
    with pytest.raises(ValueError, match="3 files cannot be shared by 4"):
        list(stream.iterate(part=(0, 4)))
    _, state = next(iter(stream.iterate(part=(1, 2))))
    with pytest.raises(ValueError, match="is not among"):
        list(stream.iterate(state, part=(0, 2)))


@pytest.mark.parametrize("kind", STREAMS)
def test_a_stream_and_an_index_decode_and_augment_alike(kind: str, tmp_path: Path) -> None:
    stream = STREAMS[kind](tmp_path)
    samples = [sample for sample, _ in stream.iterate()]
    indexed = Framed(INDEXED[kind](tmp_path), FRAME)
    for random in (None, 3):
        rows = [None if random is None else KeyedRandom("x", random, torch.arange(N).numpy()) for _ in range(2)]
        one, other = stream.collate(samples, rows[0]), indexed.get_batch(range(N), rows[1])
        assert torch.equal(one["images"], other["images"])
        assert torch.equal(one["labels"], other["labels"])
        assert one["captions"] == other["captions"]


@pytest.mark.parametrize("kind", STREAMS)
def test_the_head_of_a_stream_is_a_data_set(kind: str, tmp_path: Path) -> None:
    stream = STREAMS[kind](tmp_path)
    head = Collected(stream, [sample for sample, _ in islice(stream.iterate(), 5)])
    assert take(head, range(5))["captions"] == [sources.caption(i) for i in range(5)]
    assert Batches(head, 2).batch(7)["images"].shape == (2, 3, 16, 16)
    with pytest.raises(ValueError, match="no samples"):
        Collected(stream, [])


def test_a_shard_that_ends_too_early_is_told_by_name(tmp_path: Path) -> None:
    stream = TarStream(sources.shards(tmp_path / "d", N, 3), FRAME)
    [first, *_] = sorted((tmp_path / "d").iterdir())
    whole = first.read_bytes()
    for size in (0, 700, 1500, 2048, 5000, len(whole) - 10240):
        first.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"data-00000\.tar: not a readable shard"):
            list(stream.iterate())
        with pytest.raises(ValueError, match=r"data-00000\.tar: not a readable shard"):
            TarShards(tmp_path / "d")


def test_a_bad_picture_is_told_with_file_and_row(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        sources.add(tar, "7.png", b"no picture")
    stream = TarStream(tmp_path / "a.tar", FRAME)
    with pytest.raises(ValueError, match=r"a\.tar, 7: not a readable image"):
        stream.collate([sample for sample, _ in stream.iterate()])
    rows = ParquetStream(sources.parquet(tmp_path / "d", 2, 1), FRAME)
    (where, row), _ = next(iter(rows.iterate()))
    with pytest.raises(ValueError, match=r"of-00001\.parquet, row 0: not a readable image"):
        rows.collate([(where, row | {"image": {"bytes": b"x"}})])
