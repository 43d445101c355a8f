"""The first stage that changes nothing: diffusion of pixels, which is what the paper calls f = 1 (CompVis' IdentityFirstStage,
ldm/models/autoencoder.py)."""

from __future__ import annotations

from torch import Tensor

from core.models.first_stage import FirstStage
from core.models.registry import model


@model
class IdentityAutoencoder(FirstStage):
    """z is the image, scaled: factor 1, as many channels as images have, nothing to train. See `FirstStage`."""

    regions = ()
    kept_float32 = ()

    def __init__(self, in_channels: int = 3, scale_factor: float = 1.0, per_channel_scale: bool = False) -> None:
        super().__init__()
        self.in_channels = self.latent_channels = in_channels
        self.factor = 1
        self.start_scale(scale_factor, per_channel_scale)

    def encode(self, images: Tensor, noise: Tensor | None = None) -> Tensor:  # noqa: ARG002 (one signature for all)
        """z (b, in_channels, h, w) of images of that shape. Nothing is random here: `noise` is not used."""
        return self.to_z(self.fitting(images))

    def decode(self, z: Tensor) -> Tensor:
        """Images (b, in_channels, h, w), not clipped, of z of that shape."""
        return self.from_z(z)
