"""The VQ-regularised first stage (Rombach et al. 2022, appendix G; Esser et al. 2021)."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import Field

from core.models.autoencoder import VQAutoencoder
from core.models.quantizer import codebook_usage
from graph_runner.context import Processes, Rng
from graph_runner.contract import node
from nodes.models import Blocks, Channels, Count, Dropout, Factors, Groups, Multiples
from nodes.wires import Autoencoder, Image, Loss, Scalar


class Reconstructed(NamedTuple):
    """Images through the codebook, and what training looks at."""

    image: Image
    codebook_loss: Loss
    used: Scalar
    perplexity: Scalar


@node(category="models", words=("vae", "vqvae", "vqgan", "first stage"))
def vq_autoencoder(
    rng: Rng,  # noqa: ARG001 - the engine seeds torch's generators, which initialisation draws from
    model_channels: Channels = 128,
    channel_mult: Multiples = [1, 2, 4],  # noqa: B006
    num_res_blocks: Blocks = 2,
    z_channels: Channels = 3,
    codes: Annotated[int, Field(ge=2, le=2**20)] = 8192,
    beta: Annotated[float, Field(ge=0)] = 0.25,
    legacy: bool = False,
    revive_after: Count = 0,
    attention_factors: Factors = [],  # noqa: B006
    mid_attention: bool = True,
    norm_groups: Groups = 32,
    dropout: Dropout = 0.0,
    per_channel_scale: bool = False,
) -> Autoencoder:
    """A VQ autoencoder, untrained: quantisation belongs to its decoder (CompVis' VQModel and VQModelInterface).

    model_channels: channels of the first level.
    channel_mult: a multiple of them for each level; each level after the first halves height and width.
    num_res_blocks: residual blocks a level.
    z_channels: channels of the latent, the width of a code.
    codes: entries of the codebook.
    beta: weight of the encoder's commitment.
    legacy: put beta on the codebook's term instead, as the published models were trained.
    revive_after: training passes without use after which a code moves to an encoder output; 0 for never.
    attention_factors: downsampling factors whose levels carry attention.
    mid_attention: attention in the middle, at the lowest resolution.
    norm_groups: groups of the group norms; it must divide all channels.
    dropout: in the residual blocks.
    per_channel_scale: rescale each latent channel by its own mean and deviation.
    """
    return VQAutoencoder(
        model_channels=model_channels,
        channel_mult=channel_mult,
        num_res_blocks=num_res_blocks,
        z_channels=z_channels,
        codes=codes,
        beta=beta,
        legacy=legacy,
        revive_after=revive_after,
        attention_factors=attention_factors,
        mid_attention=mid_attention,
        norm_groups=norm_groups,
        dropout=dropout,
        per_channel_scale=per_channel_scale,
    )


@node(category="first stage")
def vq_reconstruct(autoencoder: Autoencoder, images: Image, processes: Processes) -> Reconstructed:
    """The training pass of a VQ autoencoder: through the codebook, gradients passing straight through.

    Gives the codebook's loss, the share of codes that this batch uses, and their perplexity.

    autoencoder: a VQ autoencoder.
    """
    if not isinstance(autoencoder, VQAutoencoder):
        raise ValueError(f"a {type(autoencoder).__name__} has no codebook; wire a VQ autoencoder, or use posterior")
    reconstruction, quantized = autoencoder(images)
    used, perplexity = codebook_usage(quantized.indices, autoencoder.config["codes"], processes.mean)
    return Reconstructed(reconstruction, quantized.loss, used, perplexity)
