"""Pictures as prompts: IP-Adapters (Ye et al. 2023) and the image encoder that sees for them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import Field

from core.checkpoints.ip_adapter import ip_adapter_files
from core.checkpoints.ip_adapter import load_ip_adapter as load
from core.checkpoints.ip_adapter import save_ip_adapter as save
from core.checkpoints.latent_diffusion import rounded
from core.checkpoints.pretrained import pretrained_files
from core.conditioning.image_encoder import ImageEncoder as _ImageEncoder
from core.models.ip_adapter import IPAdapter as _IPAdapter
from core.models.ip_adapter import image_prompted
from graph_runner.context import Models, Rng, Saving
from graph_runner.contract import Name, PathTo, node
from nodes.control import Share, Strength, Told, both_sides
from nodes.models import OURS, Kept, keep_as, model_file, read_as
from nodes.wires import Conditioning, Image, ImageEncoder, IPAdapter, UNet


@node(category="control", words=("vision loader", "vision", "ip-adapter"))
def load_image_encoder(
    path: Annotated[str, PathTo("folder", pretrained_files)], dtype: Kept = "float32"
) -> ImageEncoder:
    """CLIP's image encoder, which an IP-Adapter sees with, from a folder that you have. Never executes code.

    path: as transformers writes a CLIPVisionModelWithProjection, such as h94/IP-Adapter's models/image_encoder.
    dtype: what weights are kept in; see load_model.
    """
    encoder = _ImageEncoder.load(path, read_as(dtype))
    keep_as(encoder, dtype)
    return encoder


@node(category="control", words=("ipadapter", "ip-adapter plus", "image prompt", "style transfer", "reference picture"))
def load_ip_adapter(
    path: Annotated[str, PathTo("file or folder", ip_adapter_files)], known: Models = OURS, dtype: Kept = "float32"
) -> IPAdapter:
    """An IP-Adapter, plain, plus or full face: the authors' file, or ours. Never executes code.

    path: a .safetensors or .bin file, such as h94/IP-Adapter's models/ip-adapter_sd15.
    dtype: what weights are kept in; see load_model.
    """
    model = load(path, read_as(dtype), known)
    keep_as(model, dtype)
    return model


@node(category="control", words=("train ip-adapter", "image prompt"))
def ip_adapter(
    rng: Rng,  # noqa: ARG001 - the engine seeds torch's generators, which initialisation draws from
    unet: UNet,
    encoder: ImageEncoder,
    tokens: Annotated[int, Field(ge=1, le=1024)] = 4,
) -> IPAdapter:
    """A plain IP-Adapter to train: its keys and values begin as the UNet's own for texts (Ye et al. 2023, section 3.2.2).

    unet: a trained one with cross-attention, which stays as it is.
    encoder: what will see the pictures; it stays as it is.
    tokens: how many are made of a picture.
    """
    return _IPAdapter.beside(unet, encoder.embedding_dim, tokens).eval().requires_grad_(False)


def _prompted_dry(**given: Any) -> Told:
    """As for ControlNets."""
    return apply_ip_adapter(**given | {"share": None, "start": 0.0, "end": 1.0})


@node(
    category="control",
    dry=_prompted_dry,
    words=("ipadapter", "ip-adapter", "image prompt", "style transfer", "reference picture", "start_at", "end_at"),
)
def apply_ip_adapter(
    adapter: IPAdapter,
    encoder: ImageEncoder,
    pictures: Image | list[Image],
    condition: Conditioning | None = None,
    negative: Conditioning | None = None,
    strength: Strength = 1.0,
    share: Share | None = None,
    start: Share = 0.0,
    end: Share = 1.0,
) -> Told:
    """Conditions, and beside their tokens what an IP-Adapter makes of pictures (Ye et al. 2023): a picture as a prompt.

    It depends on no step: outside of sample it is computed once. Several at once: what one gives goes into the next one.

    adapter: made for the UNet that is told the conditions.
    encoder: the image encoder that the adapter was made for.
    pictures: of any size, one for each sample or one for all; several wires are one prompt of several pictures.
    condition: what the UNet is told besides; for the picture alone, an empty prompt.
    negative: the other side of guidance: it is told that there is no picture.
    strength: 1 as trained, 0 nothing; .5 to .8 beside a prompt.
    share: of the steps that is done: sample's own, inside of it. Only start and end need it.
    start: the share of the steps from which on it is at work.
    end: the share of the steps from which on it is not.
    """
    shown = pictures if isinstance(pictures, list) else [pictures]

    def add(told: Conditioning | None, nothing: bool) -> Conditioning:
        return image_prompted(adapter, encoder, shown, told, strength, nothing)

    return both_sides(add, condition, negative, share, start, end)


@node(category="control", effect=True, saves=lambda given: [model_file(given["name"])], words=("export", "ipadapter"))
def save_ip_adapter(
    adapter: IPAdapter,
    saving: Saving,
    name: Name = "ip_adapter",
    precision: Literal["float32", "float16", "bfloat16"] = "float32",
) -> None:
    """Save an IP-Adapter below the workspace's models folder, as the authors' programs, diffusers and ComfyUI load it.

    name: of the file.
    precision: of the weights in the file.
    """
    save(rounded(adapter, getattr(torch, precision)), saving(model_file(name)))
