"""Encoded data that stays on disk: tables of shards, mapped into memory, whose samples are read where they lie.

    index.json                  rows of each shard, fields, names of the classes, checksums of all files
    plan.json                   how the rows are dealt to the shards, for a writer that goes on
    shard-00000.safetensors     a number of rows: a tensor (rows, …) for each field
    …

A field of texts (or of any JSON values) is two tensors, `captions/bytes` with the values as JSON, one after the other, and
`captions/ends` with the place behind each. What is mapped belongs to the file: the system reads what is asked for and takes
the memory back when it needs it, so a table may be larger than memory. Written by `core.data.shard_writer`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from core.checkpoints.descriptions import read_description
from core.checkpoints.files import CheckpointError
from core.checkpoints.seals import check_seal
from core.data.batch import PADDED, Batch, sample_of
from core.data.keyed import KeyedRandom
from core.data.latents import drawn

INDEX, PLAN, SHARD = "index.json", "plan.json", "shard-{:05}.safetensors"
BYTES, ENDS = "/bytes", "/ends"
CHECKERS = min(8, cpu_count() or 1)
"""Threads that hold shards against their checksums: one checks 2 GB/s, and waits for the disk meanwhile."""


class ShardTable:
    """The shards of one folder.

    folder: complete. check: whether to hold every file against its checksum, which reads it once.

    Attributes: `fields` (names, in order; a table of latents has `latents`, and `std` where they are means of posteriors),
    `classes`. Raises CheckpointError, naming the file that is missing or damaged.
    """

    def __init__(self, folder: str | Path, check: bool = True) -> None:
        self.folder = Path(folder)
        index = read_description(self.folder / INDEX)
        try:
            self.classes = tuple(index["classes"])
            self.fields: tuple[str, ...] = tuple(index["fields"])
            self._longest: dict[str, int] = dict(index["longest"])
            self._texts = frozenset(index["texts"])
            self._wide = {name: getattr(torch, dtype) for name, dtype in index["wide"].items()}
            self._ends = np.cumsum(np.asarray(index["rows"], dtype=np.int64))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self.folder / INDEX} describes no shards ({error!r}); encode the data again."
            ) from error
        self._maps: dict[int, dict[str, NDArray[Any]]] = {}
        self._types: dict[str, torch.dtype] = {}
        if check:
            with ThreadPoolExecutor(CHECKERS) as pool:
                for _ in pool.map(check_shard, map(self._file, range(len(self._ends)))):
                    pass

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getstate__(self) -> dict[str, Any]:
        """What a worker is sent: it maps the files itself."""
        return {**vars(self), "_maps": {}}

    def rows(self, index: NDArray[np.int64], fields: Collection[str] | None = None) -> Batch:
        """The samples at these places, each from 0 on: these fields, or all. Raises IndexError for other places."""
        if index.size and not 0 <= index.min() <= index.max() < len(self):
            raise IndexError(
                f"{self.folder} holds samples 0 to {len(self) - 1}; asked for {index.min()} to {index.max()}"
            )
        shards = np.searchsorted(self._ends, index, side="right")
        rows = index - np.concatenate([[0], self._ends])[shards]
        places = [(self._mapped(shard), row) for shard, row in zip(shards.tolist(), rows.tolist(), strict=True)]
        return {name: self._field(name, places) for name in fields or self.fields}

    def _field(self, name: str, places: list[tuple[dict[str, NDArray[Any]], int]]) -> Tensor | list[Any]:
        """One field of the samples at these rows of mapped shards. Copied row by row: an index of many is slower by far."""
        if name in self._texts:
            return [_text(arrays, name, row) for arrays, row in places]
        some, n = self._mapped(0)[name], len(places)
        if name not in PADDED:
            found: NDArray[Any] = np.empty((n, *some.shape[1:]), some.dtype)
            for i, (arrays, row) in enumerate(places):
                found[i] = arrays[name][row]
        else:
            found = np.full((n, self._longest[name], *some.shape[2:]), PADDED[name], some.dtype)
            for i, (arrays, row) in enumerate(places):
                values = arrays[name][row]
                found[i, : len(values)] = values
        tensor = torch.from_numpy(found).view(self._types[name])
        return tensor.to(self._wide[name]) if name in self._wide else tensor

    def _mapped(self, shard: int) -> dict[str, NDArray[Any]]:
        if shard not in self._maps:
            try:
                tensors = load_file(self._file(shard))
            except (OSError, SafetensorError) as error:
                raise CheckpointError(
                    f"{self._file(shard)} cannot be read ({error}); encode the data again."
                ) from error
            self._types |= {name: tensor.dtype for name, tensor in tensors.items()}
            self._maps[shard] = {name: _array(tensor) for name, tensor in tensors.items()}
        return self._maps[shard]

    def _file(self, shard: int) -> Path:
        return self.folder / SHARD.format(shard)


class ShardedData:
    """A data set of tables side by side, such as latents and what a text encoder made of their captions.

    tables: equally long, with different fields, `latents` among them; else ValueError. Latents of posteriors are drawn anew
    each epoch, as by `LatentData`.
    """

    def __init__(self, *tables: ShardTable) -> None:
        names = [name for table in tables for name in table.fields]
        if len({len(table) for table in tables}) != 1 or len(set(names)) < len(names) or "latents" not in names:
            told = [f"{table.folder} has {len(table)} of {', '.join(table.fields)}" for table in tables]
            raise ValueError(f"these tables make no data set of latents: {'; '.join(told)}")
        self.tables = tables
        self.classes = tables[0].classes

    @classmethod
    def open(cls, *folders: str | Path, check: bool = True) -> ShardedData:
        """The tables of these folders. Raises CheckpointError, naming the file, where one is missing or damaged."""
        return cls(*(ShardTable(folder, check) for folder in folders))

    def __repr__(self) -> str:
        return f"{len(self):,} samples of {', '.join(self.fields)} in {self.tables[0].folder}"

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of a batch's fields."""
        return tuple(name for table in self.tables for name in table.fields if name != "std")

    @property
    def num_classes(self) -> int:
        """How many classes the labels count; 0 where there are none."""
        return len(self.classes)

    def __len__(self) -> int:
        return len(self.tables[0])

    def __getitem__(self, i: int) -> dict[str, Any]:
        return sample_of(self.get_batch([i]))

    def get_batch(self, indices: Sequence[int] | NDArray[np.int64], random: KeyedRandom | None = None) -> Batch:
        """The samples at `indices`; with `random`, latents drawn from their posteriors where those are kept."""
        index = np.asarray(indices, dtype=np.int64)
        batch: Batch = {}
        for table in self.tables:
            batch |= table.rows(index)
        std = batch.pop("std", None)
        if std is not None and random is not None:
            batch["latents"] = drawn(batch["latents"], std, random)
        return batch


