"""Conditions that lie on the image plane: semantic maps, low-resolution images and depth, as channels beside the latent.

Their null condition, for dropout and guidance, is zero in every channel: no class, a grey image.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.models.registry import model


@model
class SpatialRescaler(nn.Module):
    """Shrinks a map to the latent's size, then maps its channels with a learned 1 × 1 convolution.

    Source: CompVis ldm/modules/encoders/modules.py `SpatialRescaler`, with its key `channel_mapper.weight`.

    n_stages: times that the size is multiplied by `multiplier` (2 for f = 4).
    out_channels: None leaves the channels as they are, without a layer.
    """

    config: dict[str, Any]

    def __init__(
        self,
        n_stages: int = 1,
        in_channels: int = 3,
        out_channels: int | None = None,
        method: Literal["nearest", "bilinear", "bicubic", "area"] = "bilinear",
        multiplier: float = 0.5,
        bias: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= n_stages <= 16 or not 0 < multiplier <= 16:
            raise ValueError(f"n_stages is 0 to 16 and multiplier 0 to 16, not {n_stages} and {multiplier}")
        self.n_stages, self.method, self.multiplier = n_stages, method, multiplier
        self.channel_mapper = None if out_channels is None else nn.Conv2d(in_channels, out_channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(b, in_channels, H, W) to (b, out_channels, h, w) channels to concatenate."""
        for _ in range(self.n_stages):
            x = F.interpolate(x, scale_factor=self.multiplier, mode=self.method)
        return x if self.channel_mapper is None else self.channel_mapper(x)


def one_hot_map(labels: Tensor, n_classes: int) -> Tensor:
    """(b, h, w) class of each pixel to (b, n_classes, h, w) zeros and ones.

    A class out of range (255, where a data set marks "ignore") is zero in every channel, as is the null condition.
    """
    classes = torch.arange(n_classes, device=labels.device)
    return (labels[:, None] == classes[:, None, None]).float()


def low_resolution_channels(image: Tensor, size: tuple[int, int]) -> Tensor:
    """The low-resolution image of super-resolution as channels: raw RGB in [-1, 1], not encoded, at the latent's size.

    image: (b, 3, h, w); where it is not of `size` it is resized bicubically (antialiased).
    Source: CompVis models/ldm/bsr_sr/config.yaml, whose cond_stage is the identity.
    """
    if image.shape[2:] == size:
        return image
    return F.interpolate(image, size=size, mode="bicubic", antialias=True).clamp(-1, 1)


def depth_channels(depth: Tensor, size: tuple[int, int]) -> Tensor:
    """A depth map as Stable Diffusion 2's depth model sees it, (b, 1, *size): each sample's nearest is 1 and its farthest -1.

    depth: (b, c, h, w), larger where nearer, as MiDaS estimates it; channels are averaged. A map without depth is 0.
    Source: Stability-AI/stablediffusion scripts/gradio/depth2img.py.
    """
    small = F.interpolate(depth.mean(1, keepdim=True), size=size, mode="bicubic", align_corners=False)
    low, high = (bound(small, dim=(1, 2, 3), keepdim=True) for bound in (torch.amin, torch.amax))
    return torch.where(high > low, 2 * (small - low) / (high - low) - 1, torch.zeros_like(small))
