"""The convolutional encoder and decoder that every first stage shares (Rombach et al. 2022, appendix E.1, after VQGAN).

Names and layout follow CompVis/latent-diffusion, ldm/modules/diffusionmodules/model.py (itself from
taming-transformers). Unlike the UNet: GroupNorm epsilon 1e-6, downsampling padded only on the right and at the bottom,
single-headed attention, nothing initialised to zero.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from core.models.blocks import TokenConv, Upsample, group_norm
from core.models.global_batch import GlobalDropout

AUTOENCODER_NORM_EPS = 1e-6


class ResnetBlock(nn.Module):
    """norm, SiLU, convolution, twice; a 1×1 convolution on the shortcut (`nin_shortcut`) where the width changes."""

    def __init__(self, in_channels: int, out_channels: int, dropout: float, norm_groups: int) -> None:
        super().__init__()
        self.norm1 = group_norm(in_channels, norm_groups, AUTOENCODER_NORM_EPS)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = group_norm(out_channels, norm_groups, AUTOENCODER_NORM_EPS)
        self.dropout = GlobalDropout(dropout)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.nin_shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(b, in_channels, h, w) → (b, out_channels, h, w)."""
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(self.dropout(F.silu(self.norm2(h))))
        out: Tensor = self.nin_shortcut(x) + h
        return out


class AttnBlock(nn.Module):
    """Single-headed self-attention over all positions."""

    def __init__(self, channels: int, norm_groups: int) -> None:
        super().__init__()
        self.norm = group_norm(channels, norm_groups, AUTOENCODER_NORM_EPS)
        self.q = TokenConv(channels, channels, dims=2)
        self.k = TokenConv(channels, channels, dims=2)
        self.v = TokenConv(channels, channels, dims=2)
        self.proj_out = TokenConv(channels, channels, dims=2)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) → (b, c, h, w)."""
        tokens = self.norm(x).flatten(2).transpose(1, 2)
        q, k, v = (project(tokens)[:, None] for project in (self.q, self.k, self.v))
        attended = F.scaled_dot_product_attention(q, k, v)[:, 0]
        out: Tensor = x + self.proj_out(attended).transpose(1, 2).reshape(x.shape)
        return out


class PaddedDownsample(nn.Module):
    """Half the height and width by a 3×3 convolution with stride 2, padded by one on the right and at the bottom."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) → (b, c, h/2, w/2)."""
        out: Tensor = self.conv(F.pad(x, (0, 1, 0, 1)))
        return out


class Level(nn.Module):
    """The residual blocks of one resolution, each followed by attention if there is any, then a change of resolution.

    CompVis calls that last part `downsample` on the way down and `upsample` on the way up; `None` keeps the resolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        blocks: int,
        attention: bool,
        dropout: float,
        norm_groups: int,
        downsample: nn.Module | None = None,
        upsample: nn.Module | None = None,
    ) -> None:
        super().__init__()
        widths = [in_channels] + [out_channels] * blocks
        self.block = nn.ModuleList(ResnetBlock(a, b, dropout, norm_groups) for a, b in pairwise(widths))
        self.attn = nn.ModuleList(AttnBlock(out_channels, norm_groups) for _ in range(blocks if attention else 0))
        self.downsample = downsample
        self.upsample = upsample

    def forward(self, x: Tensor) -> Tensor:
        """(b, in_channels, h, w) → (b, out_channels, h, w)."""
        for i, block in enumerate(self.block):
            x = block(x)
            if len(self.attn):
                x = self.attn[i](x)
        resample = self.downsample or self.upsample
        return x if resample is None else resample(x)


class Middle(nn.Module):
    """Residual block, attention (or none), residual block, at the lowest resolution."""

    def __init__(self, channels: int, attention: bool, dropout: float, norm_groups: int) -> None:
        super().__init__()
        self.block_1 = ResnetBlock(channels, channels, dropout, norm_groups)
        self.attn_1 = AttnBlock(channels, norm_groups) if attention else nn.Identity()
        self.block_2 = ResnetBlock(channels, channels, dropout, norm_groups)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) → (b, c, h, w)."""
        out: Tensor = self.block_2(self.attn_1(self.block_1(x)))
        return out


class Encoder(nn.Module):
    """Images to features, f = 2^(levels − 1) times smaller along each side.

    attention_factors: the downsampling factors whose levels carry attention. CompVis names resolutions of a 256-pixel
        image instead: `attn_resolutions: [16]` is the factor 256 / 16 = 16. mid_attention: False in the published
        "noattn" models.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        model_channels: int,
        channel_mult: Sequence[int],
        num_res_blocks: int,
        attention_factors: Sequence[int] = (),
        mid_attention: bool = True,
        dropout: float = 0.0,
        norm_groups: int = 32,
    ) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(in_channels, model_channels, 3, padding=1)
        self.down = nn.ModuleList()
        ch = model_channels
        for level, mult in enumerate(channel_mult):
            width = mult * model_channels
            downsample = PaddedDownsample(width) if level < len(channel_mult) - 1 else None
            attention = 2**level in attention_factors
            self.down.append(Level(ch, width, num_res_blocks, attention, dropout, norm_groups, downsample=downsample))
            ch = width
        self.mid = Middle(ch, mid_attention, dropout, norm_groups)
        self.norm_out = group_norm(ch, norm_groups, AUTOENCODER_NORM_EPS)
        self.conv_out = nn.Conv2d(ch, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(b, in_channels, f·h, f·w) → (b, out_channels, h, w)."""
        h = self.conv_in(x)
        for level in self.down:
            h = level(h)
        out: Tensor = self.conv_out(F.silu(self.norm_out(self.mid(h))))
        return out


class Decoder(nn.Module):
    """Features to images: the encoder's mirror, with one more residual block a level."""

    def __init__(
        self,
        z_channels: int,
        out_channels: int,
        model_channels: int,
        channel_mult: Sequence[int],
        num_res_blocks: int,
        attention_factors: Sequence[int] = (),
        mid_attention: bool = True,
        dropout: float = 0.0,
        norm_groups: int = 32,
    ) -> None:
        super().__init__()
        ch = channel_mult[-1] * model_channels
        self.conv_in = nn.Conv2d(z_channels, ch, 3, padding=1)
        self.mid = Middle(ch, mid_attention, dropout, norm_groups)
        ups: list[Level] = []
        for level, mult in reversed(list(enumerate(channel_mult))):
            width = mult * model_channels
            upsample = Upsample(width, use_conv=True) if level > 0 else None
            attention = 2**level in attention_factors
            ups.append(Level(ch, width, num_res_blocks + 1, attention, dropout, norm_groups, upsample=upsample))
            ch = width
        self.up = nn.ModuleList(reversed(ups))  # numbered from the highest resolution, like the encoder's levels
        self.norm_out = group_norm(ch, norm_groups, AUTOENCODER_NORM_EPS)
        self.conv_out = nn.Conv2d(ch, out_channels, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """(b, z_channels, h, w) → (b, out_channels, f·h, f·w)."""
        h = self.mid(self.conv_in(z))
        for level in reversed(self.up):
            h = level(h)
        out: Tensor = self.conv_out(F.silu(self.norm_out(h)))
        return out
