"""How much memory the pretend device has: its tensors are counted as an allocator would, and more than there is are refused."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from tests import pretend


class Allocator:
    """Counts the bytes of what lies on the pretend device. capacity: more raises what PyTorch raises."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.live, self.peak, self.refused = capacity, 0, 0, 0
        self._sizes: Any = WeakIdKeyDictionary()

    def hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._sizes:
            return
        size = storage.nbytes()
        if self.live + size > self.capacity:
            self.refused += 1
            raise torch.OutOfMemoryError(
                f"pretend out of memory. Tried to allocate {size / 2**20:.2f} MiB. {self.capacity - self.live} bytes are free"
            )
        self._sizes[storage] = size
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._let_go, size)

    def _let_go(self, size: int) -> None:
        self.live -= size


@contextmanager
def memory(capacity: int) -> Iterator[Allocator]:
    """While inside, the pretend device has so many bytes."""
    allocator = Allocator(capacity)
    made = pretend.Elsewhere.__new__
    told = {
        "mem_get_info": lambda *_: (allocator.capacity - allocator.live, allocator.capacity),
        "memory_allocated": lambda *_: allocator.live,
        "memory_reserved": lambda *_: allocator.live,
        "empty_cache": lambda *_: None,
    }

    def counted(cls: Any, held: Tensor, requires_grad: bool = False) -> Tensor:
        allocator.hold(held)
        return made(cls, held, requires_grad)

    pretend.Elsewhere.__new__ = staticmethod(counted)  # type: ignore[method-assign,assignment]
    for name, function in told.items():
        setattr(pretend.BACKEND, name, function)
    try:
        yield allocator
    finally:
        pretend.Elsewhere.__new__ = staticmethod(made)  # type: ignore[method-assign,assignment]
        for name in told:
            delattr(pretend.BACKEND, name)
