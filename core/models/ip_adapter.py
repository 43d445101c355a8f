"""IP-Adapter: a picture as a prompt, by keys and values of its own in a UNet's cross-attentions (Ye et al. 2023).

Names follow the authors' files (tencent-ailab/IP-Adapter, ip_adapter/ip_adapter.py, resampler.py): `image_proj`, and `ip_adapter.N` with
odd N, for cross-attentions are every second attention there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.conditioning.conditioning import Conditioning
from core.conditioning.image_encoder import ImageEncoder
from core.conditioning.image_prompt import ImagePrompt
from core.models import kept_context
from core.models.registry import model
from core.models.unet import UNet

Projection = Literal["linear", "resampler", "mlp"]
DIM_HEAD = 64
"""Of the resampler's attention, in all files."""


class LinearProjection(nn.Module):
    """One embedding of a picture to a few tokens (the plain adapter's `ImageProjModel`)."""

    def __init__(self, image_dim: int, context_dim: int, tokens: int) -> None:
        super().__init__()
        self.proj = nn.Linear(image_dim, tokens * context_dim)
        self.norm = nn.LayerNorm(context_dim)

    def forward(self, seen: Tensor) -> Tensor:
        """(b, image_dim) → (b, tokens, context_dim)."""
        tokens: Tensor = self.norm(self.proj(seen).reshape(len(seen), -1, self.norm.normalized_shape[0]))
        return tokens


class MLPProjection(nn.Module):
    """Each of the encoder's tokens by itself (the full-face adapter's `MLPProjModel`)."""

    def __init__(self, image_dim: int, context_dim: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            nn.Linear(image_dim, image_dim), nn.GELU(), nn.Linear(image_dim, context_dim), nn.LayerNorm(context_dim)
        )

    def forward(self, seen: Tensor) -> Tensor:
        """(b, n, image_dim) → (b, n, context_dim)."""
        tokens: Tensor = self.proj(seen)
        return tokens


class PerceiverAttention(nn.Module):
    """Attention of a few learned queries to the encoder's tokens and to themselves (Jaegle et al. 2021; Alayrac et al. 2022)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, heads * DIM_HEAD, bias=False)
        self.to_kv = nn.Linear(dim, 2 * heads * DIM_HEAD, bias=False)
        self.to_out = nn.Linear(heads * DIM_HEAD, dim, bias=False)

    def forward(self, seen: Tensor, queries: Tensor) -> Tensor:
        """(b, n, dim) and (b, tokens, dim) → (b, tokens, dim)."""
        queries = self.norm2(queries)
        k, v = self.to_kv(torch.cat([self.norm1(seen), queries], dim=1)).chunk(2, dim=-1)
        q = self._heads(self.to_q(queries))
        found = F.scaled_dot_product_attention(q, self._heads(k), self._heads(v))
        out: Tensor = self.to_out(found.transpose(1, 2).flatten(2))
        return out

    def _heads(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)


class Resampler(nn.Module):
    """The encoder's tokens to a few, by learned queries (the plus adapter's `Resampler`)."""

    def __init__(self, image_dim: int, context_dim: int, tokens: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(1, tokens, width) / width**0.5)
        self.proj_in = nn.Linear(image_dim, width)
        self.proj_out = nn.Linear(width, context_dim)
        self.norm_out = nn.LayerNorm(context_dim)
        self.layers = nn.ModuleList(
            nn.ModuleList([PerceiverAttention(width, heads), self._feed_forward(width)]) for _ in range(depth)
        )

    def forward(self, seen: Tensor) -> Tensor:
        """(b, n, image_dim) → (b, tokens, context_dim)."""
        seen = self.proj_in(seen)
        queries = self.latents.expand(len(seen), -1, -1)
        for attention, feed_forward in cast("Sequence[tuple[nn.Module, nn.Module]]", self.layers):
            queries = queries + attention(seen, queries)
            queries = queries + feed_forward(queries)
        tokens: Tensor = self.norm_out(self.proj_out(queries))
        return tokens

    @staticmethod
    def _feed_forward(width: int) -> nn.Sequential:
        wide = nn.Linear(width, 4 * width, bias=False)
        return nn.Sequential(nn.LayerNorm(width), wide, nn.GELU(), nn.Linear(4 * width, width, bias=False))


class KeysAndValues(nn.Module):
    """Of one cross-attention, for a picture's tokens."""

    def __init__(self, context_dim: int, width: int) -> None:
        super().__init__()
        self.to_k_ip = nn.Linear(context_dim, width, bias=False)
        self.to_v_ip = nn.Linear(context_dim, width, bias=False)


