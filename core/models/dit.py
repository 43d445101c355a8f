"""The diffusion transformer that denoises latents (Peebles & Xie 2023, "Scalable Diffusion Models with Transformers").

Names follow the paper's repository (facebookresearch/DiT, models.py). The latent is cut into patches, each a token; every
block is modulated by the time step and the class (adaLN-Zero), and begins as the identity.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from core.conditioning.conditioning import Conditioning
from core.conditioning.parts import ClassNumber, Context
from core.models import kept_context
from core.models.attention import CrossAttention, KeysValues
from core.models.blocks import timestep_embedding, zero_init
from core.models.denoiser import Takes
from core.models.regional import Regional
from core.models.registry import model

FREQUENCIES = 256
"""Channels of the sinusoidal time embedding, in every published model."""
NORM_EPS = 1e-6

SIZES: dict[str, dict[str, int]] = {
    "S": {"depth": 12, "hidden_size": 384, "num_heads": 6},
    "B": {"depth": 12, "hidden_size": 768, "num_heads": 12},
    "L": {"depth": 24, "hidden_size": 1024, "num_heads": 16},
    "XL": {"depth": 28, "hidden_size": 1152, "num_heads": 16},
}
DIT: dict[str, dict[str, int]] = {
    f"DiT-{size}/{patch}": shape | {"patch_size": patch} for size, shape in SIZES.items() for patch in (2, 4, 8)
}
"""The paper's models (table 1 and section 3.2) by name: arguments of `DiT`."""


class PatchEmbedder(nn.Module):
    """Squares of the latent to tokens, one each."""

    def __init__(self, in_channels: int, dim: int, patch_size: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, dim, patch_size, stride=patch_size)

    def forward(self, z: Tensor) -> Tensor:
        """(b, in_channels, h·p, w·p) → (b, dim, h, w)."""
        out: Tensor = self.proj(z)
        return out


