"""A classifier of noisy latents: the contracting half of a UNet, for classifier guidance (Dhariwal & Nichol 2021, section 4.1).

Names and layout follow openai/guided-diffusion, guided_diffusion/unet.py `EncoderUNetModel`, so that its classifiers' weights fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.models.attention import SpatialTransformer
from core.models.blocks import AttentionBlock, ResBlock, TokenConv, group_norm, zero_init
from core.models.denoiser import Takes
from core.models.regional import Regional
from core.models.registry import model
from core.models.unet_parts import Parts, embed, run

Pool = Literal["attention", "average"]


class AttentionPool(nn.Module):
    """All positions as one vector, by attention that starts at their mean (CLIP's, Radford et al. 2021).

    side: height and width of what is pooled; each position has a learned embedding.
    """

    def __init__(self, side: int, channels: int, heads: int, out_channels: int) -> None:
        super().__init__()
        self.heads = heads
        self.positional_embedding = nn.Parameter(torch.randn(channels, side**2 + 1) / channels**0.5)
        self.qkv_proj = TokenConv(channels, 3 * channels, dims=1)
        self.c_proj = TokenConv(channels, out_channels, dims=1)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, side, side) → (b, out_channels)."""
        tokens = x.flatten(2)
        if tokens.shape[2] + 1 != self.positional_embedding.shape[1]:
            raise ValueError(
                f"attention pooling has places for {self.positional_embedding.shape[1] - 1} positions, not for"
                f" {tokens.shape[2]}: give latents of the classifier's sample_size, or build it with pool 'average'"
            )
        tokens = torch.cat([tokens.mean(2, keepdim=True), tokens], dim=2) + self.positional_embedding.to(x.dtype)
        b, c, n = tokens.shape
        q, k, v = (
            self.qkv_proj(tokens.transpose(1, 2)).view(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        )
        first = F.scaled_dot_product_attention(q[:, :, :1], k, v).reshape(b, c)
        pooled: Tensor = self.c_proj(first)
        return pooled


@model
class NoisyClassifier(Regional):
    """Class scores of noisy latents: z (b, in_channels, h, w) at timesteps t (b,) → logits (b, num_classes).

    model_channels, channel_mult, num_res_blocks, attention_factors, num_heads, num_head_channels, use_scale_shift_norm,
        resblock_updown, conv_resample, dropout, norm_groups: those of `core.models.unet.UNet`.
    pool: "attention" as in the published classifiers; "average" for latents of any size.
    sample_size: height and width of the latents, for attention pooling.
    """

    config: dict[str, Any]
    takes: Takes
    kept_float32 = ("time_embed", "out")
    regions = (ResBlock, AttentionBlock, SpatialTransformer)

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        model_channels: int,
        channel_mult: Sequence[int],
        num_res_blocks: int = 2,
        attention_factors: Sequence[int] = (),
        num_heads: int | None = None,
        num_head_channels: int | None = 64,
        use_scale_shift_norm: bool = True,
        resblock_updown: bool = True,
        conv_resample: bool = True,
        dropout: float = 0.0,
        norm_groups: int = 32,
        pool: Pool = "attention",
        sample_size: int = 32,
    ) -> None:
        super().__init__()
        parts = Parts(
            model_channels,
            channel_mult,
            num_res_blocks,
            attention_factors,
            num_heads,
            num_head_channels,
            use_scale_shift_norm=use_scale_shift_norm,
            resblock_updown=resblock_updown,
            conv_resample=conv_resample,
            dropout=dropout,
            norm_groups=norm_groups,
        )
        self.in_channels, self.num_classes, self.model_channels = in_channels, num_classes, model_channels
        self.size_multiple = 2 ** (parts.levels - 1)
        self.takes = Takes(in_channels)
        self.time_embed = parts.time_embedding()
        self.input_blocks, channels = parts.contracting(in_channels)
        ch = channels[-1]
        self.middle_block = parts.middle(ch)
        ends: tuple[nn.Module, ...]
        if pool == "attention":
            if sample_size % self.size_multiple:
                raise ValueError(f"sample_size {sample_size} must be a multiple of {self.size_multiple}")
            ends = (AttentionPool(sample_size // self.size_multiple, ch, parts.heads(ch), num_classes),)
        else:
            ends = (nn.AdaptiveAvgPool2d((1, 1)), zero_init(nn.Conv2d(ch, num_classes, 1)), nn.Flatten())
        self.out = nn.Sequential(group_norm(ch, norm_groups), nn.SiLU(), *ends)

    def forward(self, z: Tensor, t: Tensor) -> Tensor:
        """Class scores (b, num_classes) in z's dtype. Raises ValueError for latents that do not fit the model."""
        if z.dim() != 4 or z.shape[1] != self.in_channels:
            raise ValueError(f"the classifier takes (b, {self.in_channels}, h, w), not {tuple(z.shape)}")
        if z.shape[2] % self.size_multiple or z.shape[3] % self.size_multiple:
            raise ValueError(
                f"height and width {tuple(z.shape[2:])} must be multiples of {self.size_multiple} for this classifier"
            )
        emb = embed(self.time_embed, None, self.model_channels, t.to(z.device), None, len(z))
        h = z.to(next(self.time_embed.parameters()).dtype)
        for block in (*self.input_blocks, self.middle_block):
            h = run(block, h, emb, None, recompute=False)
        out: Tensor = self.out(h)
        return out.to(z.dtype)