@model
class IPAdapter(nn.Module):
    """What an image encoder saw of a picture → keys and values for a UNet's cross-attentions.

    image_dim: width of what it reads. context_dim: of the tokens that it makes, the UNet's. widths: of each cross-attention of the UNet
    (`UNet.cross_attentions`'s). projection: "linear" makes `tokens` tokens of the encoder's one embedding; "resampler" (plus) as many of its
    tokens before the last layer, through `depth` layers of `heads` heads, `hidden_dim` wide; "mlp" (full face) one of each of them.
    """

    config: dict[str, Any]

    def __init__(
        self,
        image_dim: int,
        context_dim: int,
        widths: Sequence[int],
        projection: Projection = "linear",
        tokens: int = 4,
        hidden_dim: int = 768,
        depth: int = 4,
        heads: int = 12,
    ) -> None:
        super().__init__()
        self.image_dim, self.projection = image_dim, projection
        self.image_proj: nn.Module
        if projection == "linear":
            self.image_proj = LinearProjection(image_dim, context_dim, tokens)
        elif projection == "mlp":
            self.image_proj = MLPProjection(image_dim, context_dim)
        elif projection == "resampler":
            self.image_proj = Resampler(image_dim, context_dim, tokens, hidden_dim, depth, heads)
        else:
            raise ValueError(f"an IP-Adapter's projection is linear, resampler or mlp, not {projection}")
        self.ip_adapter = nn.ModuleDict(
            {str(2 * i + 1): KeysAndValues(context_dim, width) for i, width in enumerate(widths)}
        )

    @classmethod
    def beside(cls, unet: UNet, image_dim: int, tokens: int = 4) -> IPAdapter:
        """A plain adapter to train: keys and values begin as the UNet's own for texts, as in the authors' tutorial_train.py.

        Raises ValueError for a UNet without cross-attention.
        """
        if unet.context_dim is None:
            raise ValueError("an IP-Adapter stands beside a UNet with cross-attention, and this one has none")
        theirs = unet.cross_attentions
        made = cls(image_dim, unet.context_dim, [each.width for each in theirs], tokens=tokens)
        with torch.no_grad():
            for own, attention in zip(cast(Any, made.ip_adapter).values(), theirs, strict=True):
                own.to_k_ip.weight.copy_(attention.to_k.weight)
                own.to_v_ip.weight.copy_(attention.to_v.weight)
        return made

    @property
    def reads_tokens(self) -> bool:
        """Whether it reads an encoder's tokens before the last layer; else the one embedding."""
        return self.projection != "linear"

    def forward(self, seen: Sequence[Tensor]) -> ImagePrompt:
        """Keys and values for pictures at once, of each what an encoder saw: (b, image_dim), or (b, n, image_dim) where it reads tokens.

        Raises ValueError for what another encoder saw.
        """
        for each in seen:
            if each.shape[-1] != self.image_dim:
                raise ValueError(
                    f"the IP-Adapter reads embeddings of {self.image_dim} numbers, and the image encoder gives {each.shape[-1]}; load "
                    "the encoder that it was made for"
                )
        dtype = next(self.parameters()).dtype
        tokens = torch.cat([self.image_proj(each.to(dtype)) for each in seen], dim=1)
        told = tuple((each.to_k_ip(tokens), each.to_v_ip(tokens)) for each in cast(Any, self.ip_adapter).values())
        return ImagePrompt((told,))


def image_prompted(
    net: IPAdapter,
    encoder: ImageEncoder,
    pictures: Sequence[Tensor],
    condition: Conditioning | None = None,
    strength: float = 1.0,
    nothing: bool = False,
) -> Conditioning:
    """A condition, with what an adapter makes of pictures, (b, 3, h, w) each, in [-1, 1], joined to it; several adapters add up.

    The rows of several pictures are one prompt: the first of each, the second of each. b is 1 for what is shown to all. Keys and
    values are made once for a sampling: no step and no strength changes them.
    nothing: the negative side of guidance: no embedding (zeros), or where tokens are read those of a grey picture, as in diffusers.
    """
    rows = max(len(each) for each in pictures)
    for picture in pictures:
        if len(picture) not in (1, rows):
            raise ValueError(
                f"one picture comes in {rows} rows and another in {len(picture)}; give one for each sample, or one for all"
            )

    def made(pictures: Sequence[Tensor]) -> ImagePrompt:
        seen = [encoder(each, tokens=net.reads_tokens, nothing=nothing) for each in pictures]
        prompt: ImagePrompt = net([each.expand(rows, *each.shape[1:]) for each in seen])
        return prompt

    prompt = kept_context.once((net, encoder, nothing), tuple(pictures), made)
    return (condition or Conditioning()) | Conditioning(parts=[prompt.scaled(strength)])