def check_shard(file: Path) -> None:
    """Hold a shard against its checksum. Raises CheckpointError, naming it, where it is missing or damaged."""
    try:
        check_seal(file)
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read ({error.strerror or error}); encode the data again.") from error


def text_names(name: str) -> tuple[str, str]:
    """The two tensors that a field of texts is stored as."""
    return name + BYTES, name + ENDS


def text_tensors(name: str, values: Sequence[Any]) -> dict[str, Tensor]:
    """A field of texts, or of any JSON values, as it is stored. Raises ValueError, naming the field, for others."""
    try:
        texts = [json.dumps(value).encode() for value in values]
    except (TypeError, ValueError) as error:
        raise ValueError(f"the field {name!r} holds what no file can ({error}); leave it out") from error
    content = np.frombuffer(bytearray(b"".join(texts)), dtype=np.uint8)
    ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
    return dict(zip(text_names(name), (torch.from_numpy(content), torch.from_numpy(ends)), strict=True))


def _text(arrays: dict[str, NDArray[Any]], name: str, row: int) -> Any:
    content, ends = (arrays[each] for each in text_names(name))
    return json.loads(content[ends[row - 1] if row else 0 : ends[row]].tobytes())


def _array(tensor: Tensor) -> NDArray[Any]:
    """A tensor as an array over the same bytes; as whole numbers where numpy does not have its type."""
    try:
        array: NDArray[Any] = tensor.numpy()
    except TypeError:
        array = tensor.view({1: torch.uint8, 2: torch.int16}[tensor.element_size()]).numpy()
    return array
