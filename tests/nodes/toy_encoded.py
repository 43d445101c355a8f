"""Encoding in shards so small that tests see many, and synthetic latents that are larger than memory may be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import torch

import core.data.shard_writer
from core.data.batch import Batch
from core.data.shard_writer import ShardWriter
from core.data.shards import ShardedData
from graph_runner.context import ValueFolder
from graph_runner.contract import Inject, node
from nodes.wires import LatentDataset

SMALL = 60_000
core.data.shard_writer.SHARD_BYTES = SMALL  # of who runs with these nodes


class Numbered:
    """Latents (4, 16, 16) whose first number is the sample's own."""

    classes = ()

    def __init__(self, samples: int, batch: int = 2000) -> None:
        self.samples, self.batch = samples, batch

    def __len__(self) -> int:
        return self.samples // self.batch

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        noise = torch.randn(self.batch, 4, 16, 16, generator=torch.Generator().manual_seed(0))
        for n in range(start, stop):
            latents = noise.roll(n, 0)
            latents[:, 0, 0, 0] = torch.arange(n * self.batch, (n + 1) * self.batch)
            yield {"latents": latents, "captions": [f"number {i}" for i in range(n * self.batch, (n + 1) * self.batch)]}


@node(category="toy", keep=True)
def numbered_latents(folder: ValueFolder, samples: int = 1_000_000) -> LatentDataset:
    """Synthetic latents.

    samples: how many.
    """
    return ShardedData(ShardWriter(folder, Numbered(samples), shard_bytes=64 * 2**20).write())


@node(category="toy")
def own_folder(folder: Annotated[Path, Inject("value_folder")], number: int = 0) -> str:
    """The folder that a call is given.

    number: any.
    """
    return str(folder)