class TimestepEmbedder(nn.Module):
    """Sinusoids of the time step, and two layers."""

    def __init__(self, dim: int, freq_shift: int = 0) -> None:
        super().__init__()
        self.freq_shift = freq_shift
        self.mlp = nn.Sequential(nn.Linear(FREQUENCIES, dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, t: Tensor, dtype: torch.dtype) -> Tensor:
        """(b,) → (b, dim), in `dtype`."""
        out: Tensor = self.mlp(timestep_embedding(t, FREQUENCIES, freq_shift=self.freq_shift).to(dtype))
        return out


class LabelEmbedder(nn.Module):
    """A learned vector for each class, and a last one for no class."""

    def __init__(self, num_classes: int, dim: int) -> None:
        super().__init__()
        self.embedding_table = nn.Embedding(num_classes + 1, dim)

    def forward(self, y: Tensor) -> Tensor:
        """(b,) → (b, dim)."""
        out: Tensor = self.embedding_table(y)
        return out


class Attention(nn.Module):
    """Multi-head self-attention over tokens, with biases; q, k and v are the thirds of one projection."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(b, n, dim) → (b, n, dim)."""
        q, k, v = rearrange(self.qkv(x), "b n (three heads d) -> three b heads n d", three=3, heads=self.heads)
        attended = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.proj(rearrange(attended, "b heads n d -> b n (heads d)"))
        return out


class Mlp(nn.Module):
    """Two layers with the tanh approximation of GELU between. out: channels that come out; None for as many as go in."""

    def __init__(self, dim: int, hidden: int, out: int | None = None) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim if out is None else out)

    def forward(self, x: Tensor) -> Tensor:
        """(b, n, dim) → (b, n, out)."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x), approximate="tanh"))
        return out


class DiTBlock(nn.Module):
    """Self-attention and MLP, each scaled, shifted and gated by what the embedding c says; the gates begin at zero.

    context_dim: cross-attention to tokens between the two, as in PixArt-α (Chen et al. 2024); its output begins at zero.
    """

    def __init__(
        self, dim: int, heads: int, mlp_ratio: float, context_dim: int | None = None, mlp_norm_eps: float = NORM_EPS
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, elementwise_affine=False, eps=NORM_EPS)
        self.attn = Attention(dim, heads)
        self.cross_attn: CrossAttention | None = None
        if context_dim is not None:
            self.cross_attn = CrossAttention(dim, context_dim, heads, dim // heads)
        self.norm2 = nn.LayerNorm(dim, elementwise_affine=False, eps=mlp_norm_eps)
        if (width := int(dim * mlp_ratio)) < 1:
            raise ValueError(f"an mlp_ratio of {mlp_ratio} leaves MLPs of {dim} channels without any; make it larger")
        self.mlp = Mlp(dim, width)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))

    def forward(self, x: Tensor, c: Tensor, context: Tensor | KeysValues | None = None) -> Tensor:
        """x (b, n, dim) tokens, c (b, dim), context (b, m, context_dim) or its keys and values → (b, n, dim)."""
        modulation = self.adaLN_modulation(c)[:, None].chunk(6, dim=-1)
        shift_attn, scale_attn, gate_attn, shift_mlp, scale_mlp, gate_mlp = modulation
        x = x + gate_attn * self.attn(modulate(self.norm1(x), shift_attn, scale_attn))
        if self.cross_attn is not None:
            x = x + self.cross_attn(x, context)
        out: Tensor = x + gate_mlp * self.mlp(modulate(self.norm2(x), shift_mlp, scale_mlp))
        return out

    def told(self, context: Tensor | None) -> Tensor | KeysValues | None:
        """What to call this with for a context (b, m, context_dim): its keys and values, where they are kept."""
        return context if context is None or self.cross_attn is None else self.cross_attn.told(context)


class FinalLayer(nn.Module):
    """A modulated norm and the projection to patches; it begins at zero."""

    def __init__(self, dim: int, patch_channels: int) -> None:
        super().__init__()
        self.norm_final = nn.LayerNorm(dim, elementwise_affine=False, eps=NORM_EPS)
        self.linear = nn.Linear(dim, patch_channels)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(dim, 2 * dim))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """x (b, n, dim), c (b, dim) → (b, n, patch_channels)."""
        shift, scale = self.adaLN_modulation(c)[:, None].chunk(2, dim=-1)
        out: Tensor = self.linear(modulate(self.norm_final(x), shift, scale))
        return out


@model
class DiT(Regional):
    """Transformer denoiser, z (b, in_channels, h, w), timesteps t (b,) and a condition → a prediction of z's shape.

    in_channels: of the latent.
    hidden_size, depth, num_heads: width of the tokens, number of blocks, heads of each.
    patch_size: side of the squares of the latent that are one token.
    sample_size: side of the latents it is trained on. Other heights and widths are taken too: their positions are spread
        over the trained range.
    mlp_ratio: width of the MLPs over that of the tokens.
    num_classes: class numbers (b,) are embedded and added to the time step's embedding; one more than these, the last, is the
        null class of classifier-free guidance. None for none.
    context_dim: width of tokens (b, m, context_dim) that every block attends to; None for none. The paper's models have none.
    learn_sigma: twice the output channels: the second half is the variance of Nichol & Dhariwal 2021. Published models have
        it; the prediction is the first half.
    freq_shift, mlp_norm_eps: 1 and 1e-5 compute what diffusers' DiTTransformer2DModel does, 0 and 1e-6 what the paper's code
        does, for the same weights.
    gradient_checkpointing: recompute each block in the backward pass instead of keeping its activations.
    """

    config: dict[str, Any]
    takes: Takes
    kept_float32 = ("t_embedder", "y_embedder", "final_layer")
    regions = (DiTBlock,)

    def __init__(
        self,
        in_channels: int,
        hidden_size: int,
        depth: int,
        num_heads: int,
        patch_size: int = 2,
        sample_size: int = 32,
        mlp_ratio: float = 4.0,
        num_classes: int | None = None,
        context_dim: int | None = None,
        learn_sigma: bool = False,
        freq_shift: int = 0,
        mlp_norm_eps: float = NORM_EPS,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        if min(in_channels, hidden_size, depth, num_heads, patch_size) < 1:
            raise ValueError("in_channels, hidden_size, depth, num_heads and patch_size are at least 1")
        if hidden_size % num_heads or hidden_size % 4:
            raise ValueError(
                f"hidden_size {hidden_size} must be a multiple of num_heads ({num_heads}) and of 4 (the positions' sines "
                "and cosines along two axes)"
            )
        if sample_size < patch_size or sample_size % patch_size:
            raise ValueError(f"sample_size {sample_size} must be a multiple of patch_size ({patch_size})")
        self.in_channels = in_channels
        self.out_channels = 2 * in_channels if learn_sigma else in_channels
        self.hidden_size = hidden_size
        self.patch_size = patch_size
        self.trained_grid = sample_size // patch_size
        self.context_dim = context_dim
        self.num_classes = num_classes
        wanted = {Context: context_dim is not None, ClassNumber: num_classes is not None}
        self.takes = Takes(in_channels, needs=tuple(kind for kind, wants in wanted.items() if wants))
        self.gradient_checkpointing = gradient_checkpointing
        self.x_embedder = PatchEmbedder(in_channels, hidden_size, patch_size)
        self.t_embedder = TimestepEmbedder(hidden_size, freq_shift)
        self.y_embedder = LabelEmbedder(num_classes, hidden_size) if num_classes is not None else None
        self.blocks = nn.ModuleList(
            DiTBlock(hidden_size, num_heads, mlp_ratio, context_dim, mlp_norm_eps) for _ in range(depth)
        )
        self.final_layer = FinalLayer(hidden_size, patch_size**2 * self.out_channels)
        self._initialise()

    def _initialise(self) -> None:
        """The paper's initial weights: Xavier's, small ones for the embeddings, zero for what makes blocks the identity."""
        xavier(self)
        for module in self.t_embedder.mlp:
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
        for module in self.modules():
            if isinstance(module, DiTBlock | FinalLayer):
                zero_init(module.adaLN_modulation[1])
            if isinstance(module, CrossAttention):
                zero_init(module.to_out[0])
        zero_init(self.final_layer.linear)

    def forward(self, z: Tensor, t: Tensor, condition: Conditioning | None = None) -> Tensor:
        """Predict from z (b, in_channels, h, w) at timesteps t, (b,) or a scalar, whole or fractional.

        condition: what the model was built for, of batch b: context (b, m, context_dim), class numbers (b,). The computation runs
        in the weights' dtype, the result has z's shape and dtype. Raises ValueError for inputs that do not fit the model.
        """
        return self.with_variance(z, t, condition)[:, : self.in_channels]

    def with_variance(self, z: Tensor, t: Tensor, condition: Conditioning | None = None) -> Tensor:
        """`forward` with all that the model gives: (b, out_channels, h, w), the learned variance last."""
        condition = condition or Conditioning()
        self.takes.check("DiT", z, condition)
        context, y = condition.context, condition.y
        self._check(z, context)
        dtype = self.final_layer.linear.weight.dtype
        x = self.x_embedder(z.to(dtype))
        h, w = x.shape[2:]
        x = rearrange(x, "b d h w -> b (h w) d")
        x = x + grid_embedding(h, w, self.trained_grid, self.hidden_size, z.device).to(dtype)
        c = self.t_embedder(t.reshape(-1), dtype).expand(len(z), -1)
        if self.y_embedder is not None and y is not None:
            c = c + self.y_embedder(y)
        context = None if context is None else kept_context.once((self, dtype), context, lambda told: told.to(dtype))
        for block in self.blocks:
            if self.gradient_checkpointing and torch.is_grad_enabled():
                x = checkpoint(block, x, c, context, use_reentrant=False)
            else:
                x = block(x, c, cast(DiTBlock, block).told(context))
        x = rearrange(
            self.final_layer(x, c),
            "b (h w) (p q c) -> b c (h p) (w q)",
            h=h,
            p=self.patch_size,
            q=self.patch_size,
        )
        out: Tensor = x.to(z.dtype)
        return out

    def _check(self, z: Tensor, context: Tensor | None) -> None:
        if z.dim() != 4 or z.shape[2] % self.patch_size or z.shape[3] % self.patch_size:
            raise ValueError(
                f"the DiT takes (b, c, h, w), h and w multiples of its patches' {self.patch_size}, got {tuple(z.shape)}"
            )
        if context is not None and context.shape[-1] != self.context_dim:
            raise ValueError(f"context must be (b, tokens, {self.context_dim}), got {tuple(context.shape)}")


def xavier(model: nn.Module) -> None:
    """Xavier's initial weights for all linear layers and patches, small ones for embeddings, no biases."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(module.weight.flatten(1))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x (b, n, d) shifted and scaled by (b, 1, d) each."""
    return torch.addcmul(shift, x, 1 + scale)


def grid_embedding(h: int, w: int, trained: float, dim: int, device: torch.device) -> Tensor:
    """Sines and cosines of the positions on a grid of h × w patches: (h·w, dim), float32, row by row.

    trained: side of the grid that the model was trained on: positions run from 0 to it whatever h and w are, as in diffusers'
    PatchEmbed. The first half of the channels tells the column, the second the row; in each, sines come before cosines.
    """
    quarter = torch.arange(dim // 4, dtype=torch.float32, device=device)
    frequencies = 10_000.0 ** (-quarter / (dim // 4))

    def axis(n: int) -> Tensor:
        phases = torch.arange(n, dtype=torch.float32, device=device)[:, None] * (trained / n) * frequencies
        return torch.cat([phases.sin(), phases.cos()], dim=1)

    columns, rows = axis(w).expand(h, -1, -1), axis(h)[:, None].expand(-1, w, -1)
    return rearrange(torch.cat([columns, rows], dim=-1), "h w d -> (h w) d")
