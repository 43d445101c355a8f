"""What is on an accelerator, kept on the host: copies of whatever holds tensors, so that what is in use stays where it is.

A value may be anything: a tensor, a data set that holds a model, a dataclass of a stranger's. All that matters of it here
are the tensors in it, but for those of models. It is copied with those that move in their new places, and shares all else with its original.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

Key = TypeVar("Key")


class UncopiedError(TypeError):
    """A value that has tensors on an accelerator, and cannot be copied."""


def _parts(value: Any) -> Iterator[Any]:
    """The tensors, arrays and models in a value, each once: of mappings, sequences and the attributes of any object."""
    seen: set[int] = set()
    todo = [value]
    while todo:
        item = todo.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, Tensor | nn.Module):
            yield item
        elif isinstance(item, Mapping):
            todo += item.values()
        elif isinstance(item, list | tuple):
            todo += item
        elif isinstance(item, np.memmap):
            continue  # lies on the disk
        elif hasattr(item, "nbytes"):
            yield item
        elif hasattr(item, "__dict__") and not isinstance(item, type):
            todo += vars(item).values()
        elif is_dataclass(item) and not isinstance(item, type):  # with slots
            todo += [getattr(item, field.name) for field in fields(item)]


def leaves(value: Any) -> Iterator[Any]:
    """The tensors and arrays in a value, each once; those of models too."""
    seen: set[int] = set()
    for part in _parts(value):
        for leaf in [*part.parameters(), *part.buffers()] if isinstance(part, nn.Module) else [part]:
            if id(leaf) not in seen:
                seen.add(id(leaf))
                yield leaf


def size_of(value: Any) -> int:
    """Bytes of the tensors and arrays in a value."""
    return sum(int(leaf.nbytes) for leaf in leaves(value))


def on_host(values: Mapping[Key, Any]) -> tuple[dict[Key, Any], frozenset[int]]:
    """Values with their tensors on the CPU, and the ids of those tensors there that had to be fetched.

    Models stay themselves, wherever they lie: they have an owner (`graph_runner.run.residence`). Raises UncopiedError.
    """

    def fetched(tensor: Tensor) -> Tensor:
        return tensor if tensor.device.type == "cpu" else tensor.detach().to("cpu", copy=True)

    return _with_tensors(values, fetched)


def in_use(values: Mapping[Key, Any], fetched: Collection[int], device: torch.device) -> dict[Key, Any]:
    """Values from the host as they are used on a device: what was fetched from there as copies."""
    used, _ = _with_tensors(values, lambda tensor: tensor.detach().to(device) if id(tensor) in fetched else tensor)
    return used


def _with_tensors(
    values: Mapping[Key, Any], moved: Callable[[Tensor], Tensor]
) -> tuple[dict[Key, Any], frozenset[int]]:
    """Copies of the values in which each tensor is what `moved` makes of it, and the ids of the tensors that it made.

    A value where it changes none is itself. What two values share their copies share too.
    """
    memo: dict[int, Any] = {}  # what deepcopy finds here it does not copy
    changing: set[int] = set()
    held = {key: list(_parts(value)) for key, value in values.items()}
    for leaf in {id(leaf): leaf for each in held.values() for leaf in each}.values():
        memo[id(leaf)] = leaf
        if isinstance(leaf, Tensor) and (other := moved(leaf)) is not leaf:
            memo[id(leaf)] = other
            changing.add(id(leaf))
    copies: dict[Key, Any] = {}
    for key, value in values.items():
        try:
            copies[key] = copy.deepcopy(value, memo) if any(id(leaf) in changing for leaf in held[key]) else value
        except Exception as error:  # a value of a stranger's may hold anything: a file, a lock, a generator
            raise UncopiedError(f"a {type(value).__name__} cannot be copied from the device: {error}") from error
    return copies, frozenset(id(memo[each]) for each in changing)
