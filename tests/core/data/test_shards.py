"""Tables of shards: what they hold is what a data set in memory would, and what does not fit is named."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from core.checkpoints.files import CheckpointError
from core.data.latents import Encoding, LatentData
from core.data.loader import Batches
from core.data.shapes import Shapes
from core.data.shard_writer import ShardWriter
from core.data.shards import ShardedData, ShardTable
from tests.effort import cases

SHAPES = Shapes(resolution=16, size=45, objects=(1, 3))


def encode(images: Tensor) -> tuple[Tensor, Tensor]:
    z = F.avg_pool2d(images, 4)
    return z, z.abs() / 10


def written(folder: Path, **settings: Any) -> ShardedData:
    """Shards of two batches each."""
    return ShardedData(ShardWriter(folder, Encoding(SHAPES, encode, 8), shard_bytes=2 * 22_000, **settings).write())


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    def equal(x: Any, y: Any) -> bool:
        return x.dtype == y.dtype and torch.equal(x, y) if isinstance(x, Tensor) else x == y

    return a.keys() == b.keys() and all(equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ShardedData:
    return written(tmp_path_factory.mktemp("shards"))


MEMORY = LatentData.encode(SHAPES, encode, 8)


def test_batches_are_those_of_the_same_data_in_memory(data: ShardedData) -> None:
    assert len(list(data.tables[0].folder.glob("shard-*"))) == 3
    assert (len(data), data.classes, data.num_classes) == (45, Shapes.classes, 24)
    assert set(data.fields) == set(MEMORY.fields)
    for workers in (0, 2):
        mine, theirs = (Batches(each, 12, seed=2, workers=workers).iterate(0, 6) for each in (data, MEMORY))
        for a, b in zip(mine, theirs, strict=True):
            assert same(a, b)


@settings(max_examples=cases(30, 1000), deadline=None)
@given(st.lists(st.integers(0, 44), min_size=1, max_size=50))
def test_any_samples_can_be_asked_for(data: ShardedData, index: list[int]) -> None:
    assert same(data.get_batch(index), MEMORY.get_batch(index))
    assert data[index[0]]["caption"] == MEMORY[index[0]]["caption"]
    assert same(data.get_batch(index[:0]), MEMORY.get_batch(index[:0]))


def test_samples_that_are_not_there_are_refused(data: ShardedData) -> None:
    for index in (-1, 45):
        with pytest.raises(IndexError, match=f"samples 0 to 44; asked for {index}"):
            data.get_batch([index])


def test_half_storage_takes_half_the_room_and_gives_what_it_got(tmp_path: Path, data: ShardedData) -> None:
    half = written(tmp_path / "half", half=("latents", "std"))
    a, b = half.get_batch(range(45)), data.get_batch(range(45))
    for name in ("latents",):
        assert a[name].dtype == torch.float32
        assert torch.equal(a[name], b[name].half().float())
    assert torch.equal(a["boxes"], b["boxes"])
    with pytest.raises(FloatingPointError, match="stored in float16"):
        written_of(tmp_path / "far", lambda images: 1e6 * F.avg_pool2d(images, 4), half=("latents",))


def written_of(folder: Path, encode: Any, **settings: Any) -> ShardedData:
    return ShardedData(ShardWriter(folder, Encoding(SHAPES, encode, 8), **settings).write())


def test_bfloat16_latents_stay_what_they_are(tmp_path: Path) -> None:
    batch = written_of(tmp_path, lambda images: F.avg_pool2d(images, 4).bfloat16()).get_batch([44, 3])
    assert batch["latents"].dtype == torch.bfloat16
    assert torch.equal(batch["latents"], F.avg_pool2d(SHAPES.get_batch([44, 3])["images"], 4).bfloat16())


def test_any_json_value_is_kept_and_what_is_none_is_named(tmp_path: Path) -> None:
    values = ["plain", "", 'q"\n\u2028', "ü\ud800", None, {"a": [1, 2.5]}, ["x"]]

    class Annotated:
        def __len__(self) -> int:
            return len(values)

        def __getitem__(self, i: int) -> dict[str, Any]:
            return {"image": torch.full((3, 4, 4), float(i)), "caption": values[i]}

    encoding = Encoding(Annotated(), lambda images: images, 2)
    data = ShardedData(ShardWriter(tmp_path / "a", encoding, shard_bytes=1).write())
    assert data.get_batch([6, 0, 3, 4, 5, 1, 2])["captions"] == [values[i] for i in (6, 0, 3, 4, 5, 1, 2)]
    values[5] = {1, 2}
    with pytest.raises(ValueError, match="the field 'captions' holds what no file can"):
        ShardWriter(tmp_path / "b", encoding).write()


def test_workers_are_sent_no_samples(data: ShardedData) -> None:
    data.get_batch(range(45))
    sent = pickle.dumps(data)
    assert len(sent) < 10_000
    assert same(pickle.loads(sent).get_batch([40, 2]), data.get_batch([40, 2]))


def test_tables_that_do_not_belong_together_are_refused(tmp_path: Path, data: ShardedData) -> None:
    with pytest.raises(ValueError, match=r"make no data set of latents: .* has 45 of"):
        ShardedData(data.tables[0], data.tables[0])
    other = ShardWriter(tmp_path, Encoding(Shapes(16, 9), encode, 4)).write()
    with pytest.raises(ValueError, match="has 9 of"):
        ShardedData(data.tables[0], other)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"index\.json does not exist"):
        ShardedData.open(tmp_path)
    written(tmp_path / "cut")
    (tmp_path / "cut" / "shard-00001.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"shard-00001\.safetensors is missing"):
        ShardTable(tmp_path / "cut")
