"""The first stage: perceptual compression of images to latents (Rombach et al. 2022, section 3.1 and appendix G).

Names follow CompVis/latent-diffusion, ldm/models/autoencoder.py; there the factor lives in LatentDiffusion, here it
belongs to the autoencoder.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.models.encoder_decoder import AttnBlock, Decoder, Encoder, ResnetBlock
from core.models.first_stage import FirstStage
from core.models.quantizer import Quantized, VectorQuantizer
from core.models.registry import model


class DiagonalGaussian(NamedTuple):
    """A Gaussian with independent components: mean and logvar, both (b, c, h, w), logvar clamped to [−30, 20]."""

    mean: Tensor
    logvar: Tensor

    @classmethod
    def from_moments(cls, moments: Tensor) -> "DiagonalGaussian":
        """From (b, 2c, h, w): the means, then the log variances."""
        mean, logvar = moments.chunk(2, dim=1)
        return cls(mean, logvar.clamp(-30, 20))

    def sample(self, noise: Tensor) -> Tensor:
        """mean + std · noise, for standard normal noise of the mean's shape."""
        return torch.addcmul(self.mean, (0.5 * self.logvar).exp(), noise)

    def mode(self) -> Tensor:
        """The mean."""
        return self.mean

    def kl(self) -> Tensor:
        """KL divergence to the standard normal, summed over everything but the batch: (b,)."""
        return 0.5 * (self.mean.square() + self.logvar.exp() - 1 - self.logvar).flatten(1).sum(1)


