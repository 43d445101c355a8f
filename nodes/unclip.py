"""Stable Diffusion unCLIP: pictures of what another picture shows (Ramesh et al. 2022)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.checkpoints.image_embedder import image_embedder_files
from core.checkpoints.image_embedder import load_image_embedder as load
from core.conditioning.conditioning import Conditioning as _Conditioning
from core.conditioning.parts import Vector
from core.diffusion import torch_noise
from core.diffusion.torch_noise import Way
from graph_runner.context import Models, Rng
from graph_runner.contract import Neutral, PathTo, Seed, node
from nodes.diffusion import FirstRow
from nodes.models import OURS, Kept, keep_as, read_as
from nodes.wires import Conditioning, Image, ImageEmbedder


@node(category="checkpoints", words=("image encoder", "vision"))
def load_image_embedder(
    path: Annotated[str, PathTo("file or folder", image_embedder_files)],
    known: Models = OURS,
    dtype: Kept = "float32",
) -> ImageEmbedder:
    """The image encoder of Stable Diffusion unCLIP, of the checkpoint that its UNet is in. Never executes code.

    path: a diffusers folder, or a .safetensors or .ckpt file.
    dtype: what weights are kept in; see load_model.
    """
    model = load(path, read_as(dtype), known)
    keep_as(model, dtype)
    return model


@node(
    category="conditioning",
    draws_when=lambda given: given.get("noise_as", "by row") == "by row",
    words=("image variation", "image prompt"),
)
def image_vector(
    embedder: ImageEmbedder,
    images: Image,
    rng: Rng,
    noise_level: Annotated[int, Field(ge=0, le=999)] = 0,
    first_row: FirstRow = 0,
    noise_as: Annotated[Literal["by row", Way], Neutral("by row")] = "by row",
    noise_seed: Annotated[Seed, Neutral(0)] = 0,
) -> Conditioning:
    """What pictures show, as a vector for the time embedding of Stable Diffusion unCLIP's UNet; its null condition is null_like's.

    embedder: the checkpoint's own.
    images: their middle squares are seen.
    noise_level: how much noise the vector gets: the more, the less the picture is followed.
    first_row: the sample of a larger batch that the images begin with, counted from 0.
    noise_as: how it is drawn: by row, or as a program does, to make its pictures again (torch_noise).
    noise_seed: the program's seed; "by row" has the node's own.
    """
    embedding = embedder(images)
    if noise_as == "by row":
        noise = rng.from_row(first_row).randn_like(embedding)
    else:
        noise = torch_noise.start(noise_as, noise_seed, first_row)(*embedding.shape).to(embedding)
    return _Conditioning(parts=[Vector(embedder.noised(embedding, noise, noise_level))])
