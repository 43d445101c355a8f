"""What every first stage is, whatever its networks: images to latents in the diffusion model's space, and back.

`encode` and `decode` work in the diffusion model's space: `scale_factor` is applied by the one and undone by the other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from core.models.regional import Regional


class FirstStage(Regional, ABC):
    """Images to latents and back.

    in_channels: of images. factor: pixels per latent position along each side; latent_channels: the channels of z.
    scale_factor: z = scale_factor · (first stage's latent − shift_factor); a buffer, so kept in checkpoints. () or,
        with per_channel_scale, (c, 1, 1); only then is there a shift_factor.
    """

    config: dict[str, Any]
    in_channels: int
    factor: int
    latent_channels: int
    scale_factor: Tensor
    shift_factor: Tensor | None

    def start_scale(self, scale_factor: float, per_channel_scale: bool) -> None:
        """Make the buffers of the scale; `latent_channels` is known by then."""
        shape = (self.latent_channels, 1, 1) if per_channel_scale else ()
        self.register_buffer("scale_factor", torch.full(shape, scale_factor))
        self.register_buffer("shift_factor", torch.zeros(shape) if per_channel_scale else None)

    @property
    def last_layer(self) -> Tensor:
        """The decoder's last weight, where the adaptive adversarial weight compares gradients. Raises ValueError where nothing trains."""
        raise ValueError(
            f"a first stage of the kind {type(self).__name__} has no last layer to weigh gradients at: nothing of it trains; leave "
            "adaptive_weight out"
        )

    @property
    def takes(self) -> dict[str, str]:
        """The shapes of what it is called with, by kind."""
        return {"image": f"b {self.in_channels} h w", "latent": f"b {self.latent_channels} h w"}

    @abstractmethod
    def encode(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        """Images (b, in_channels, f·h, f·w) → z (b, latent_channels, h, w) for the diffusion model."""

    @abstractmethod
    def decode(self, z: Tensor) -> Tensor:
        """z (b, latent_channels, h, w) → images (b, out_channels, f·h, f·w), not clipped."""

    @torch.no_grad()
    def measure_scale(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        """Set `scale_factor` (and `shift_factor`, if any) so that z of this batch has unit variance; return it.

        The paper's "scale_by_std": 1 / std over all components of one batch of sampled latents (so give `noise` for a
        KL autoencoder); per channel, with the mean taken off, for `per_channel_scale`.
        """
        latents = self.from_z(self.encode(images, noise))
        if self.shift_factor is None:
            self.scale_factor.copy_(1 / latents.std())
        else:
            self.shift_factor.copy_(latents.mean(dim=(0, 2, 3))[:, None, None])
            self.scale_factor.copy_(1 / latents.std(dim=(0, 2, 3))[:, None, None])
        return self.scale_factor

    def to_z(self, latent: Tensor) -> Tensor:
        """The first stage's latent (b, c, h, w) in the diffusion model's space."""
        return (latent if self.shift_factor is None else latent - self.shift_factor) * self.scale_factor

    def from_z(self, z: Tensor) -> Tensor:
        """z of the diffusion model (b, c, h, w) in the first stage's space."""
        latent = z / self.scale_factor
        return latent if self.shift_factor is None else latent + self.shift_factor

    def fitting(self, images: Tensor) -> Tensor:
        """The images, which must be (b, c, h, w) with sides that are multiples of `factor`: ValueError otherwise."""
        if images.dim() != 4 or images.shape[2] % self.factor or images.shape[3] % self.factor:
            raise ValueError(
                f"images must be (b, c, h, w) with sides that are multiples of {self.factor}, got {tuple(images.shape)}"
            )
        return images