class Autoencoder(FirstStage):
    """What the KL and the VQ autoencoder share: the paper's networks; f = 2^(levels − 1)."""

    kept_float32 = ("decoder.conv_out", "quantize")
    regions = (ResnetBlock, AttnBlock)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        model_channels: int,
        channel_mult: Sequence[int],
        num_res_blocks: int,
        z_channels: int,
        embed_dim: int,
        moments: int,
        attention_factors: Sequence[int],
        mid_attention: bool,
        dropout: float,
        norm_groups: int,
        scale_factor: float,
        per_channel_scale: bool,
    ) -> None:
        super().__init__()
        if not channel_mult or min(channel_mult) < 1:
            raise ValueError(f"channel_mult has a multiple of at least 1 for each level, not {list(channel_mult)}")
        shape = (model_channels, channel_mult, num_res_blocks, attention_factors, mid_attention, dropout, norm_groups)
        self.encoder = Encoder(in_channels, moments * z_channels, *shape)
        self.decoder = Decoder(z_channels, out_channels, *shape)
        self.quant_conv = nn.Conv2d(moments * z_channels, moments * embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(embed_dim, z_channels, 1)
        self.in_channels, self.factor, self.latent_channels = in_channels, 2 ** (len(channel_mult) - 1), embed_dim
        self.start_scale(scale_factor, per_channel_scale)

    @property
    def last_layer(self) -> Tensor:
        """The decoder's last weight, where the adaptive adversarial weight compares gradients."""
        return self.decoder.conv_out.weight

    def _moments(self, images: Tensor) -> Tensor:
        moments: Tensor = self.quant_conv(self.encoder(self.fitting(images).to(self.last_layer.dtype)))
        return moments.to(images.dtype)

    def _decode(self, latent: Tensor) -> Tensor:
        images: Tensor = self.decoder(self.post_quant_conv(latent.to(self.last_layer.dtype)))
        return images.to(latent.dtype)


class KLReconstruction(NamedTuple):
    """Images (b, out_channels, f·h, f·w) and the posterior that their latent was drawn from."""

    reconstruction: Tensor
    posterior: DiagonalGaussian


@model
class KLAutoencoder(Autoencoder):
    """Autoencoder with a slight KL penalty: CompVis' AutoencoderKL.

    model_channels, channel_mult, num_res_blocks, attention_factors, mid_attention, norm_groups: see `Encoder`.
    logvar_init: initial bias of the log variance. None leaves torch's, near 0, so that training begins with as much
        noise as signal; −6 lets small models begin with hardly any.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        model_channels: int = 128,
        channel_mult: Sequence[int] = (1, 2, 4, 4),
        num_res_blocks: int = 2,
        z_channels: int = 4,
        embed_dim: int | None = None,
        attention_factors: Sequence[int] = (),
        mid_attention: bool = True,
        dropout: float = 0.0,
        norm_groups: int = 32,
        scale_factor: float = 1.0,
        per_channel_scale: bool = False,
        logvar_init: float | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            model_channels,
            channel_mult,
            num_res_blocks,
            z_channels,
            embed_dim or z_channels,
            moments=2,
            attention_factors=attention_factors,
            mid_attention=mid_attention,
            dropout=dropout,
            norm_groups=norm_groups,
            scale_factor=scale_factor,
            per_channel_scale=per_channel_scale,
        )
        if logvar_init is not None and self.quant_conv.bias is not None:
            nn.init.constant_(self.quant_conv.bias[self.latent_channels :], logvar_init)

    def posterior(self, images: Tensor) -> DiagonalGaussian:
        """q(latent | images), before `scale_factor`; images (b, in_channels, f·h, f·w)."""
        return DiagonalGaussian.from_moments(self._moments(images))

    def encode(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        """z for the diffusion model: a sample made with `noise` (b, latent_channels, h, w), or the mode without."""
        posterior = self.posterior(images)
        return self.to_z(posterior.mode() if noise is None else posterior.sample(noise))

    def decode(self, z: Tensor) -> Tensor:
        """Images (b, out_channels, f·h, f·w), not clipped, of z (b, latent_channels, h, w)."""
        return self._decode(self.from_z(z))

    def forward(self, images: Tensor, noise: Tensor | None = None) -> KLReconstruction:
        """The training pass: images (b, in_channels, f·h, f·w) through a sample drawn with `noise`
        (b, latent_channels, h, w) (the mode without), with the posterior for its KL."""
        posterior = self.posterior(images)
        latent = posterior.mode() if noise is None else posterior.sample(noise)
        return KLReconstruction(self._decode(latent), posterior)


class VQReconstruction(NamedTuple):
    """Images (b, out_channels, f·h, f·w) and the quantised latent with its loss and indices."""

    reconstruction: Tensor
    quantized: Quantized


@model
class VQAutoencoder(Autoencoder):
    """Autoencoder with a codebook, quantisation being the decoder's: CompVis' VQModel and VQModelInterface in one.

    codes: entries of the codebook; beta, legacy, revive_after: see `VectorQuantizer`. The rest: see `KLAutoencoder`.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        model_channels: int = 128,
        channel_mult: Sequence[int] = (1, 2, 4),
        num_res_blocks: int = 2,
        z_channels: int = 3,
        embed_dim: int | None = None,
        codes: int = 8192,
        beta: float = 0.25,
        legacy: bool = False,
        revive_after: int = 0,
        attention_factors: Sequence[int] = (),
        mid_attention: bool = True,
        dropout: float = 0.0,
        norm_groups: int = 32,
        scale_factor: float = 1.0,
        per_channel_scale: bool = False,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            model_channels,
            channel_mult,
            num_res_blocks,
            z_channels,
            embed_dim or z_channels,
            moments=1,
            attention_factors=attention_factors,
            mid_attention=mid_attention,
            dropout=dropout,
            norm_groups=norm_groups,
            scale_factor=scale_factor,
            per_channel_scale=per_channel_scale,
        )
        self.quantize = VectorQuantizer(codes, self.latent_channels, beta, legacy, revive_after)

    def encode(self, images: Tensor, noise: Tensor | None = None) -> Tensor:  # noqa: ARG002 (one signature for both)
        """z (b, latent_channels, h, w) for the diffusion model: the latents *before* quantisation. Nothing is random here:
        `noise` is not used."""
        return self.to_z(self._moments(images))

    def decode(self, z: Tensor, quantize: bool = True) -> Tensor:
        """Undo the scale of z (b, latent_channels, h, w), quantise (gradients pass straight through) unless told not to, decode."""
        latent = self.from_z(z)
        return self._decode(self.quantize(latent).z_q if quantize else latent)

    def decode_indices(self, indices: Tensor) -> Tensor:
        """Images of codebook indices (b, h, w)."""
        return self._decode(self.quantize.lookup(indices))

    def forward(self, images: Tensor) -> VQReconstruction:
        """The training pass: images (b, in_channels, f·h, f·w) through the codebook, with the quantiser's loss and indices."""
        quantized = self.quantize(self._moments(images))
        return VQReconstruction(self._decode(quantized.z_q), quantized)
