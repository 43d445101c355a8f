"""The transformer that denoises latents under a caption: PixArt-α (Chen et al. 2023, "PixArt-α: Fast Training of Diffusion Transformer
for Photorealistic Text-to-Image Synthesis") and PixArt-Σ (Chen et al. 2024).

Names follow the papers' repositories (PixArt-alpha/PixArt-alpha and PixArt-sigma, diffusion/model/nets). It is a DiT whose blocks share
one modulation of the time step, to which each adds a table of its own (adaLN-single), and read the caption by cross-attention.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from core.conditioning.conditioning import Conditioning
from core.conditioning.parts import Context, ContextMask, Vector
from core.models import kept_context
from core.models.attention import KeysValues
from core.models.blocks import zero_init
from core.models.denoiser import Takes
from core.models.dit import (
    NORM_EPS,
    SIZES,
    Attention,
    Mlp,
    PatchEmbedder,
    TimestepEmbedder,
    grid_embedding,
    modulate,
    xavier,
)
from core.models.regional import Regional
from core.models.registry import model

TOKENS = {"alpha": 120, "sigma": 300}
"""T5's of a caption, as the papers and diffusers' pipelines have it."""
SIZED = 128
"""The sample_size of the published models that are told sizes."""
XL: dict[str, Any] = SIZES["XL"] | {"in_channels": 4, "context_dim": 4096}
PIXART: dict[str, dict[str, Any]] = {
    "pixart-alpha-256": XL | {"sample_size": 32},
    "pixart-alpha-512": XL | {"sample_size": 64},
    "pixart-alpha-1024": XL | {"sample_size": SIZED, "interpolation_scale": 2.0, "sizes": True},
    "pixart-sigma-256": XL | {"sample_size": 32, "interpolation_scale": 0.5},
    "pixart-sigma-512": XL | {"sample_size": 64},
    "pixart-sigma-1024": XL | {"sample_size": 128, "interpolation_scale": 2.0},
    "pixart-sigma-2048": XL | {"sample_size": 256, "interpolation_scale": 4.0},
}
"""The published models by name: arguments of `PixArt`."""

SIZE_NUMBERS = 3
"""Height and width in pixels, and height over width."""


class CaptionEmbedder(nn.Module):
    """A text encoder's tokens as wide as the transformer's."""

    def __init__(self, context_dim: int, dim: int) -> None:
        super().__init__()
        self.y_proj = Mlp(context_dim, dim, dim)

    def forward(self, context: Tensor) -> Tensor:
        """(b, m, context_dim) → (b, m, dim)."""
        out: Tensor = self.y_proj(context)
        return out


class CaptionAttention(nn.Module):
    """Multi-head attention of the latent's tokens to the caption's, with biases; keys and values are the halves of one projection."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_linear = nn.Linear(dim, dim)
        self.kv_linear = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, context: Tensor | KeysValues, read: Tensor | None = None) -> Tensor:
        """x (b, n, dim), context (b, m, dim) or its keys and values → (b, n, dim). read: (b, m), the tokens that are; None for all."""
        q = rearrange(self.q_linear(x), "b n (heads d) -> b heads n d", heads=self.heads)
        k, v = context if isinstance(context, tuple) else self.keys_values(context)
        mask = None if read is None else read[:, None, None]
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        out: Tensor = self.proj(rearrange(attended, "b heads n d -> b n (heads d)"))
        return out

    def keys_values(self, context: Tensor) -> KeysValues:
        """Keys and values (b, heads, m, d) of a context (b, m, dim)."""
        k, v = rearrange(self.kv_linear(context), "b m (two heads d) -> two b heads m d", two=2, heads=self.heads)
        return k, v

    def told(self, context: Tensor) -> Tensor | KeysValues:
        """What to call this with for a context (b, m, dim): keys and values where they are kept, computed once."""
        return kept_context.once(self, context, self.keys_values) if kept_context.kept() else context


