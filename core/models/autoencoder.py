"""The first stage: perceptual compression of images to latents (Rombach et al. 2022, section 3.1 and appendix G).

`encode` and `decode` work in the diffusion model's space: `scale_factor` is applied by the one and undone by the other.
Names follow CompVis/latent-diffusion, ldm/models/autoencoder.py; there the factor lives in LatentDiffusion, here it
belongs to the autoencoder.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from core.models.encoder_decoder import AttnBlock, Decoder, Encoder, ResnetBlock
from core.models.quantizer import Quantized, VectorQuantizer
from core.models.regional import Regional
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


class Autoencoder(Regional):
    """What the KL and the VQ autoencoder share: the networks and the scale of the latents.

    factor: pixels per latent position along each side, f = 2^(levels − 1); latent_channels: the channels of z.
    scale_factor: z = scale_factor · (first stage's latent − shift_factor); a buffer, so kept in checkpoints. () or,
        with per_channel_scale, (c, 1, 1); only then is there a shift_factor.
    """

    config: dict[str, Any]
    kept_float32 = ("decoder.conv_out", "quantize")
    scale_factor: Tensor
    shift_factor: Tensor | None
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
        self.factor = 2 ** (len(channel_mult) - 1)
        self.latent_channels = embed_dim
        scale_shape = (embed_dim, 1, 1) if per_channel_scale else ()
        self.register_buffer("scale_factor", torch.full(scale_shape, scale_factor))
        self.register_buffer("shift_factor", torch.zeros(scale_shape) if per_channel_scale else None)

    @property
    def last_layer(self) -> Tensor:
        """The decoder's last weight, where the adaptive adversarial weight compares gradients."""
        return self.decoder.conv_out.weight

    @property
    def takes(self) -> dict[str, str]:
        """The shapes of what it is called with, by kind."""
        return {
            "image": f"b {self.encoder.conv_in.in_channels} h w",
            "latent": f"b {self.latent_channels} h w",
        }

    def encode(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        """Images (b, in_channels, f·h, f·w) → z (b, latent_channels, h, w) for the diffusion model."""
        raise NotImplementedError

    def decode(self, z: Tensor) -> Tensor:
        """z (b, latent_channels, h, w) → images (b, out_channels, f·h, f·w), not clipped."""
        raise NotImplementedError

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

    def _moments(self, images: Tensor) -> Tensor:
        if images.dim() != 4 or images.shape[2] % self.factor or images.shape[3] % self.factor:
            raise ValueError(
                f"images must be (b, c, h, w) with sides that are multiples of {self.factor}, got {tuple(images.shape)}"
            )
        moments: Tensor = self.quant_conv(self.encoder(images.to(self.last_layer.dtype)))
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
