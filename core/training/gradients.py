"""An objective's gradients: summed over the parts of a batch, averaged over the processes that share it.

Whole ones are averaged in buckets, each of which travels as soon as its gradients are there, while the backward pass goes on
(Li et al. 2020, "PyTorch Distributed", section 3.2.3). Of models that are split among the processes (`core.training.sharding`)
each process gets its own part, averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

Begin = Callable[[list[Tensor]], Callable[[], list[Tensor]]]
"""Begins to average tensors of one dtype over processes; what it gives waits for the averages."""

FIRST_BUCKET = 2**20
BUCKET = 25 * 2**20
"""Bytes of a bucket, as in DistributedDataParallel; the first one is small, so that something travels early."""


class Gradients(Protocol):
    """The gradients of one objective's parameters in the present step."""

    def add(self, loss: Tensor, weight: Tensor, keep_graph: bool, last: bool) -> None:
        """Add those of `loss` times `weight` (scalars); last: no further part of the batch follows."""
        ...

    def finish(self) -> list[Tensor | None]:
        """Their means over all processes, None for a parameter that has none; empty where nothing was added. All are
        forgotten then."""
        ...


class WholeGradients:
    """Gradients of parameters of any shape that each process holds whole. begin: None for a process alone. bucket: bytes."""

    def __init__(self, own: Sequence[nn.Parameter], begin: Begin | None, bucket: int = BUCKET) -> None:
        self.own, self.begin, self.bucket = list(own), begin, bucket
        self._sums: list[Tensor | None] = []
        self._buckets: _Buckets | None = None

    def add(self, loss: Tensor, weight: Tensor, keep_graph: bool, last: bool) -> None:
        """Add gradients of a scalar (see `Gradients`); the last part's leave as they come."""
        sums = self._sums = self._sums or [None] * len(self.own)
        buckets, hooks = None, list[RemovableHandle]()
        if last and self.begin is not None:
            self._buckets = buckets = _Buckets(self.own, sums, self.begin, self.bucket)
            for i, parameter in enumerate(self.own):
                hooks.append(parameter.register_hook(partial(buckets.add, i)))  # type: ignore[no-untyped-call]
        try:
            found = torch.autograd.grad(loss, self.own, weight, retain_graph=keep_graph, allow_unused=True)
        finally:
            for hook in hooks:
                hook.remove()
        if buckets is None:
            self._sums = [_sum(known, new) for known, new in zip(sums, found, strict=True)]

    def finish(self) -> list[Tensor | None]:
        """The means (see `Gradients`)."""
        sums, buckets = self._sums, self._buckets
        if sums and self.begin is not None:
            (buckets or _Buckets(self.own, sums, self.begin, self.bucket)).finish()
        self._sums, self._buckets = [], None
        return sums


class ShardedGradients:
    """Gradients of parameters that are split among processes, each one's own part.

    leaves: by a parameter's id the whole weight that a step's graph was made with. FSDP2 averages and splits a gradient when the
    backward pass is through with a block, so each part of a batch travels by itself.
    """

    def __init__(self, own: Sequence[nn.Parameter], leaves: Mapping[int, nn.Parameter]) -> None:
        self.own, self.leaves = list(own), [leaves[id(parameter)] for parameter in own]
        self._sums: list[Tensor | None] = []

    def add(self, loss: Tensor, weight: Tensor, keep_graph: bool, last: bool) -> None:  # noqa: ARG002 - all travel alike
        """Add gradients of a scalar (see `Gradients`). FSDP2's hooks wait for `backward`; `torch.autograd.grad` would pass them by."""
        torch.autograd.backward(loss, weight, retain_graph=keep_graph, inputs=self.leaves)
        found = [parameter.grad for parameter in self.own]
        for parameter in self.own:
            parameter.grad = None  # another objective may train it too
        known = self._sums or [None] * len(self.own)
        self._sums = [_sum(a, b) for a, b in zip(known, found, strict=True)]

    def finish(self) -> list[Tensor | None]:
        """The means (see `Gradients`)."""
        sums, self._sums = self._sums, []
        return sums


class _Buckets:
    """Averages that are on their way.

    Parameters are put into buckets in reverse order, in which a backward pass reaches them, and buckets leave in their order:
    so all processes send the same, whatever comes first in one of them.
    """

    def __init__(self, own: Sequence[nn.Parameter], sums: list[Tensor | None], begin: Begin, size: int) -> None:
        self.sums, self.begin = sums, begin
        self._buckets = _parted(own, size)
        self._bucket_of = {i: k for k, bucket in enumerate(self._buckets) for i in bucket}
        self._missing = [len(bucket) for bucket in self._buckets]
        self._left = 0
        self._travelling: list[tuple[list[int], Callable[[], list[Tensor]]]] = []

    def add(self, i: int, gradient: Tensor) -> None:
        """Parameter i has its gradient."""
        self.sums[i] = _sum(self.sums[i], gradient)
        self._missing[self._bucket_of[i]] -= 1
        while self._left < len(self._buckets) and not self._missing[self._left]:
            self._send()

    def finish(self) -> None:
        """Send what has not left, for some parameters have no gradient; wait for all, and put the means in the sums' place."""
        while self._left < len(self._buckets):
            self._send()
        for bucket, wait in self._travelling:
            for i, mean in zip(bucket, wait(), strict=True):
                self.sums[i] = mean

    def _send(self) -> None:
        found = [(i, gradient) for i in self._buckets[self._left] if (gradient := self.sums[i]) is not None]
        self._left += 1
        if found:
            self._travelling.append(([i for i, _ in found], self.begin([gradient for _, gradient in found])))


def _parted(own: Sequence[nn.Parameter], size: int) -> list[list[int]]:
    """The parameters' numbers in buckets of about `size` bytes, each of one dtype and device."""
    buckets: list[list[int]] = []
    room, alike = 0, None
    for i in reversed(range(len(own))):
        kind = (own[i].dtype, own[i].device)
        if room <= 0 or kind != alike:
            room, alike = min(size, FIRST_BUCKET) if not buckets else size, kind
            buckets.append([])
        buckets[-1].append(i)
        room -= own[i].numel() * own[i].element_size()
    return buckets


def _sum(known: Tensor | None, new: Tensor | None) -> Tensor | None:
    return known if new is None else new if known is None else known + new
