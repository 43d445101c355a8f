"""Whole tensors that many processes of a machine use and none of them holds: they lie in a file, which each maps.

The pages are the system's to keep, once for all processes, and to drop when it needs room. Whoever changes a mapped tensor gets a
copy of the pages that it changes, of its own.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import torch
import torch.distributed as dist
from torch import Tensor

ALIGNMENT = 64
"""Bytes; each tensor begins at a multiple of these."""

Place = Callable[[], Tensor]
"""Gives a tensor that was added, once the file is mapped."""


class HostFile:
    """A file on each machine: its first process writes what all add, in the same order; then all map it.

    group: the processes. What the file takes on the disk is free again when no process maps it any more; it has no name by then.
    """

    def __init__(self, group: dist.ProcessGroup) -> None:
        self.group = group
        self._file: IO[bytes] | None = None
        self._refused: OSError | None = None
        self._mapped: mmap.mmap | None = None
        self._end = 0
        rank = dist.get_rank(group)
        self._leader = rank - int(os.environ.get("LOCAL_RANK", rank))  # without torchrun all are on one machine
        if rank == self._leader:
            try:
                self._file = tempfile.NamedTemporaryFile(prefix="latent-loom-", delete=False)  # noqa: SIM115 - until mapped
            except OSError as error:
                self._refused = error

    def add(self, tensor: Tensor) -> Place:
        """Write a tensor (any shape, dtype and device); all processes add the same. A disk that refuses is told by `share`."""
        begin, shape, dtype = self._end, tensor.shape, tensor.dtype
        self._end = begin + -(-tensor.nbytes // ALIGNMENT) * ALIGNMENT
        if self._file is not None and self._refused is None:
            try:
                self._file.seek(begin)
                self._file.write(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
            except OSError as error:
                self._refused = error

        def place() -> Tensor:
            if not math.prod(shape):
                return torch.empty(shape, dtype=dtype)
            assert self._mapped is not None
            return torch.frombuffer(self._mapped, dtype=dtype, count=math.prod(shape), offset=begin).view(shape)

        return place

    def share(self) -> None:
        """Map what was written. Raises OSError, on all processes, where one could not write or map; then nothing is left."""
        path = None
        if self._file is not None:
            path = self._file.name
            try:
                self._file.truncate(self._end)
                self._file.close()
            except OSError as error:
                self._refused = self._refused or error
        told: list[Any] = [None] * dist.get_world_size(self.group)
        dist.all_gather_object(told, path, group=self.group)
        try:
            if self._refused is None and self._end:
                with Path(told[self._leader]).open("r+b") as file:
                    self._mapped = mmap.mmap(file.fileno(), self._end, access=mmap.ACCESS_COPY)
        except (OSError, TypeError, ValueError) as error:
            self._refused = OSError(str(error))
        failures: list[Any] = [None] * len(told)
        dist.all_gather_object(failures, None if self._refused is None else str(self._refused), group=self.group)
        if path is not None:
            with suppress(OSError):
                Path(path).unlink()
        if first := next(filter(None, failures), None):
            raise OSError(first)
