"""Stable Diffusion 3's kind of transformer, made anew."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from core.models.mmdit import MMDiT
from core.models.skipped_layers import SkippedLayers
from graph_runner.context import Rng
from graph_runner.contract import Lighter, node
from nodes.models import Channels, Layers
from nodes.wires import Denoiser

Tokens = Annotated[int, Field(ge=1, le=65_536)]


@node(category="models", words=("diffusion transformer", "backbone", "stable diffusion 3", "sd3"))
def mmdit(
    rng: Rng,  # noqa: ARG001 - the engine seeds torch's generators, which initialisation draws from
    in_channels: Channels = 4,
    hidden_size: Annotated[int, Field(ge=4, le=16_384, multiple_of=4)] = 384,
    depth: Layers = 12,
    num_heads: Annotated[int, Field(ge=1, le=1024)] = 6,
    context_dim: Tokens = 640,
    vector_dim: Tokens = 640,
    patch_size: Annotated[int, Field(ge=1, le=64)] = 2,
    sample_size: Annotated[int, Field(ge=1, le=4096)] = 32,
    max_positions: Annotated[int, Field(ge=1, le=1024)] = 32,
    mlp_ratio: Annotated[float, Field(gt=0, le=16)] = 4.0,
    qk_norm: bool = True,
    dual_layers: Annotated[int, Field(ge=0, le=512)] = 0,
    gradient_checkpointing: Annotated[bool, Lighter(True)] = False,
) -> Denoiser:
    """The transformer of Stable Diffusion 3, which reads text and latent as two streams, untrained (Esser et al. 2024, section 4).

    It stands where a UNet can, and is told tokens and a vector of the whole text.

    in_channels: channels of the latent.
    hidden_size: width of the tokens; the paper has 64 for each block.
    depth: transformer blocks.
    num_heads: attention heads; they divide hidden_size.
    context_dim: width of the text's tokens.
    vector_dim: width of its pooled vector.
    patch_size: side of the squares of the latent that are one token each.
    sample_size: height and width of the latents that it is trained on first.
    max_positions: patches along the larger side of the largest latent.
    mlp_ratio: width of the MLPs, in hidden_size.
    qk_norm: queries and keys are normalised, as in 3.5.
    dual_layers: so many blocks, the first, have a second attention of the latent alone, as in 3.5 medium.
    gradient_checkpointing: less memory in training, more time.
    """
    return MMDiT(
        in_channels,
        hidden_size,
        depth,
        num_heads,
        context_dim,
        vector_dim,
        patch_size,
        sample_size,
        max_positions,
        mlp_ratio,
        qk_norm,
        dual_layers,
        gradient_checkpointing,
    )


@node(category="models", words=("skip layer guidance", "slg", "skip_guidance_layers", "perturbed"))
def skip_layers(
    model: Denoiser,
    layers: Annotated[list[Annotated[int, Field(ge=0, le=1024)]], Field(min_length=1)] = [7, 8, 9],  # noqa: B006
) -> Denoiser:
    """Stable Diffusion 3's transformer without some of its blocks, of the same weights: what skip-layer guidance leads away from.

    That adds s · (cond − this one's prediction of the prompt) to the guided prediction, for 3.5 medium 2.8 of it where 1 to 20 % of the
    steps are done (an expression, told the zone's share).

    model: the transformer; it stays as it is.
    layers: blocks that are left out, counted from 0.
    """
    if not isinstance(model, MMDiT):
        raise ValueError(f"layers are skipped of Stable Diffusion 3's transformer, not of a {type(model).__name__}")
    return SkippedLayers(model, layers)
