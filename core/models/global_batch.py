"""Layers that see their batch as a whole, when several processes share it: batch norm and dropout.

A batch of `world` equal shares lies in the order of ranks, as one process would hold it. There is more than one share
where torch.distributed knows a process group; all its processes must then come here together. Alone, and in eval mode,
these are torch's own layers to the bit.
"""

from typing import Any, NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn


class Share(NamedTuple):
    """Which of how many equal shares of the batch this process holds."""

    rank: int
    world: int


def share() -> Share:
    """This process' share of the batch; all of it when alone."""
    return Share(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else Share(0, 1)


def all_gather(x: Tensor) -> Tensor:
    """Every process' x (n, …), of one shape: (world, n, …). Differentiable, again and again."""
    gathered: Tensor = _AllGather.apply(x)  # type: ignore[no-untyped-call]
    return gathered


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """nn.BatchNorm2d over the rows of all processes (Ioffe & Szegedy 2015); its backward pass communicates too.

    Unlike nn.SyncBatchNorm it works on any device and backend (gloo). Names and the state dict are nn.BatchNorm2d's.
    """

    def forward(self, x: Tensor) -> Tensor:
        """This process' rows (b, c, h, w), normalised. Raises ValueError for a single value a channel."""
        if not self.training or share().world == 1:
            return super().forward(x)
        self._check_input_dim(x)
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        var, mean = torch.var_mean(wide, dim=(0, 2, 3), correction=0)
        count = torch.full_like(mean, x.numel() // x.shape[1])
        # Merged as by Chan et al. 1979, without differences of large squares.
        counts, means, variances = all_gather(torch.stack([count, mean, var])).unbind(1)
        total = counts.sum(0)
        if total[0] < 2:
            raise ValueError(f"a batch norm needs more than one value for each channel, not {tuple(x.shape)}")
        mean = (counts * means).sum(0) / total
        var = (counts * (variances + (means - mean).square())).sum(0) / total
        self._remember(mean.detach(), var.detach() * total / (total - 1))
        scale = (var + self.eps).rsqrt()
        if self.affine:
            scale = scale * self.weight
        normed = (wide - mean[:, None, None]) * scale[:, None, None]
        return (normed + self.bias[:, None, None] if self.affine else normed).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, var: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(var.to(self.running_var.dtype), momentum)


class GlobalDropout(nn.Dropout):
    """nn.Dropout whose mask is drawn for all processes' rows, each taking its own: so many drop what one would.

    All must have seeded torch's generator alike.
    """

    def forward(self, x: Tensor) -> Tensor:
        """This process' rows (b, …), some values zero and the others scaled by 1 / (1 − p)."""
        rank, world = share()
        if not self.training or not self.p or world == 1:
            return super().forward(x)
        mask = F.dropout(torch.cat([torch.ones_like(x)] * world), self.p)
        return x * mask[rank * len(x) : (rank + 1) * len(x)]


class _AllGather(torch.autograd.Function):
    """torch.distributed.nn has one too, deprecated."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004 - as autograd calls it
        whole = [torch.empty_like(x) for _ in range(share().world)]
        dist.all_gather(whole, x.contiguous())
        return torch.stack(whole)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        """What all processes' losses say of this one's x: a gather again, so that it can be differentiated; x is small."""
        return all_gather(gradient)[:, share().rank].sum(0)