class PixArtBlock(nn.Module):
    """Self-attention, cross-attention and MLP; the first and the last are scaled, shifted and gated by what all blocks are told of the
    time step and a table of the block's own."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float, norm_eps: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, elementwise_affine=False, eps=norm_eps)
        self.attn = Attention(dim, heads)
        self.cross_attn = CaptionAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, elementwise_affine=False, eps=norm_eps)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.scale_shift_table = nn.Parameter(torch.randn(6, dim) / dim**0.5)

    def forward(self, x: Tensor, c: Tensor, context: Tensor | KeysValues, read: Tensor | None = None) -> Tensor:
        """x (b, n, dim) tokens, c (b, 6, dim), context (b, m, dim) or its keys and values, read (b, m) or None → (b, n, dim)."""
        modulation = (self.scale_shift_table.to(c) + c).chunk(6, dim=1)
        shift_attn, scale_attn, gate_attn, shift_mlp, scale_mlp, gate_mlp = modulation
        x = x + gate_attn * self.attn(modulate(self.norm1(x), shift_attn, scale_attn))
        x = x + self.cross_attn(x, context, read)
        out: Tensor = x + gate_mlp * self.mlp(modulate(self.norm2(x), shift_mlp, scale_mlp))
        return out


class FinalLayer(nn.Module):
    """A norm, modulated by the time step and a table, and the projection to patches; it begins at zero."""

    def __init__(self, dim: int, patch_channels: int) -> None:
        super().__init__()
        self.norm_final = nn.LayerNorm(dim, elementwise_affine=False, eps=NORM_EPS)
        self.linear = nn.Linear(dim, patch_channels)
        self.scale_shift_table = nn.Parameter(torch.randn(2, dim) / dim**0.5)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """x (b, n, dim), c (b, dim) → (b, n, patch_channels)."""
        shift, scale = (self.scale_shift_table.to(c) + c[:, None]).chunk(2, dim=1)
        out: Tensor = self.linear(modulate(self.norm_final(x), shift, scale))
        return out


@model
class PixArt(Regional):
    """Transformer denoiser, z (b, in_channels, h, w), timesteps t (b,) and a caption → a prediction of z's shape.

    in_channels: of the latent.
    hidden_size, depth, num_heads: width of the tokens, number of blocks, heads of each.
    context_dim: width of the caption's tokens (b, m, context_dim), T5's.
    patch_size: side of the squares of the latent that are one token.
    sample_size: side of the latents it is trained on. Other heights and widths are taken too: their positions are spread over the
        trained range.
    interpolation_scale: how many patches of that lie between two whole positions: 2 where a model of half the size learned them.
    mlp_ratio: width of the MLPs over that of the tokens.
    sizes: the condition's vector is height and width of the picture in pixels, and height over width (PixArt-α for 1024 pixels).
    masked: the condition says which tokens are words; without, all are read where it says nothing.
    learn_sigma: twice the output channels: the second half is the variance of Nichol & Dhariwal 2021. Published models have it; the
        prediction is the first half.
    norm_eps: of the blocks' norms.
    gradient_checkpointing: recompute each block in the backward pass instead of keeping its activations.
    """

    config: dict[str, Any]
    takes: Takes
    kept_float32 = ("t_embedder", "csize_embedder", "ar_embedder", "final_layer")
    regions = (PixArtBlock,)

    def __init__(
        self,
        in_channels: int,
        hidden_size: int,
        depth: int,
        num_heads: int,
        context_dim: int,
        patch_size: int = 2,
        sample_size: int = 64,
        interpolation_scale: float = 1.0,
        mlp_ratio: float = 4.0,
        sizes: bool = False,
        masked: bool = True,
        learn_sigma: bool = True,
        norm_eps: float = NORM_EPS,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        if min(in_channels, hidden_size, depth, num_heads, context_dim, patch_size) < 1:
            raise ValueError("in_channels, hidden_size, depth, num_heads, context_dim and patch_size are at least 1")
        if hidden_size % num_heads or hidden_size % 4:
            raise ValueError(
                f"hidden_size {hidden_size} must be a multiple of num_heads ({num_heads}) and of 4 (the positions' sines "
                "and cosines along two axes)"
            )
        if sizes and hidden_size % SIZE_NUMBERS:
            raise ValueError(
                f"hidden_size {hidden_size} must be a multiple of 3 where there are sizes: a third for each number"
            )
        if sample_size < patch_size:
            raise ValueError(f"sample_size {sample_size} must be at least the patch_size, {patch_size}")
        if not interpolation_scale > 0:
            raise ValueError(f"interpolation_scale is above 0, not {interpolation_scale}")
        if int(hidden_size * mlp_ratio) < 1:
            raise ValueError(f"an mlp_ratio of {mlp_ratio} leaves MLPs of {hidden_size} channels without any")
        self.in_channels = in_channels
        self.out_channels = 2 * in_channels if learn_sigma else in_channels
        self.hidden_size, self.patch_size, self.context_dim = hidden_size, patch_size, context_dim
        self.positions = sample_size // patch_size / interpolation_scale
        mask: tuple[tuple[Any, ...], tuple[Any, ...]] = ((ContextMask,), ()) if masked else ((), (ContextMask,))
        self.takes = Takes(in_channels, needs=(Context, *mask[0], *((Vector,) if sizes else ())), may=mask[1])
        self.gradient_checkpointing = gradient_checkpointing
        self.x_embedder = PatchEmbedder(in_channels, hidden_size, patch_size)
        self.t_embedder = TimestepEmbedder(hidden_size)
        self.t_block = nn.Sequential(nn.SiLU(), nn.Linear(hidden_size, 6 * hidden_size))
        self.y_embedder = CaptionEmbedder(context_dim, hidden_size)
        third = hidden_size // SIZE_NUMBERS
        self.csize_embedder = TimestepEmbedder(third) if sizes else None
        self.ar_embedder = TimestepEmbedder(third) if sizes else None
        self.blocks = nn.ModuleList(PixArtBlock(hidden_size, num_heads, mlp_ratio, norm_eps) for _ in range(depth))
        self.final_layer = FinalLayer(hidden_size, patch_size**2 * self.out_channels)
        self._initialise()

    def _initialise(self) -> None:
        """The repository's initial weights: Xavier's, small ones for the embeddings, zero for what reads the caption and what comes out."""
        xavier(self)
        embedders = (self.t_embedder, self.t_block, self.y_embedder, self.csize_embedder, self.ar_embedder)
        for module in (part for embedder in embedders if embedder is not None for part in embedder.modules()):
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
        for block in self.blocks:
            zero_init(cast(PixArtBlock, block).cross_attn.proj)
        zero_init(self.final_layer.linear)

    def forward(self, z: Tensor, t: Tensor, condition: Conditioning | None = None) -> Tensor:
        """Predict from z (b, in_channels, h, w) at timesteps t, (b,) or a scalar, whole or fractional.

        condition: what the model was built for, of batch b: context (b, m, context_dim), which of its tokens are read (b, m), and the
        sizes as a vector (b, 3). The computation runs in the weights' dtype, the result has z's shape and dtype. Raises ValueError for
        inputs that do not fit the model.
        """
        return self.with_variance(z, t, condition)[:, : self.in_channels]

    def with_variance(self, z: Tensor, t: Tensor, condition: Conditioning | None = None) -> Tensor:
        """`forward` with all that the model gives: (b, out_channels, h, w), the learned variance last."""
        condition = condition or Conditioning()
        self.takes.check("PixArt", z, condition)
        told, mask, sizes = condition[Context].tokens, condition.get(ContextMask), condition.get(Vector)
        self._check(z, told, mask, sizes)
        dtype = self.final_layer.linear.weight.dtype
        x = self.x_embedder(z.to(dtype))
        h, w = x.shape[2:]
        x = rearrange(x, "b d h w -> b (h w) d")
        x = x + grid_embedding(h, w, self.positions, self.hidden_size, z.device).to(dtype)
        c = self.t_embedder(t.reshape(-1), dtype).expand(len(z), -1)
        if sizes is not None:
            c = c + self._sizes(sizes.values, dtype)
        shared = rearrange(self.t_block(c), "b (six d) -> b six d", six=6)
        context = kept_context.once((self, dtype), told, lambda told: self.y_embedder(told.to(dtype)))
        read = None if mask is None else mask.read
        for block in self.blocks:
            if self.gradient_checkpointing and torch.is_grad_enabled():
                x = checkpoint(block, x, shared, context, read, use_reentrant=False)
            else:
                x = block(x, shared, cast(PixArtBlock, block).cross_attn.told(context), read)
        p = self.patch_size
        out: Tensor = rearrange(self.final_layer(x, c), "b (h w) (p q c) -> b c (h p) (w q)", h=h, p=p, q=p)
        return out.to(z.dtype)

    def _sizes(self, numbers: Tensor, dtype: torch.dtype) -> Tensor:
        """Height, width and their ratio, (b, 3), each embedded as a time step is, one after the other: (b, hidden_size)."""
        assert self.csize_embedder is not None
        assert self.ar_embedder is not None
        pixels, ratio = numbers[:, :2].flatten().float(), numbers[:, 2].float()
        side = rearrange(self.csize_embedder(pixels, dtype), "(b two) d -> b (two d)", two=2)
        return torch.cat([side, self.ar_embedder(ratio, dtype)], dim=1)

    def _check(self, z: Tensor, context: Tensor, mask: ContextMask | None, sizes: Vector | None) -> None:
        if z.dim() != 4 or z.shape[2] % self.patch_size or z.shape[3] % self.patch_size:
            raise ValueError(
                f"the PixArt takes (b, c, h, w), h and w multiples of its patches' {self.patch_size}, got {tuple(z.shape)}"
            )
        if context.shape[-1] != self.context_dim:
            raise ValueError(f"context must be (b, tokens, {self.context_dim}), got {tuple(context.shape)}")
        if mask is not None and mask.read.shape[1] != context.shape[1]:
            raise ValueError(
                f"the condition has {context.shape[1]} tokens and says of {mask.read.shape[1]} whether they are read"
            )
        if sizes is not None and sizes.values.shape[1] != SIZE_NUMBERS:
            raise ValueError(
                "this PixArt's vector is height, width and their ratio, 3 numbers, and the condition's has "
                f"{sizes.values.shape[1]}; wire resolution_condition"
            )
