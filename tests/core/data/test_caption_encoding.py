"""Captions encoded once: in memory and in shards the same, beside the latents they belong to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from core.data.batch import Batch
from core.data.caption_encoding import encode_captions
from core.data.latents import Encoding, LatentData
from core.data.loader import Batches
from core.data.shapes import Shapes
from core.data.shard_writer import ShardWriter
from core.data.shards import ShardedData, ShardTable

SHAPES = Shapes(resolution=16, size=21)


def shrink(images: Tensor) -> Tensor:
    return F.avg_pool2d(images, 4)


def lengths(captions: list[str]) -> Batch:
    counts = torch.tensor([float(len(caption)) for caption in captions])
    return {"context": counts[:, None, None].expand(-1, 3, 2) / 3, "context_mask": counts[:, None] > torch.arange(30.0)}


def test_the_context_lies_beside_the_latents(tmp_path: Path) -> None:
    encoding = Encoding(SHAPES, shrink, 8)
    memory = encode_captions(LatentData.of(encoding), lengths, 4)
    data = ShardedData(ShardWriter(tmp_path / "latents", encoding, shard_bytes=1).write())
    told: list[tuple[int, int]] = []
    joined = encode_captions(data, lengths, 4, tmp_path / "context", progress=lambda *done: told.append(done))
    assert told[-1] == (6, 6)
    assert isinstance(joined, ShardedData)
    again = ShardedData.open(*(table.folder for table in joined.tables))
    for each in (joined, again):
        a, b = Batches(each, 7, seed=1).batch(2), Batches(memory, 7, seed=1).batch(2)
        assert a.keys() == b.keys()
        assert torch.equal(a["context"], b["context"])
        assert torch.equal(a["context"], lengths(a["captions"])["context"])
        assert a["context_mask"].dtype == torch.bool
        assert torch.equal(a["context_mask"], lengths(a["captions"])["context_mask"])
        assert torch.equal(a["latents"], b["latents"])
    assert joined.classes == Shapes.classes
    half = encode_captions(data, lengths, 4, tmp_path / "half", half=True).get_batch([3])["context"]
    assert half.dtype == torch.float32
    assert torch.equal(half, memory.get_batch([3])["context"].half().float())
    assert ShardTable(tmp_path / "latents").rows(np.array([2]), ["captions"]).keys() == {"captions"}


def test_what_cannot_be_encoded_is_told(tmp_path: Path) -> None:
    bare = LatentData({"latents": torch.zeros(3, 1, 2, 2)})
    with pytest.raises(ValueError, match="the data has no captions; it has latents"):
        encode_captions(bare, lengths)
    encoded = encode_captions(LatentData({**bare.fields, "captions": ["a"] * 3}), lengths)
    with pytest.raises(ValueError, match="has a context already"):
        encode_captions(encoded, lengths)
    sharded = ShardedData(ShardWriter(tmp_path, Encoding(SHAPES, shrink, 8)).write())
    with pytest.raises(ValueError, match="name a folder"):
        encode_captions(sharded, lengths)
