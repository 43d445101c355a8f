"""Writes tables of shards (`core.data.shards`), shard by shard: each is whole or not there, and those that are whole stay.

What belongs to which shard follows from the data alone. So whoever comes later, after a kill or from another process on the
same folder, takes the next shard that is missing and that nobody holds, and the table is the same to the bit.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from filelock import FileLock, Timeout
from safetensors import safe_open
from torch import Tensor

from core.checkpoints.descriptions import read_description
from core.checkpoints.files import CheckpointError
from core.checkpoints.seals import seal_of, write_sealed
from core.checkpoints.weights import read_json
from core.checksums import checksum, sealed, unsealed
from core.data.batch import PADDED, Batch, concatenate
from core.data.shards import BYTES, INDEX, PLAN, SHARD, ShardTable, check_shard, text_names, text_tensors
from core.files import atomic_file, sweep
from core.numbers import finite

SHARD_BYTES = 128 * 2**20
"""A shard is at most about so large; the writer holds a few times as much."""
PAUSE_SECONDS = 0.2

_log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


class Source(Protocol):
    """What a table is written of: batches by their numbers, always the same."""

    classes: tuple[str, ...]

    def __len__(self) -> int: ...

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """Batches start … stop − 1, on the CPU."""
        ...


class ShardWriter:
    """Writes a table, alone or beside others that write the same one: each takes shards that nobody has.

    folder: for the table alone. What is there and whole is kept.
    half: fields to store in float16, half as large; they are read as they came. Numbers beyond 65,504 are refused.
    tell: hears of what was damaged and is written anew. shard_bytes: how large a shard may be, `SHARD_BYTES` where left out.

    Raises ValueError where the folder holds a table with another plan, FloatingPointError for latents that are no numbers.
    """

    def __init__(
        self,
        folder: str | Path,
        source: Source,
        half: Sequence[str] = (),
        progress: Progress | None = None,
        tell: Callable[[str], None] | None = None,
        shard_bytes: int | None = None,
    ) -> None:
        self.folder, self.source, self.half = Path(folder), source, tuple(half)
        self._progress, self._tell = progress, tell
        self.folder.mkdir(parents=True, exist_ok=True)
        sweep(self.folder)
        self._plan = self._planned(SHARD_BYTES if shard_bytes is None else shard_bytes)
        self._seals = self._described_seals()
        self._each: int = self._plan["each"]
        self._count = -(-len(source) // self._each)
        self._done = 0

    def write(self) -> ShardTable:
        """Write what is missing, wait for what others are writing, and open the table."""
        todo = list(range(self._count))
        while todo:
            held = [shard for shard in todo if not self._have(shard)]
            if len(held) == len(todo):
                time.sleep(PAUSE_SECONDS)
            todo = held
        while not self._described():
            with self._alone(INDEX) as mine:  # a second writer could be at it when the folder is stored
                if mine:
                    if not self._described():
                        self._write_index()
                    break
            time.sleep(PAUSE_SECONDS)
        for lock in self.folder.glob(".*.lock"):
            lock.unlink(missing_ok=True)
        return ShardTable(self.folder, check=False)

    def _planned(self, shard_bytes: int) -> dict[str, Any]:
        """The plan in the folder; else one by the first batch."""
        asked = {"batches": len(self.source), "half": list(self.half)}
        file = self.folder / PLAN
        if file.is_file():
            try:
                plan = read_description(file)
                if {name: plan[name] for name in asked} != asked:
                    raise ValueError(
                        f"{self.folder} holds shards of other data or settings; name another folder, or empty it"
                    )
                return {name: plan[name] for name in (*asked, "each", "fields", "texts", "wide")}
            except (CheckpointError, KeyError):  # the shards may be whole for all that
                self._say(f"{file} is damaged, and is made anew")
        first = next(iter(self.source.batches(0, 1)))
        size = sum(tensor.nbytes for tensor in _tensors(self._stored(first)).values())
        plan = {
            **asked,
            "each": max(1, shard_bytes // max(1, size)),
            "fields": sorted(first),
            "texts": sorted(name for name, values in first.items() if not isinstance(values, Tensor)),
            "wide": {name: str(first[name].dtype).removeprefix("torch.") for name in self.half if name in first},
        }
        _write_json(file, plan)
        return plan

    def _have(self, shard: int) -> bool:
        """Make sure of a shard: True once it is there and whole, False where another process writes it."""
        batches = range(shard * self._each, min((shard + 1) * self._each, len(self.source)))
        with self._alone(SHARD.format(shard)) as mine:
            file = self.folder / SHARD.format(shard)
            if not mine:
                return False
            if not self._whole(file, shard):
                with atomic_file(file) as temporary:
                    write_sealed(self._content(batches), temporary, {"format": "pt", "shard": str(shard)})
                (self.folder / INDEX).unlink(missing_ok=True)  # of what was damaged
            else:
                self._advance(len(batches))
        return True

    def _whole(self, file: Path, shard: int) -> bool:
        if not file.exists():
            return False
        try:
            check_shard(file)
            with safe_open(file, "pt") as opened:
                if opened.metadata()["shard"] == str(shard) and self._seals.get(file.name) in (None, seal_of(file)):
                    return True
        except Exception as error:  # whatever damage does to a file's header
            _log.debug("%s: %s", file, error)
        self._say(f"{file} is damaged, or another's, and is encoded anew")
        return False

    def _content(self, batches: range) -> dict[str, Tensor]:
        parts = []
        for batch in self.source.batches(batches.start, batches.stop):
            for name in {"latents", *self.half} & batch.keys():
                finite(batch[name], f"the encoded {name}")
            parts.append(self._stored(batch))
            self._advance(1)
        return _tensors(concatenate(parts))

    def _stored(self, batch: Batch) -> Batch:
        """A batch as it is stored, half fields in float16. Raises FloatingPointError where that overflows."""
        halves = {name: batch[name].to(torch.float16) for name in self.half if name in batch}
        for name, values in halves.items():
            finite(values, f"the encoded {name}, stored in float16")
        return batch | halves

    def _described_seals(self) -> dict[str, str]:
        """The checksums that an earlier index holds of the shards."""
        try:
            seals: dict[str, str] = unsealed(read_json(self.folder / INDEX))["files"]
        except (KeyError, ValueError):
            return {}
        return seals

    def _described(self) -> bool:
        """Whether the index is there, and of these files."""
        try:
            read_description(self.folder / INDEX)
        except CheckpointError:
            return False
        return True

    def _write_index(self) -> None:
        """Describe the shards, all of which are there. Raises ValueError where one has other fields than the first batch."""
        plan, rows, longest = self._plan, list[int](), dict[str, int]()
        wanted = {each for name in plan["fields"] for each in (text_names(name) if name in plan["texts"] else (name,))}
        names = [SHARD.format(shard) for shard in range(self._count)]
        for shard in names:
            with safe_open(self.folder / shard, "pt") as file:
                shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 - no mapping
            if shapes.keys() != wanted:
                raise ValueError(f"{shard} has the fields {sorted(shapes)}, and the first batch {sorted(wanted)}")
            rows.append(next(shape[0] for name, shape in shapes.items() if not name.endswith(BYTES)))
            for name in PADDED.keys() & shapes.keys():
                longest[name] = max(longest.get(name, 0), shapes[name][1])
        files = {PLAN: checksum(self.folder / PLAN)} | {name: seal_of(self.folder / name) for name in names}
        described = {"rows": rows, "longest": longest, "classes": self.source.classes, "files": files}
        _write_json(self.folder / INDEX, {**{name: plan[name] for name in ("fields", "texts", "wide")}, **described})

    @contextmanager
    def _alone(self, name: str) -> Iterator[bool]:
        """Hold one file of the table; False where another process does. It lets go with the process, however that ends."""
        lock = FileLock(self.folder / f".{name}.lock", blocking=False)
        try:
            lock.acquire()
        except Timeout:
            yield False
            return
        except (NotImplementedError, OSError):  # no locks here: two may do the same, and one takes the other's place
            yield True
            return
        try:
            yield True
        finally:
            lock.release()

    def _advance(self, batches: int) -> None:
        self._done += batches
        if self._progress is not None:
            self._progress(min(self._done, len(self.source)), len(self.source))

    def _say(self, sentence: str) -> None:
        if self._tell is not None:
            self._tell(sentence)


def _tensors(batch: Batch) -> dict[str, Tensor]:
    """A batch as tensors alone, texts as their bytes."""
    tensors: dict[str, Tensor] = {}
    for name, values in batch.items():
        tensors |= {name: values.contiguous()} if isinstance(values, Tensor) else text_tensors(name, values)
    return tensors


def _write_json(file: Path, content: dict[str, Any]) -> None:
    with atomic_file(file) as temporary:
        temporary.write_text(json.dumps(sealed(content), indent=1) + "\n", encoding="utf-8")
