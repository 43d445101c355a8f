"""What is made of a condition that stays the same, computed once for a sampling: cross-attention's keys and values above all.

A sampler asks the denoiser dozens of times under one condition, and keys and values depend on the condition alone. Within `constant_context()`
they are computed at the first call and read at the others: the same tensors, so the same bits. Never where gradients are taken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import torch
from torch import Tensor

CONTEXTS = 4
"""Of how many contexts the results are kept for each layer, the latest: a guided call that is not joined has two."""

T = TypeVar("T")
C = TypeVar("C", Tensor, tuple[Tensor, ...])
_Entry = tuple[Hashable, Any, Any]  # the context is held, so that its memory is nobody else's
_kept: ContextVar[dict[Hashable, deque[_Entry]] | None] = ContextVar("what was made of contexts", default=None)


@contextmanager
def constant_context() -> Iterator[None]:
    """Within, neither weights nor contexts change in place: for the length of one sampling. What was kept goes with it."""
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def kept() -> bool:
    """Whether results are kept here: within `constant_context`, without gradients."""
    return not torch.compiler.is_compiling() and _kept.get() is not None and not torch.is_grad_enabled()


def once(owner: Hashable, context: C, compute: Callable[[C], T]) -> T:
    """`compute(context)`, where results are kept only once for each owner (a layer) and context: a tensor of any shape, or several."""
    if not kept():
        return compute(context)
    held = _kept.get()
    assert held is not None
    entries = held.setdefault(owner, deque(maxlen=CONTEXTS))
    key = _identity(context) if isinstance(context, Tensor) else tuple(map(_identity, context))
    for entry in entries:
        if entry[0] == key:
            made: T = entry[2]
            return made
    made = compute(context)
    entries.append((key, context, made))
    return made


def _identity(context: Tensor) -> Hashable:
    """Equal for views of the same numbers, as each call's expansion of one row to a batch is, under the same autocast."""
    kind = context.device.type
    cast = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    version = 0 if context.is_inference() else context._version
    view = (context.storage_offset(), context.shape, context.stride(), context.dtype)
    return (context.untyped_storage()._cdata, version, cast, *view)
