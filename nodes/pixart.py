"""PixArt's kind of transformer, made anew, and what it alone is told."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from core.checkpoints.pixart_text import without_padding
from core.conditioning.conditioning import Conditioning as _Conditioning
from core.conditioning.parts import Vector
from core.conditioning.t5 import T5TextEmbedder
from core.models.pixart import PixArt
from graph_runner.context import Device, Rng
from graph_runner.contract import Lighter, node
from nodes.mmdit import Tokens
from nodes.models import Channels, Layers
from nodes.wires import Conditioning, Denoiser, TextEncoder

Pixels = Annotated[int, Field(ge=1, le=65_536)]


@node(category="models", words=("diffusion transformer", "backbone", "pixart alpha", "pixart sigma", "adaln single"))
def pixart(
    rng: Rng,  # noqa: ARG001 - the engine seeds torch's generators, which initialisation draws from
    in_channels: Channels = 4,
    hidden_size: Annotated[int, Field(ge=4, le=16_384, multiple_of=4)] = 384,
    depth: Layers = 12,
    num_heads: Annotated[int, Field(ge=1, le=1024)] = 6,
    context_dim: Tokens = 640,
    patch_size: Annotated[int, Field(ge=1, le=64)] = 2,
    sample_size: Annotated[int, Field(ge=1, le=4096)] = 32,
    interpolation_scale: Annotated[float, Field(gt=0, le=64)] = 1.0,
    mlp_ratio: Annotated[float, Field(gt=0, le=16)] = 4.0,
    sizes: bool = False,
    masked: bool = False,
    learn_sigma: bool = False,
    gradient_checkpointing: Annotated[bool, Lighter(True)] = False,
) -> Denoiser:
    """The transformer of PixArt-α, which reads a caption in every block, untrained (Chen et al. 2023, section 2.3).

    It stands where a UNet can, and is told tokens.

    in_channels: channels of the latent.
    hidden_size: width of the tokens; with sizes a multiple of 12.
    depth: transformer blocks.
    num_heads: attention heads; they divide hidden_size.
    context_dim: width of the text's tokens.
    patch_size: side of the squares of the latent that are one token each.
    sample_size: height and width of the latents that it is trained on; others fit too.
    interpolation_scale: patches between two whole positions: 2 to go on at twice the size from a model that learned them at 1.
    mlp_ratio: width of the MLPs, in hidden_size.
    sizes: it is told the picture's height, width and their ratio (resolution_condition), as PixArt-α for 1024 pixels.
    masked: the condition says which tokens are words, as T5's does (mask_padding); without, all are read where it says nothing.
    learn_sigma: it also has outputs for the variance, as the published weights do; samplers here leave them out.
    gradient_checkpointing: less memory in training, more time.
    """
    return PixArt(
        in_channels,
        hidden_size,
        depth,
        num_heads,
        context_dim,
        patch_size,
        sample_size,
        interpolation_scale,
        mlp_ratio,
        sizes,
        masked,
        learn_sigma,
        gradient_checkpointing=gradient_checkpointing,
    )


@node(category="conditioning", words=("pixart", "resolution", "aspect ratio", "micro conditioning"))
def resolution_condition(device: Device, height: Pixels = 1024, width: Pixels = 1024) -> Conditioning:
    """The size to sample at, as PixArt-α for 1024 pixels is told it: height, width, and height over width (Chen et al. 2023, appendix).

    Combined with a prompt it is what that model takes; Stable Diffusion XL's is size_condition.

    height: of the picture, in pixels.
    width: of the picture, in pixels.
    """
    return _Conditioning(parts=[Vector(torch.tensor([[float(height), float(width), height / width]], device=device))])


@node(category="text", words=("t5", "attention mask", "pixart"))
def mask_padding(text_encoder: TextEncoder, pad: Annotated[int, Field(ge=0)] = 0) -> TextEncoder:
    """A T5 that leaves unread what fills up a short text, and says so in its condition, as PixArt wants it.

    A PixArt's own folder has it so; this is for T5 from a folder of its own.

    text_encoder: T5.
    pad: id of the token that fills up: 0 of every published T5.
    """
    if not isinstance(text_encoder, T5TextEmbedder):
        raise ValueError(f"only T5 leaves padding unread, and this is a {type(text_encoder).__name__}")
    return without_padding(text_encoder, pad).requires_grad_(False)
