"""TAESD: a tiny first stage distilled from a large one, for previews and little memory (madebyollin/taesd, taesd.py).

Its latents are those of the diffusion model, scale and all. Names are TAESD's own: `encoder.0.weight`, `decoder.3.conv.0.weight`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.models.first_stage import FirstStage
from core.models.registry import model

MAGNITUDE = 3.0
"""Latents are squashed to ± 3 before they are decoded."""


class TinyBlock(nn.Module):
    """Three convolutions beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers = [nn.Conv2d(channels, channels, 3, padding=1) for _ in range(3)]
        self.conv = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) → (b, c, h, w)."""
        return F.relu(self.conv(x) + x)


class Squash(nn.Module):
    """tanh(x / 3) · 3, as the decoder begins."""

    def forward(self, x: Tensor) -> Tensor:
        """Of any shape."""
        return torch.tanh(x / MAGNITUDE) * MAGNITUDE


@model
class TinyAutoencoder(FirstStage):
    """A few convolutions each way.

    channels: of all layers. encoder_blocks: on each level, the first at full size, each further one at half the size; the decoder's
    are the same from the other end. f = 2^(levels − 1).
    """

    regions = (TinyBlock,)
    kept_float32 = ()

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        latent_channels: int = 4,
        channels: int = 64,
        encoder_blocks: Sequence[int] = (1, 3, 3, 3),
        decoder_blocks: Sequence[int] = (3, 3, 3, 1),
        scale_factor: float = 1.0,
        per_channel_scale: bool = False,
    ) -> None:
        super().__init__()
        if len(encoder_blocks) != len(decoder_blocks) or not encoder_blocks:
            raise ValueError(
                f"encoder and decoder have {len(encoder_blocks)} and {len(decoder_blocks)} levels, not the same"
            )
        down: list[nn.Module] = []
        for level, blocks in enumerate(encoder_blocks):
            first = nn.Conv2d(in_channels, channels, 3, padding=1)
            halving = nn.Conv2d(channels, channels, 3, padding=1, stride=2, bias=False)
            down += [halving if level else first, *(TinyBlock(channels) for _ in range(blocks))]
        up: list[nn.Module] = [Squash(), nn.Conv2d(latent_channels, channels, 3, padding=1), nn.ReLU()]
        for level, blocks in enumerate(decoder_blocks):
            last = level == len(decoder_blocks) - 1
            up += [TinyBlock(channels) for _ in range(blocks)]
            up += [] if last else [nn.Upsample(scale_factor=2)]
            up += [nn.Conv2d(channels, out_channels if last else channels, 3, padding=1, bias=last)]
        self.encoder = nn.Sequential(*down, nn.Conv2d(channels, latent_channels, 3, padding=1))
        self.decoder = nn.Sequential(*up)
        self.in_channels, self.latent_channels, self.factor = (
            in_channels,
            latent_channels,
            2 ** (len(encoder_blocks) - 1),
        )
        self.start_scale(scale_factor, per_channel_scale)

    @property
    def last_layer(self) -> Tensor:
        """The decoder's last weight."""
        return self.decoder.get_parameter(f"{len(self.decoder) - 1}.weight")

    def encode(self, images: Tensor, noise: Tensor | None = None) -> Tensor:  # noqa: ARG002 (one signature for all)
        """z (b, latent_channels, h, w) of images (b, in_channels, f·h, f·w). Nothing is random here: `noise` is not used."""
        latent = self.encoder((self.fitting(images).to(self.last_layer.dtype) + 1) / 2)
        return self.to_z(latent.to(images.dtype))

    def decode(self, z: Tensor) -> Tensor:
        """Images (b, out_channels, f·h, f·w), not clipped, of z (b, latent_channels, h, w)."""
        images: Tensor = self.decoder(self.from_z(z).to(self.last_layer.dtype)) * 2 - 1
        return images.to(z.dtype)
