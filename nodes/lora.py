"""LoRA files and their kin: merged into the models that they were made for, and saved."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

import torch
from pydantic import Field
from torch import nn

from core.checkpoints.lora import Lora, changes_nothing, merge_lora, read_lora
from core.checkpoints.lora_saving import difference, write_lora
from core.checkpoints.lora_settings import lora_files
from core.conditioning.clip import CLIPTextEmbedder
from core.conditioning.sdxl import SDXLTextEmbedder
from core.models.graft import refuse_grafted
from core.models.mmdit import MMDiT
from core.models.pixart import PixArt
from core.models.unet import UNet as UNetModel
from graph_runner.context import Saving, Tell
from graph_runner.contract import Name, PathTo, node
from nodes.models import model_file
from nodes.wires import Denoiser, TextEncoder, UNet

M = TypeVar("M", bound=nn.Module)

Strength = Annotated[float, Field(ge=-4, le=4)]
LoraPath = Annotated[str, PathTo("file or folder", lora_files)]
LOST = 0.05
"""From what part of a change on it is told that the rank leaves it out."""
WORDS = ("lora loader", "load lora", "loha", "lokr", "lycoris", "dora", "peft")


class Merged(NamedTuple):
    """Both halves with the file merged in; the text encoder where one was wired."""

    unet: UNet
    text_encoder: TextEncoder | None


class WithLora(NamedTuple, Generic[M]):
    """The denoiser with the file merged in."""

    unet: M


def _lora_dry(
    unet: UNet, path: str, tell: Tell, text_encoder: TextEncoder | None = None, adapter: str = "", **_: Any
) -> Merged:
    """A merged model has the shapes of the original; what the file is for stands in its names."""
    _tell_idle(read_lora(path, adapter), text_encoder, tell, by_names_alone=True)
    return Merged(unet, text_encoder)


def _lora_unet_dry(unet: M, path: str, tell: Tell, **_: Any) -> WithLora[M]:
    _tell_idle_half(read_lora(path), "denoiser", tell, by_names_alone=True)
    return WithLora(unet)


def _lora_text_encoder_dry(text_encoder: TextEncoder, path: str, tell: Tell, **_: Any) -> TextEncoder:
    _tell_idle_half(read_lora(path), "text encoder", tell, by_names_alone=True)
    return text_encoder


def _tell_idle(lora: Lora, text_encoder: TextEncoder | None, tell: Tell, by_names_alone: bool = False) -> None:
    """Tell where the file changes neither half, or has a half for what is not wired."""
    if text_encoder is None and (lora.text or lora.text_2):
        tell(
            f"{lora.source} changes the text encoder too; wire that as well, or only the half for the denoiser is used"
        )
    idle = [changes_nothing(lora, part, by_names_alone) for part in ("denoiser", "text encoder")]
    if idle[0] and (idle[1] or text_encoder is None):
        tell(idle[0])


def _tell_idle_half(
    lora: Lora, part: Literal["denoiser", "text encoder"], tell: Tell, by_names_alone: bool = False
) -> Lora:
    if why := changes_nothing(lora, part, by_names_alone):
        tell(why)
    return lora


def for_unet(unet: nn.Module) -> UNetModel:
    """A UNet that LoRA files are for. Raises ValueError for another model."""
    if not isinstance(unet, UNetModel):
        raise ValueError(f"a LoRA file changes Stable Diffusion's UNets here, not a {type(unet).__name__}")
    refuse_grafted(unet)
    return unet


def for_denoiser(model: nn.Module) -> UNetModel | MMDiT | PixArt:
    """A denoiser that LoRA files are for: a UNet, or the transformer of Stable Diffusion 3 or PixArt. Raises ValueError for another model."""
    if not isinstance(model, UNetModel | MMDiT | PixArt):
        raise ValueError(
            f"a LoRA file changes UNets and the transformers of Stable Diffusion 3 and PixArt here, not a {type(model).__name__}"
        )
    refuse_grafted(model)
    return model


def for_text_encoder(text_encoder: TextEncoder) -> CLIPTextEmbedder | SDXLTextEmbedder:
    """A text encoder that LoRA files are for. Raises ValueError for another model."""
    if not isinstance(text_encoder, CLIPTextEmbedder | SDXLTextEmbedder):
        raise ValueError(f"a LoRA file changes CLIP text encoders, not a {type(text_encoder).__name__}")
    refuse_grafted(text_encoder)
    return text_encoder


def one_clip(text_encoder: TextEncoder) -> CLIPTextEmbedder:
    """A text encoder whose changes can be saved as a LoRA file. Raises ValueError for another model."""
    if isinstance(text_encoder, SDXLTextEmbedder):
        raise ValueError(
            "what a training changed in Stable Diffusion XL's two text encoders cannot be saved as a LoRA yet; wire the UNets"
            " alone, or save the whole model (save_checkpoint)"
        )
    if not isinstance(text_encoder, CLIPTextEmbedder):
        raise ValueError(f"a LoRA file changes CLIP text encoders, not a {type(text_encoder).__name__}")
    refuse_grafted(text_encoder)
    return text_encoder


@node(category="checkpoints", dry=_lora_dry, words=(*WORDS, "clip"))
def lora(
    unet: UNet,
    path: LoraPath,
    tell: Tell,
    text_encoder: TextEncoder | None = None,
    strength: Strength = 1.0,
    text_strength: Strength = 1.0,
    adapter: str = "",
) -> Merged:
    """Both halves of a model with a LoRA merged in; several add up, one node after the other.

    LoRA, LoHa, LoKr, DoRA and differences of weights (Hu et al. 2021 and after), in the naming of kohya, LyCORIS, diffusers or peft.

    unet: the base model that the file was made for; a wire from before this node is the model without it.
    path: the file, or the folder of an adapter of peft.
    text_encoder: CLIP, or Stable Diffusion XL's two, where the file has a half for it.
    strength: of the half for the UNet: 1 as trained, 0 nothing, negative the opposite.
    text_strength: of the half for the text encoder.
    adapter: its name, where a file or folder holds several.
    """
    read = read_lora(path, adapter)
    _tell_idle(read, text_encoder, tell)
    told = None if text_encoder is None else merge_lora(for_text_encoder(text_encoder), read, text_strength)
    return Merged(merge_lora(for_unet(unet), read, strength), told)


@node(category="checkpoints", version=2, dry=_lora_unet_dry, words=WORDS)
def lora_unet(unet: M, path: LoraPath, tell: Tell, strength: Strength = 1.0) -> WithLora[M]:
    """A denoiser with a LoRA file merged in, or a LoHa, LoKr, DoRA or file of differences.

    unet: the base model that the LoRA was made for: a UNet, or the transformer of Stable Diffusion 3 or PixArt.
    path: the file, or the folder of an adapter of peft.
    strength: 1 as trained, 0 nothing, negative the opposite.
    """
    merged = merge_lora(for_denoiser(unet), _tell_idle_half(read_lora(path), "denoiser", tell), strength)
    return WithLora(merged)  # type: ignore[arg-type]


@node(category="checkpoints", version=2, dry=_lora_text_encoder_dry, words=(*WORDS, "clip"))
def lora_text_encoder(text_encoder: TextEncoder, path: LoraPath, tell: Tell, strength: Strength = 1.0) -> TextEncoder:
    """A text encoder with a LoRA file merged in; unchanged where the file has nothing for it.

    text_encoder: CLIP, or Stable Diffusion XL's two.
    path: the file, or the folder of an adapter of peft.
    strength: 1 as trained, 0 nothing, negative the opposite.
    """
    return merge_lora(for_text_encoder(text_encoder), _tell_idle_half(read_lora(path), "text encoder", tell), strength)


@node(
    category="checkpoints",
    version=2,
    effect=True,
    saves=lambda given: [model_file(given["name"])],
    words=("extract lora", "export", "loha", "kohya", "diffusers"),
)
def save_lora(
    saving: Saving,
    tell: Tell,
    base: Denoiser,
    unet: Denoiser,
    text_base: TextEncoder | None = None,
    text_encoder: TextEncoder | None = None,
    rank: Annotated[int, Field(ge=1, le=1024)] = 16,
    naming: Literal["kohya", "diffusers"] = "kohya",
    name: Name = "lora",
    precision: Literal["float16", "bfloat16", "float32"] = "float16",
) -> None:
    """Save what a training changed as a LoRA file below the workspace's models folder (Hu et al. 2021, section 4.1).

    Of each weight's change the part of the largest singular values is kept.

    base: the UNet, or the transformer of Stable Diffusion 3 or PixArt, before the training.
    unet: the same after it.
    text_base: the text encoder before the training, where it was trained.
    text_encoder: the text encoder after it.
    rank: how many singular values are kept; what that leaves out is told.
    naming: kohya's, which A1111 and ComfyUI read, or diffusers'; only kohya's has a place for biases and norms, and none for a transformer's tables.
    name: of the file.
    precision: of the weights in the file.
    """
    if (text_base is None) != (text_encoder is None):
        raise ValueError("wire the text encoder both before and after its training, or neither")
    change = difference(for_denoiser(base), for_denoiser(unet), rank, naming)
    text = None
    if text_base is not None and text_encoder is not None:
        text = difference(one_clip(text_base), one_clip(text_encoder), rank)
    homeless = write_lora(saving(model_file(name)), change, text, naming, getattr(torch, precision))
    for part, each in (("denoiser", change), ("text encoder", text)):
        if each is not None and each.lost > LOST:
            tell(
                f"rank {rank} leaves out {each.lost:.0%} of what changed in the {part}'s weights; a larger one keeps more"
            )
    if change.unplaced:
        tell(
            f"{len(change.unplaced)} tables changed, such as {change.unplaced[0]}, for which no LoRA file has a place; save the "
            "whole model (save_checkpoint)"
        )
    if homeless:
        tell(f"{homeless} biases and norms changed, for which this naming has no place; naming='kohya' keeps them")
