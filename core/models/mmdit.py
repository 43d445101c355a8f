"""The multimodal diffusion transformer that denoises latents (Esser et al. 2024, "Scaling Rectified Flow Transformers for
High-Resolution Image Synthesis", section 4): Stable Diffusion 3 and 3.5.

Names follow Stability's repository (Stability-AI/sd3.5, mmditx.py). Text and latent are two streams of tokens with weights of their
own, which attend to each other in every block; both are modulated by the time step and a pooled vector of the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from core.conditioning.conditioning import Conditioning
from core.conditioning.parts import Context, Vector
from core.models import kept_context
from core.models.blocks import zero_init
from core.models.denoiser import Takes
from core.models.dit import (
    NORM_EPS,
    FinalLayer,
    Mlp,
    PatchEmbedder,
    TimestepEmbedder,
    grid_embedding,
    modulate,
    xavier,
)
from core.models.regional import Regional
from core.models.registry import model

SHARED: dict[str, Any] = {
    "in_channels": 16,
    "patch_size": 2,
    "sample_size": 128,
    "context_dim": 4096,
    "vector_dim": 2048,
}
MMDIT: dict[str, dict[str, Any]] = {
    "stable-diffusion-3-medium": SHARED | {"hidden_size": 1536, "depth": 24, "num_heads": 24, "max_positions": 192},
    "stable-diffusion-3.5-medium": SHARED
    | {"hidden_size": 1536, "depth": 24, "num_heads": 24, "max_positions": 384, "qk_norm": True, "dual_layers": 13},
    "stable-diffusion-3.5-large": SHARED
    | {"hidden_size": 2432, "depth": 38, "num_heads": 38, "max_positions": 192, "qk_norm": True},
}
"""The published models by name: arguments of `MMDiT`."""

Heads = tuple[Tensor, Tensor, Tensor]
"""Queries, keys and values, (b, heads, n, d) each."""


class StreamAttention(nn.Module):
    """What one stream asks and answers in an attention; q, k and v are the thirds of one projection.

    qk_norm: root mean square norms of each head's queries and keys. out: whether what was read is projected; the last block's text
    is read only.
    """

    def __init__(self, dim: int, heads: int, qk_norm: bool, out: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.ln_q = nn.RMSNorm(dim // heads, eps=NORM_EPS) if qk_norm else None
        self.ln_k = nn.RMSNorm(dim // heads, eps=NORM_EPS) if qk_norm else None
        self.proj = nn.Linear(dim, dim) if out else None

    def forward(self, x: Tensor) -> Heads:
        """(b, n, dim) → queries, keys and values."""
        q, k, v = rearrange(self.qkv(x), "b n (three heads d) -> three b heads n d", three=3, heads=self.heads)
        if self.ln_q is not None and self.ln_k is not None:
            q, k = self.ln_q(q), self.ln_k(k)
        return q, k, v


class Stream(nn.Module):
    """One stream's half of a block: norms, attention and MLP, scaled, shifted and gated by what the embedding c says.

    dual: a second attention, of the stream to itself alone (Stable Diffusion 3.5 medium). last: nothing comes after what is asked
    of it, so it has neither a projection nor an MLP.
    """

    def __init__(
        self, dim: int, heads: int, mlp_ratio: float, qk_norm: bool, dual: bool = False, last: bool = False
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, elementwise_affine=False, eps=NORM_EPS)
        self.attn = StreamAttention(dim, heads, qk_norm, out=not last)
        self.attn2 = StreamAttention(dim, heads, qk_norm) if dual else None
        self.mlp = None if last else Mlp(dim, int(dim * mlp_ratio))
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(dim, (2 if last else 9 if dual else 6) * dim))

    def modulation(self, c: Tensor) -> tuple[Tensor, ...]:
        """c (b, dim) → shifts, scales and gates (b, 1, dim): of the attention, the MLP, and the second attention."""
        modulation: Tensor = self.adaLN_modulation(c)[:, None]
        return modulation.chunk(modulation.shape[-1] // c.shape[-1], dim=-1)

    def asked(self, x: Tensor, told: Sequence[Tensor]) -> Heads:
        """Queries, keys and values of tokens x (b, n, dim) for the attention of both streams."""
        heads: Heads = self.attn(modulate(self.norm(x), told[0], told[1]))
        return heads

    def after(self, x: Tensor, read: Tensor, told: Sequence[Tensor]) -> Tensor:
        """x (b, n, dim) with what it read (b, heads, n, d) in the attention of both streams, and all that follows."""
        assert self.attn.proj is not None
        assert self.mlp is not None
        read = self.attn.proj(rearrange(read, "b heads n d -> b n (heads d)"))
        if self.attn2 is not None:
            shift, scale, gate = told[6:]
            own = F.scaled_dot_product_attention(*self.attn2(modulate(self.norm(x), shift, scale)))
            x = x + gate * cast(nn.Linear, self.attn2.proj)(rearrange(own, "b heads n d -> b n (heads d)"))
        x = x + told[2] * read
        out: Tensor = x + told[5] * self.mlp(modulate(self.norm(x), told[3], told[4]))
        return out


class JointBlock(nn.Module):
    """A block of both streams: one attention over the tokens of both, the rest apart.

    last: the text ends here.
    """

    def __init__(self, dim: int, heads: int, mlp_ratio: float, qk_norm: bool, dual: bool, last: bool) -> None:
        super().__init__()
        self.context_block = Stream(dim, heads, mlp_ratio, qk_norm, last=last)
        self.x_block = Stream(dim, heads, mlp_ratio, qk_norm, dual)

    def forward(self, x: Tensor, context: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """x (b, n, dim) and context (b, m, dim) tokens, c (b, dim) → both; the context as it is where it ends here."""
        of_context, of_x = self.context_block.modulation(c), self.x_block.modulation(c)
        pairs = zip(self.context_block.asked(context, of_context), self.x_block.asked(x, of_x), strict=True)
        q, k, v = (torch.cat(pair, dim=2) for pair in pairs)
        read = F.scaled_dot_product_attention(q, k, v)
        read_by_context, read_by_x = read[:, :, : context.shape[1]], read[:, :, context.shape[1] :]
        if self.context_block.mlp is not None:
            context = self.context_block.after(context, read_by_context, of_context)
        return self.x_block.after(x, read_by_x, of_x), context


class VectorEmbedder(nn.Module):
    """Two layers over a pooled vector."""

    def __init__(self, vector_dim: int, dim: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(vector_dim, dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, vector: Tensor) -> Tensor:
        """(b, vector_dim) → (b, dim)."""
        out: Tensor = self.mlp(vector)
        return out


@model
class MMDiT(Regional):
    """Transformer denoiser of two streams, z (b, in_channels, h, w), timesteps t (b,) and a condition → a prediction of z's shape.

    in_channels: of the latent.
    hidden_size, depth, num_heads: width of the tokens, number of blocks, heads of each.
    context_dim: width of the text's tokens (b, m, context_dim). vector_dim: of its pooled vector (b, vector_dim).
    patch_size: side of the squares of the latent that are one token.
    sample_size: side of the latents that it is trained on first, whose positions have the distance 1.
    max_positions: side of the largest grid of patches; a smaller one has the positions of its middle.
    mlp_ratio: width of the MLPs over that of the tokens.
    qk_norm: queries and keys are normalised, as in Stable Diffusion 3.5.
    dual_layers: the first so many blocks, or those of these numbers, have a second attention of the latent to itself.
    gradient_checkpointing: recompute each block in the backward pass instead of keeping its activations.
    """

    config: dict[str, Any]
    takes: Takes
    kept_float32 = ("t_embedder", "y_embedder", "final_layer")
    regions = (JointBlock,)
    pos_embed: Tensor

    def __init__(
        self,
        in_channels: int,
        hidden_size: int,
        depth: int,
        num_heads: int,
        context_dim: int,
        vector_dim: int,
        patch_size: int = 2,
        sample_size: int = 128,
        max_positions: int = 192,
        mlp_ratio: float = 4.0,
        qk_norm: bool = False,
        dual_layers: int | Sequence[int] = 0,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        if min(in_channels, hidden_size, depth, num_heads, context_dim, vector_dim, patch_size, max_positions) < 1:
            raise ValueError("all sizes of an MMDiT are at least 1")
        if hidden_size % num_heads or hidden_size % 4:
            raise ValueError(
                f"hidden_size {hidden_size} must be a multiple of num_heads ({num_heads}) and of 4 (the positions' sines "
                "and cosines along two axes)"
            )
        if sample_size < patch_size:
            raise ValueError(f"sample_size {sample_size} must be at least the patch_size, {patch_size}")
        if int(hidden_size * mlp_ratio) < 1:
            raise ValueError(f"an mlp_ratio of {mlp_ratio} leaves MLPs of {hidden_size} channels without any")
        dual = range(dual_layers) if isinstance(dual_layers, int) else dual_layers
        if any(not 0 <= layer < depth for layer in dual):
            raise ValueError(f"dual_layers names block {max(dual)}, and there are {depth}, counted from 0")
        self.in_channels = self.out_channels = in_channels
        self.hidden_size, self.patch_size, self.max_positions = hidden_size, patch_size, max_positions
        self.context_dim, self.vector_dim = context_dim, vector_dim
        self.takes = Takes(in_channels, needs=(Context, Vector))
        self.gradient_checkpointing = gradient_checkpointing
        self.x_embedder = PatchEmbedder(in_channels, hidden_size, patch_size)
        self.t_embedder = TimestepEmbedder(hidden_size)
        self.y_embedder = VectorEmbedder(vector_dim, hidden_size)
        self.context_embedder = nn.Linear(context_dim, hidden_size)
        self.joint_blocks = nn.ModuleList(
            JointBlock(hidden_size, num_heads, mlp_ratio, qk_norm, dual=i in dual, last=i == depth - 1)
            for i in range(depth)
        )
        self.final_layer = FinalLayer(hidden_size, patch_size**2 * in_channels)
        self._initialise()
        # Files have the positions, rounded as their weights are: those count.
        trained = sample_size // patch_size
        grid = grid_embedding(max_positions, max_positions, trained, hidden_size, self.context_embedder.weight.device)
        self.register_buffer("pos_embed", grid[None])

    def _initialise(self) -> None:
        """As DiT begins: Xavier's weights, small ones for the embeddings, zero for what makes blocks the identity."""
        xavier(self)
        for module in (*self.t_embedder.mlp, *self.y_embedder.mlp):
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
        for part in self.modules():
            if isinstance(part, Stream | FinalLayer):
                zero_init(part.adaLN_modulation[1])
        zero_init(self.final_layer.linear)

    def forward(self, z: Tensor, t: Tensor, condition: Conditioning | None = None) -> Tensor:
        """Predict from z (b, in_channels, h, w) at timesteps t, (b,) or a scalar, whole or fractional.

        condition: context (b, m, context_dim) and vector (b, vector_dim). The computation runs in the weights' dtype, the result has
        z's shape and dtype. Raises ValueError for inputs that do not fit the model.
        """
        condition = condition or Conditioning()
        self.takes.check("MMDiT", z, condition)
        told, vector = condition[Context].tokens, condition[Vector].values
        self._check(z, told, vector)
        dtype = self.final_layer.linear.weight.dtype
        x = self.x_embedder(z.to(dtype))
        h, w = x.shape[2:]
        x = rearrange(x, "b d h w -> b (h w) d") + self._positions(h, w).to(dtype)
        c = self.t_embedder(t.reshape(-1), dtype).expand(len(z), -1) + self.y_embedder(vector.to(dtype))
        context = kept_context.once((self, dtype), told, lambda told: self.context_embedder(told.to(dtype)))
        for block in self.joint_blocks:
            if self.gradient_checkpointing and torch.is_grad_enabled():
                x, context = checkpoint(block, x, context, c, use_reentrant=False)
            else:
                x, context = block(x, context, c)
        patches = self.final_layer(x, c)
        p = self.patch_size
        out: Tensor = rearrange(patches, "b (h w) (p q c) -> b c (h p) (w q)", h=h, p=p, q=p)
        return out.to(z.dtype)

    def _positions(self, h: int, w: int) -> Tensor:
        """Of the h × w patches in the middle of the largest grid: (1, h·w, hidden_size)."""
        top, left = (self.max_positions - h) // 2, (self.max_positions - w) // 2
        grid = rearrange(self.pos_embed, "one (h w) d -> one h w d", h=self.max_positions)
        return grid[:, top : top + h, left : left + w].flatten(1, 2)

    def _check(self, z: Tensor, context: Tensor, vector: Tensor) -> None:
        p, most = self.patch_size, self.patch_size * self.max_positions
        if z.dim() != 4 or z.shape[2] % p or z.shape[3] % p or max(z.shape[2:]) > most:
            raise ValueError(
                f"the MMDiT takes (b, c, h, w), h and w multiples of its patches' {p} and at most {most}, got {tuple(z.shape)}"
            )
        if context.shape[-1] != self.context_dim:
            raise ValueError(f"context must be (b, tokens, {self.context_dim}), got {tuple(context.shape)}")
        if vector.shape[-1] != self.vector_dim:
            raise ValueError(
                f"this MMDiT's vector has {self.vector_dim} numbers, and the condition's has {vector.shape[-1]}"
            )
