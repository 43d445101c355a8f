"""What a training takes of each process' memory, for a dry run: processes that are only imagined, and what a trainer holds.

Replicated, each process holds all weights, gradients, averages and the optimizer's state, and its share of the batch. Sharded
(Zhao et al. 2023), it holds an equal part of all of these, and puts the weights of a block together while it computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from graph_runner.contract.context import Processes
from graph_runner.estimate.meter import Meter

KINDS = ("weights", "gradients", "optimizer", "averages")
"""What a trainer holds for each weight, and what is split where models are sharded."""
IN_FLIGHT = 3
"""Blocks that are whole at once: the one at work, the next one on its way, and a gradient that leaves."""


@runtime_checkable
class Holder(Protocol):
    """The state of a loop that says what it holds from step to step. models: those that train, by name."""

    models: Mapping[str, nn.Module]

    def held(self) -> Mapping[str, Iterable[Tensor]]:
        """The tensors by what they are: "weights", "averages", "optimizer"."""
        ...


class Imagined(Processes):
    """The first of so many processes, of which there is no other: what they would send each other takes its memory, and no time."""

    def __init__(self, world: int, shard: bool, meter: Meter) -> None:
        super().__init__(0, world)
        self._sharded, self._meter = shard, meter

    def together(self) -> AbstractContextManager[None]:
        """Nothing can wait for another process."""
        return nullcontext()

    apart = together

    def mean(self, tensors: list[Tensor]) -> list[Tensor]:
        """The tensors, after the buffer that all of them travel in; a part of each leaves by itself where models are sharded."""
        if self.world == 1 or self._sharded or not tensors:
            return tensors
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        self._meter.name([flat], "communication")
        pieces = torch.split(flat, [tensor.numel() for tensor in tensors])
        return [piece.view_as(tensor) for piece, tensor in zip(pieces, tensors, strict=True)]

    def begin_mean(self, tensors: list[Tensor]) -> Callable[[], list[Tensor]]:
        """The same for tensors that travel while the backward pass goes on."""
        means = self.mean(tensors)
        return lambda: means

    def gather(self, value: Any) -> list[Any]:
        """What this process has."""
        return [value]

    def any(self, flag: bool) -> bool:
        """What this process says."""
        return flag

    def agree(self, value: Any) -> Any:
        """What this process says."""
        return value


def watch(holder: Holder, meter: Meter) -> list[torch.utils.hooks.RemovableHandle]:
    """Name what a trainer holds, and each gradient as it comes; the hooks are the caller's to remove."""
    note(holder, meter)
    trained = [weight for weight in holder.held().get("weights", ()) if weight.requires_grad]

    def named(gradient: Tensor) -> None:
        meter.name([gradient], "gradients")

    return [weight.register_hook(named) for weight in trained]  # type: ignore[no-untyped-call]


def split(holder: Holder, meter: Meter) -> None:
    """A training that splits its models begins: they were whole, and there were no averages, which are made of parts."""
    weights = {id(weight): weight.nbytes for model in holder.models.values() for weight in model.parameters()}
    meter.lived({"weights": sum(weights.values()), "averages": 0})


def note(holder: Holder, meter: Meter) -> None:
    """Name what a trainer holds by now."""
    for kind, tensors in holder.held().items():
        meter.name(tensors, kind)


def whole_at_once(models: Iterable[nn.Module]) -> int:
    """Bytes of weights that a sharded training has put together at once: those outside of blocks, and the blocks in flight.

    A block is what a model has many of: an item of its lists.
    """
    outside = largest = 0
    for model in models:
        lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
        inner = {id(part) for each in lists for item in each for part in item.modules() if part is not item}
        blocks = [item for each in lists if id(each) not in inner for item in each]
        outside += _size(model) - sum(map(_size, blocks))
        largest = max([largest, *map(_size, blocks)])
    return outside + IN_FLIGHT * largest


def _size(module: nn.Module) -> int:
    return sum(weight.nbytes for weight in module.parameters())
