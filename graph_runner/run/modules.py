"""Modules and their tensors: which lie in a value, how large they are, where they are, and how they go elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

DEPTH = 4
"""So deep a module may lie in a value: a data set seen through a first stage has one two levels down."""


def modules_in(value: Any, depth: int = DEPTH) -> Iterator[nn.Module]:
    """The modules in a value: itself, in containers, and held by objects (a data set, a condition). Each outermost one.

    Of a long list of alike things the first one is looked at.
    """
    if isinstance(value, nn.Module):
        yield value
    elif isinstance(value, Tensor | str | bytes | int | float | bool | None | type) or depth == 0:
        return
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from modules_in(item, depth - 1)
    elif isinstance(value, list | tuple):
        alike = len(value) > 1 and all(type(item) is type(value[0]) for item in value[:2])
        holds = not alike or any(True for _ in modules_in(value[0], depth - 1))
        for item in value if holds else ():
            yield from modules_in(item, depth - 1)
    else:
        yield from modules_in(getattr(value, "__dict__", {}), depth)


def tensors_of(module: nn.Module) -> Iterator[Tensor]:
    """The parameters and buffers of a module and of all inside it, each once."""
    seen: set[int] = set()
    for each in module.modules():
        for tensor in (*each._parameters.values(), *each._buffers.values()):
            if tensor is not None and id(tensor) not in seen:
                seen.add(id(tensor))
                yield tensor


def size_of(tensors: Iterable[Tensor]) -> int:
    """The bytes of tensors."""
    return sum(tensor.nbytes for tensor in tensors)


def replace_tensors(module: nn.Module, made: Callable[[Tensor], Tensor]) -> None:
    """Put another tensor in the place of each one of a module: in place, so that whoever knows a parameter still knows it.

    What `made` gives back as it was stays as it is.
    """
    with torch.no_grad():
        module._apply(made)  # type: ignore[no-untyped-call]  # what `to`, `cuda` and `half` are made of
