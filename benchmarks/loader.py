"""How fast batches of encoded data come: this project's loader on its shards against a bare DataLoader on the same bytes.

    python -m benchmarks.loader [--samples 65536] [--shape 4 32 32] [--batch 64] [--rounds 7]

Both read the same memory-mapped latents, shuffled, after one pass that warms the page cache. The bare one is torch's DataLoader
with its own sampler and `default_collate` on a data set whose items are rows of the mapped arrays; `whole batches` is the same
where the data set gives a batch at once (`__getitems__`), as far as a DataLoader can be brought. Ours does more: the order follows
from a seed, each batch says which samples it holds. The rounds of all take turns, and the ratio of each round's samples/s is
told (its median, least and greatest), so that what else the machine does weighs on both alike. On a machine that is busy with other
things, the processor time that a batch costs, of this process and its workers, tells more.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch.utils.data import DataLoader, Dataset

from core.data.batch import Batch
from core.data.loader import Batches
from core.data.shard_writer import ShardWriter
from core.data.shards import ShardedData


class Synthetic:
    """Latents of normal numbers, with labels."""

    classes = ()

    def __init__(self, samples: int, shape: list[int], batch: int = 256) -> None:
        self.samples, self.shape, self.batch = samples, shape, batch

    def __len__(self) -> int:
        return -(-self.samples // self.batch)

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        for n in range(start, stop):
            rows = min(self.batch, self.samples - n * self.batch)
            latents = torch.randn(rows, *self.shape, generator=torch.Generator().manual_seed(n))
            yield {"latents": latents, "labels": torch.arange(rows) % 10}


class Rows(Dataset[Any]):
    """The rows of mapped shards, one by one."""

    def __init__(self, data: ShardedData) -> None:
        [self.table] = data.tables
        self.ends = self.table._ends

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, i: int) -> dict[str, Any]:
        shard = int(np.searchsorted(self.ends, i, side="right"))
        row = i - (int(self.ends[shard - 1]) if shard else 0)
        arrays = self.table._mapped(shard)
        return {"latents": torch.from_numpy(arrays["latents"][row]), "labels": int(arrays["labels"][row])}


class WholeBatches(Rows):
    """The same, many at once: a DataLoader asks so where it can."""

    def __getitems__(self, indices: list[int]) -> Batch:
        return self.table.rows(np.array(indices))


def bare(data: Dataset[Any], batch: int, workers: int) -> Iterator[Batch]:
    collate = _unchanged if isinstance(data, WholeBatches) else None
    while True:
        context = "forkserver" if workers else None
        yield from DataLoader(
            data,
            batch,
            shuffle=True,
            drop_last=True,
            num_workers=workers,
            collate_fn=collate,
            multiprocessing_context=context,
        )


def _unchanged(whole: Batch) -> Batch:
    return whole


def rate(batches: Iterator[Batch], count: int, batch: int) -> float:
    """Samples a second, each number of them looked at."""
    began = time.perf_counter()
    for each in islice(batches, count):
        each["latents"].sum()
    return count * batch / (time.perf_counter() - began)


def cost(make: Callable[[], Iterator[Batch]], count: int) -> float:
    """Seconds of processor time a batch, in this process and in the workers: other programs do not weigh on it."""

    def spent() -> float:
        own = [psutil.Process(), *(psutil.Process(pid) for pid in workers)]
        return sum(sum(process.cpu_times()[:2]) for process in own)

    before = {child.pid for child in psutil.Process().children(recursive=True)}
    batches = make()
    next(batches)
    workers = {child.pid for child in psutil.Process().children(recursive=True)} - before
    began = spent()
    for each in islice(batches, count):
        each["latents"].sum()
    taken = spent() - began
    batches.close()  # type: ignore[attr-defined]
    return taken / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=65536)
    parser.add_argument("--shape", type=int, nargs=3, default=[4, 32, 32])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="where the shards are written; left out, a temporary folder")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        data = ShardedData(ShardWriter(folder, Synthetic(asked.samples, asked.shape)).write())
        print(f"{len(data):,} samples in {len(list(Path(folder).glob('shard-*')))} shards")
        for workers in (0, 2):
            makers: dict[str, Callable[[], Iterator[Batch]]] = {
                "ours": lambda workers=workers: Batches(data, asked.batch, workers=workers).iterate(),  # type: ignore[misc]
                "bare": lambda workers=workers: bare(Rows(data), asked.batch, workers),  # type: ignore[misc]
                "whole batches": lambda workers=workers: bare(WholeBatches(data), asked.batch, workers),  # type: ignore[misc]
            }
            running = {name: make() for name, make in makers.items()}
            count = len(data) // asked.batch // 2
            for iterator in running.values():
                rate(iterator, count, asked.batch)
            rates = {name: list[float]() for name in running}
            for _ in range(asked.rounds):
                for name, iterator in running.items():
                    rates[name].append(rate(iterator, count, asked.batch))
            print(
                f"\n{workers} workers, samples/s: "
                + ", ".join(f"{k} {statistics.median(v):,.0f}" for k, v in rates.items())
            )
            for name in ("bare", "whole batches"):
                ratios = [a / b for a, b in zip(rates["ours"], rates[name], strict=True)]
                print(f"  ours / {name}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
            for iterator in running.values():
                iterator.close()  # type: ignore[attr-defined]
            costs = {name: list[float]() for name in makers}
            for _ in range(3):
                for name, make in makers.items():
                    costs[name].append(cost(make, count))
            least = {name: min(values) for name, values in costs.items()}
            print("  ms of processor time a batch: " + ", ".join(f"{name} {1000 * v:.2f}" for name, v in least.items()))


if __name__ == "__main__":
    main()
