"""Vector quantisation of latents (van den Oord et al. 2017; Esser et al. 2021), and how well a codebook is used."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from core.models.global_batch import share

SCORE_ELEMENTS = 2**24
"""The most code scores held at once, 64 MiB: a large codebook must not set the memory that a large image needs."""


class Quantized(NamedTuple):
    """What a quantiser returns.

    z_q: the nearest codes (b, d, h, w), gradients passing straight through to z. loss: a scalar. indices: (b, h, w).
    """

    z_q: Tensor
    loss: Tensor
    indices: Tensor


class CodebookUsage(NamedTuple):
    """The share of codes that occur, and exp(entropy) of their frequencies: the codebook's size if all are equal."""

    used: Tensor
    perplexity: Tensor


class VectorQuantizer(nn.Module):
    """Codebook of `codes` vectors of width `dim`; key `embedding.weight` as in taming-transformers' VectorQuantizer2.

    The loss is ‖sg[z] − e‖² + beta·‖z − sg[e]‖² (means): beta weighs the commitment of the encoder. With `legacy` beta
    weighs the codebook term instead, the slip with which all published VQ models of the paper were trained.

    revive_after: after that many training passes without use a code is set to a random encoder output of the current
        batch (0: never), of all processes' outputs. The count `idle` is a buffer, so that a
        resumed training goes on alike.
    """

    def __init__(self, codes: int, dim: int, beta: float = 0.25, legacy: bool = False, revive_after: int = 0) -> None:
        super().__init__()
        self.beta = beta
        self.legacy = legacy
        self.revive_after = revive_after
        self.embedding = nn.Embedding(codes, dim)
        nn.init.uniform_(self.embedding.weight, -1 / codes, 1 / codes)
        self.idle: Tensor | None
        self.register_buffer("idle", torch.zeros(codes, dtype=torch.int64) if revive_after else None)

    def forward(self, z: Tensor) -> Quantized:
        """Quantise z (b, d, h, w)."""
        vectors = z.movedim(1, -1)
        flat = vectors.detach().reshape(-1, z.shape[1])
        indices = self.nearest(flat)
        if self.training and self.idle is not None:
            self._revive(flat, indices)
        codes = self.embedding(indices).view(vectors.shape)
        commitment = F.mse_loss(vectors, codes.detach())
        codebook = F.mse_loss(codes, vectors.detach())
        loss = commitment + self.beta * codebook if self.legacy else self.beta * commitment + codebook
        z_q = z + (codes.movedim(-1, 1) - z).detach()
        return Quantized(z_q, loss, indices.view(vectors.shape[:-1]))

    def lookup(self, indices: Tensor) -> Tensor:
        """The codes of indices (b, h, w), as (b, d, h, w)."""
        codes: Tensor = self.embedding(indices)
        return codes.movedim(-1, 1)

    @torch.no_grad()
    def nearest(self, vectors: Tensor) -> Tensor:
        """The index of the code nearest to each of the vectors (n, d), in float32 whatever the autocast."""
        with torch.autocast(vectors.device.type, enabled=False):
            codes = self.embedding.weight.float()
            half_norms = codes.square().sum(dim=1) / 2
            rows = max(1, SCORE_ELEMENTS // len(codes))
            # |v − e|²/2 without its constant |v|²/2
            scores = (torch.addmm(half_norms, part, codes.T, alpha=-1) for part in torch.split(vectors.float(), rows))
            return torch.cat([score.argmin(dim=1) for score in scores])

    @torch.no_grad()
    def _revive(self, vectors: Tensor, indices: Tensor) -> None:
        assert self.idle is not None
        weight = self.embedding.weight
        unused = torch.ones_like(self.idle).index_fill_(0, indices, 0)
        rank, world = share()
        chosen = torch.randint(world * len(vectors), (len(weight),), device=vectors.device)  # of the global batch
        if world > 1:
            dist.all_reduce(unused, dist.ReduceOp.MIN)
            dist.broadcast(chosen, src=0)
        owner, place = chosen // len(vectors), chosen % len(vectors)
        replacements = torch.where((owner == rank)[:, None], vectors[place], 0).to(weight.dtype)
        if world > 1:
            dist.all_reduce(replacements)  # each has one owner
        self.idle.add_(1).mul_(unused)
        dead = self.idle >= self.revive_after
        weight.copy_(torch.where(dead[:, None], replacements, weight))
        self.idle.masked_fill_(dead, 0)


def codebook_usage(indices: Tensor, codes: int, mean: Callable[[list[Tensor]], list[Tensor]] = list) -> CodebookUsage:
    """How a codebook of `codes` entries is used by `indices` (any shape). `mean` averages counts over processes."""
    flat = indices.flatten()
    counts = torch.zeros(codes, device=indices.device).scatter_add_(0, flat, torch.ones_like(flat, dtype=torch.float32))
    (counts,) = mean([counts])
    frequencies = counts / flat.numel()
    entropy = -torch.special.xlogy(frequencies, frequencies).sum()
    return CodebookUsage((counts > 0).float().mean(), entropy.exp())
