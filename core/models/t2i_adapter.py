"""T2I-Adapter: a small network that turns a picture into features for each level of a UNet (Mou et al. 2023).

Names follow diffusers' `T2IAdapter`, src/diffusers/models/adapter.py, without its outermost `adapter.`; the original's are numbered
through (TencentARC/T2I-Adapter, ldm/modules/encoders/adapter.py), and `core.checkpoints.t2i_adapter` reads both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from core.conditioning.conditioning import Conditioning
from core.conditioning.residuals import Features
from core.models import kept_context
from core.models.registry import model

Size = Literal["full", "full_xl", "light"]


class AdapterResBlock(nn.Module):
    """Two convolutions around a ReLU, residual; the second is 1 × 1 in the full adapter."""

    def __init__(self, channels: int, light: bool) -> None:
        super().__init__()
        self.block1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.block2 = nn.Conv2d(channels, channels, 3, padding=1) if light else nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, h, w) → the same."""
        out: Tensor = x + self.block2(F.relu(self.block1(x)))
        return out


class AdapterLevel(nn.Module):
    """The residual blocks of one level, at half the size where it is `down`."""

    def __init__(self, c_in: int, c_out: int, blocks: int, down: bool, light: bool) -> None:
        super().__init__()
        self.down = down
        inner = c_out // 4 if light else c_out
        self.in_conv = nn.Conv2d(c_in, inner, 1) if light or c_in != c_out else None
        self.resnets = nn.Sequential(*(AdapterResBlock(inner, light) for _ in range(blocks)))
        self.out_conv = nn.Conv2d(inner, c_out, 1) if light else None

    def forward(self, x: Tensor) -> Tensor:
        """(b, c_in, h, w) → (b, c_out, h, w), or half of h and w, rounded up."""
        if self.down:
            x = F.avg_pool2d(x, 2, ceil_mode=True)
        if self.in_conv is not None:
            x = self.in_conv(x)
        x = self.resnets(x)
        return x if self.out_conv is None else self.out_conv(x)


@model
class T2IAdapter(nn.Module):
    """A picture (b, in_channels, H, W) in [-1, 1] → features for each level of a UNet.

    channels: of the features, level by level: the UNet's. num_res_blocks: of each level. downscale_factor: of the picture, by
    which pixels become channels: the autoencoder's. size: the adapter for Stable Diffusion 1 and 2, that for XL, whose features are
    half as often halved, or the light one.
    """

    config: dict[str, Any]

    def __init__(
        self,
        in_channels: int = 3,
        channels: Sequence[int] = (320, 640, 1280, 1280),
        num_res_blocks: int = 2,
        downscale_factor: int = 8,
        size: Size = "full",
    ) -> None:
        super().__init__()
        if size not in ("full", "full_xl", "light"):
            raise ValueError(f"the adapter's size is full, full_xl or light, not {size}")
        if not channels or downscale_factor < 1:
            raise ValueError("an adapter has channels for at least one level, and a downscale_factor of at least 1")
        self.in_channels, self.downscale_factor = in_channels, downscale_factor
        pixels, light = in_channels * downscale_factor**2, size == "light"
        self.conv_in = None if light else nn.Conv2d(pixels, channels[0], 3, padding=1)
        widths = [pixels, *channels] if light else [channels[0], *channels]
        downs = [i > 0 if size != "full_xl" else i == 2 for i in range(len(channels))]
        levels = [(widths[i], widths[i + 1], downs[i]) for i in range(len(channels))]
        if light:
            levels.append((channels[-1], channels[-1], True))
        self.body = nn.ModuleList(AdapterLevel(a, b, num_res_blocks, down, light) for a, b, down in levels)

    def forward(self, picture: Tensor) -> Features:
        """Features of a picture (b, in_channels, h, w) in [-1, 1]. Of an adapter of one channel the picture's mean is taken. Raises ValueError for another size."""
        if self.in_channels == 1:
            picture = picture.mean(1, keepdim=True)
        f = self.downscale_factor
        if picture.shape[1] != self.in_channels or picture.shape[2] % f or picture.shape[3] % f:
            raise ValueError(
                f"the T2I-Adapter is shown pictures of {self.in_channels} channels whose sides are multiples of {f}, not "
                f"{tuple(picture.shape)}; resize the picture"
            )
        x = F.pixel_unshuffle(picture / 2 + 0.5, f)
        x = x if self.conv_in is None else self.conv_in(x)
        features = []
        for level in self.body:
            x = level(x)
            features.append(x)
        return Features(tuple(features))


def adapted(
    net: T2IAdapter, picture: Tensor, condition: Conditioning | None = None, strength: float = 1.0
) -> Conditioning:
    """A condition, with an adapter's features of a picture (b, in_channels, h, w) joined to it, b being 1 where it is shown to all; several adapters
    add up."""
    features = kept_context.once(net, picture, net)
    return (condition or Conditioning()) | Conditioning(parts=[features.map(lambda each: strength * each)])
