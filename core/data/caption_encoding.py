"""Captions encoded once and kept beside the latents: then no text encoder is in memory while the diffusion model trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from core.data.batch import Batch, concatenate
from core.data.latents import LatentData
from core.data.shard_writer import Progress, ShardWriter
from core.data.shards import ShardedData

EncodeTexts = Callable[[list[str]], Batch]


class CaptionEncoding:
    """The batches of what a text encoder makes of a data set's captions, in the data's order: `context` (b, n, d), and what belongs to it.

    encode: b texts → tensors by name, of b rows each, on any device. Raises ValueError where the data has no captions.
    """

    classes: tuple[str, ...] = ()

    def __init__(self, data: LatentData | ShardedData, encode: EncodeTexts, batch_size: int = 64) -> None:
        if "captions" not in data.fields:
            raise ValueError(
                f"the data has no captions; it has {', '.join(sorted(data.fields))}. Encode data that has them"
            )
        if "context" in data.fields:
            raise ValueError("the data has a context already; wire the data before its captions were encoded")
        self.data, self.encode, self.batch_size = data, encode, batch_size

    def __len__(self) -> int:
        """Batches in all."""
        return -(-len(self.data) // self.batch_size)

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """Batches start … stop − 1, on the CPU."""
        for n in range(start, stop):
            index = range(n * self.batch_size, min((n + 1) * self.batch_size, len(self.data)))
            with torch.no_grad():
                yield {name: tensor.cpu() for name, tensor in self.encode(_captions(self.data, index)).items()}


def encode_captions(
    data: LatentData | ShardedData,
    encode: EncodeTexts,
    batch_size: int = 64,
    folder: Path | None = None,
    half: bool = False,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
) -> LatentData | ShardedData:
    """The data, and beside it the `context` of its captions; of shards in shards of its own, below `folder`.

    encode: b texts → the `context` (b, n, d) and what belongs to it, on any device. half: keep the context in float16, which is read as it came. Raises ValueError
    where the data has no captions, and for shards without a folder.
    """
    encoding = CaptionEncoding(data, encode, batch_size)
    if isinstance(data, LatentData):
        encoded = []
        for batch in encoding.batches(0, len(encoding)):
            encoded.append(batch)
            if progress is not None:
                progress(len(encoded), len(encoding))
        return LatentData({**data.fields, **concatenate(encoded)}, data.std, data.classes)
    if folder is None:
        raise ValueError("the data is in shards; name a folder for those of the captions")
    return ShardedData(
        *data.tables, ShardWriter(folder, encoding, ("context",) if half else (), progress, tell).write()
    )


def _captions(data: LatentData | ShardedData, index: range) -> list[str]:
    if isinstance(data, LatentData):
        return [data.fields["captions"][i] for i in index]
    [table] = (table for table in data.tables if "captions" in table.fields)
    captions: list[str] = table.rows(np.array(index), ["captions"])["captions"]
    return captions
