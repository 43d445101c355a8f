"""Cross-attention: how a condition enters the UNet (Rombach et al. 2022, section 3.3 and appendix E.2.1).

Names follow CompVis/latent-diffusion, ldm/modules/attention.py. In each block: self-attention, then cross-attention,
then feed-forward.
"""

from collections.abc import Sequence
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from core.models import kept_context
from core.models.blocks import TokenConv, group_norm, zero_init
from core.models.global_batch import GlobalDropout

TRANSFORMER_NORM_EPS = 1e-6

KeysValues = tuple[Tensor, Tensor]
"""Keys and values of a context for one attention, (b, heads, m, dim_head) each."""
Prompts = Sequence[tuple[Tensor, Tensor]]
"""Keys and values of pictures for one attention, (b, m, heads · dim_head) each: those of each IP-Adapter."""


class CrossAttention(nn.Module):
    """Multi-head attention of x to a context, or to itself without one. No bias on q, k and v."""

    def __init__(
        self, query_dim: int, context_dim: int | None, heads: int, dim_head: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        inner_dim = heads * dim_head
        context_dim = query_dim if context_dim is None else context_dim
        self.heads, self.width = heads, inner_dim
        self.to_q = nn.Linear(query_dim, inner_dim, bias=False)
        self.to_k = nn.Linear(context_dim, inner_dim, bias=False)
        self.to_v = nn.Linear(context_dim, inner_dim, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner_dim, query_dim), GlobalDropout(dropout))

    def forward(self, x: Tensor, context: Tensor | KeysValues | None = None, prompts: Prompts = ()) -> Tensor:
        """x (b, n, query_dim), context (b, m, context_dim) or what `keys_values` makes of it → (b, n, query_dim).

        What the same queries find in `prompts` is added to what they find in the context (Ye et al. 2023, equation 5).
        """
        q = self._heads(self.to_q(x))
        k, v = context if isinstance(context, tuple) else self.keys_values(x if context is None else context)
        seen = F.scaled_dot_product_attention(q, k, v)
        for k, v in prompts:
            seen = seen + F.scaled_dot_product_attention(q, self._heads(k), self._heads(v))
        out: Tensor = self.to_out(seen.transpose(1, 2).flatten(2))
        return out

    def keys_values(self, context: Tensor) -> KeysValues:
        """Keys and values (b, heads, m, dim_head) of a context (b, m, context_dim)."""
        return self._heads(self.to_k(context)), self._heads(self.to_v(context))

    def told(self, context: Tensor) -> Tensor | KeysValues:
        """What to call this with for a context (b, m, context_dim): keys and values where they are kept, computed once."""
        return kept_context.once(self, context, self.keys_values) if kept_context.kept() else context

    def _heads(self, tokens: Tensor) -> Tensor:
        split: Tensor = tokens.unflatten(-1, (self.heads, -1))  # type: ignore[no-untyped-call]
        return split.transpose(1, 2)


class GEGLU(nn.Module):
    """x · GELU(gate), both halves of one projection; the gate is the second half and GELU the exact (erf) one."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.proj = nn.Linear(dim_in, 2 * dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """(b, n, dim_in) → (b, n, dim_out)."""
        x, gate = self.proj(x).chunk(2, dim=-1)
        return x * F.gelu(gate)


class FeedForward(nn.Module):
    """GEGLU to four times the width and back."""

    def __init__(self, dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.net = nn.Sequential(GEGLU(dim, 4 * dim), GlobalDropout(dropout), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        """(b, n, dim) → (b, n, dim)."""
        out: Tensor = self.net(x)
        return out


class BasicTransformerBlock(nn.Module):
    """Pre-norm self-attention (`attn1`), cross-attention (`attn2`) and feed-forward, each residual.

    Without `self_attention`, `attn1` reads the context too (the upscaler of Stable Diffusion 2).
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        dim_head: int,
        context_dim: int,
        dropout: float = 0.0,
        self_attention: bool = True,
    ) -> None:
        super().__init__()
        self.self_attention = self_attention
        self.attn1 = CrossAttention(dim, None if self_attention else context_dim, heads, dim_head, dropout)
        self.ff = FeedForward(dim, dropout)
        self.attn2 = CrossAttention(dim, context_dim, heads, dim_head, dropout)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm3 = nn.LayerNorm(dim)

    def forward(self, x: Tensor, context: Tensor | KeysValues, prompts: Prompts = ()) -> Tensor:
        """x (b, n, dim), context (b, m, context_dim) or its keys and values → (b, n, dim). prompts: see `CrossAttention`."""
        x = x + self.attn1(self.norm1(x), None if self.self_attention else context)
        x = x + self.attn2(self.norm2(x), context, prompts)
        out: Tensor = x + self.ff(self.norm3(x))
        return out


class SpatialTransformer(nn.Module):
    """`depth` transformer blocks over the positions of a feature map, as a residual. `proj_out` starts at zero.

    `use_linear` stores the projections as matrices (Stable Diffusion 2 on) instead of 1×1 convolutions. Without
    `self_attention`, positions see the context alone.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        context_dim: int,
        depth: int = 1,
        use_linear: bool = False,
        norm_groups: int = 32,
        dropout: float = 0.0,
        self_attention: bool = True,
    ) -> None:
        super().__init__()
        self.self_attention = self_attention
        self.norm = group_norm(channels, norm_groups, eps=TRANSFORMER_NORM_EPS)
        self.proj_in = nn.Linear(channels, channels) if use_linear else TokenConv(channels, channels, dims=2)
        self.transformer_blocks = nn.ModuleList(
            BasicTransformerBlock(channels, heads, channels // heads, context_dim, dropout, self_attention)
            for _ in range(depth)
        )
        self.proj_out = zero_init(
            nn.Linear(channels, channels) if use_linear else TokenConv(channels, channels, dims=2)
        )

    def forward(
        self, x: Tensor, context: Tensor | list[Tensor | KeysValues], prompts: Sequence[Prompts] = ()
    ) -> Tensor:
        """x (b, c, h, w), context (b, m, context_dim) or what each block is `told` of it → (b, c, h, w).

        prompts: those of each block, see `CrossAttention`; or none.
        """
        tokens = self.proj_in(self.norm(x).flatten(2).transpose(1, 2))
        for i, block in enumerate(self.transformer_blocks):
            tokens = block(tokens, context[i] if isinstance(context, list) else context, prompts[i] if prompts else ())
        out: Tensor = x + self.proj_out(tokens).transpose(1, 2).reshape(x.shape)
        return out

    def told(self, context: Tensor) -> Tensor | list[Tensor | KeysValues]:
        """What to call this with for a context (b, m, context_dim): its keys and values for each block, where they are kept."""
        if not (kept_context.kept() and self.self_attention):  # else both attentions of a block ask for the context
            return context
        return [cast(BasicTransformerBlock, block).attn2.told(context) for block in self.transformer_blocks]
