"""Low-rank adapters (LoRA, Hu et al. 2021): made, trained, merged and saved. Files of them are loaded by `nodes.lora`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import torch
from pydantic import Field
from torch import nn

from core.checkpoints.adapter_saving import Trained, write_adapter
from core.models.adapter import adapter_for, merged, with_adapter
from graph_runner.context import Rng, Saving
from graph_runner.contract import Name, node
from nodes.lora import Strength, for_unet, one_clip
from nodes.optimizers import Patterns
from nodes.wires import Adapter, TextEncoder, UNet

M = TypeVar("M", bound=nn.Module)

WORDS = ("lora", "peft", "dora", "rslora", "fine-tune", "dreambooth")


@node(category="models", words=(*WORDS, "train lora", "lora config"))
def lora_adapter(
    model: M,
    rng: Rng,  # noqa: ARG001 - the engine seeds torch's generators, which initialisation draws from
    layers: Patterns = ["*attn*"],  # noqa: B006
    rank: Annotated[int, Field(ge=1, le=1024)] = 8,
    alpha: Annotated[float, Field(gt=0, le=4096)] | None = None,
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    rank_stabilised: bool = False,
    dora: bool = False,
) -> Adapter:
    """A fresh low-rank adapter: the change B · A of layers' weights, with B zero, so that it first changes nothing (Hu et al. 2021).

    Let a training zone carry the adapter, and inside of it give it to the model by add_lora. The model itself does not train.

    model: that is adapted; it stays as it is, and may be kept in few bits (cast_weights).
    layers: name patterns of its linear layers and convolutions, such as *attn2* or *to_k.
    rank: of each change.
    alpha: the change counts alpha / rank; empty for the rank.
    dropout: of what goes into the factors, in training.
    rank_stabilised: alpha / √rank instead (Kalajdzievski 2023).
    dora: the rows of changed weights have lengths that are learned too (Liu et al. 2024).
    """
    return adapter_for(model, layers, rank, alpha, dropout, rank_stabilised, dora)


@node(category="models", words=(*WORDS, "add adapter"))
def add_lora(model: M, adapter: Adapter, strength: Strength = 1.0) -> M:
    """A model that computes with an adapter as it is now; gradients reach the adapter, and the model without it is as it was.

    model: that the adapter was made for; a wire from before this node is the model without it. Several add up.
    adapter: of lora_adapter, or of the training that carries it.
    strength: 1 as trained, 0 nothing, negative the opposite.
    """
    return with_adapter(model, adapter, strength)


@node(category="models", words=(*WORDS, "merge adapter", "bake"))
def merge_lora(model: M, adapter: Adapter, strength: Strength = 1.0) -> M:
    """A model with an adapter's change added to its weights: to be saved as a whole, or to compute no slower than before.

    model: that the adapter was made for; it stays as it is.
    adapter: as a training left it.
    strength: 1 as trained, 0 nothing, negative the opposite.
    """
    return merged(model, adapter, strength)


def _saved(given: Mapping[str, Any]) -> list[str]:
    name = given["name"].removesuffix(".safetensors")
    return [f"models/{name}" if given["naming"] == "peft" else f"models/{name}.safetensors"]


@node(category="checkpoints", effect=True, saves=_saved, words=(*WORDS, "export", "kohya", "diffusers"))
def save_lora_adapter(
    saving: Saving,
    unet: UNet | None = None,
    adapter: Adapter | None = None,
    text_encoder: TextEncoder | None = None,
    text_adapter: Adapter | None = None,
    naming: Literal["kohya", "diffusers", "peft"] = "kohya",
    name: Name = "lora",
    precision: Literal["float16", "bfloat16", "float32"] = "float16",
) -> None:
    """Save trained adapters of a UNet, a CLIP text encoder or both as a LoRA that other programs load, below the workspace's models folder.

    unet: the base model that the adapter was trained for.
    adapter: of the UNet.
    text_encoder: the base text encoder, where it was adapted.
    text_adapter: of the text encoder.
    naming: kohya's, which A1111 and ComfyUI read, diffusers', or a folder as peft has it.
    name: of the file or folder.
    precision: of the weights in it.
    """
    if (unet is None) != (adapter is None) or (text_encoder is None) != (text_adapter is None):
        raise ValueError("wire each adapter together with the model that it was trained for")
    halves = []
    if unet is not None and adapter is not None:
        halves.append(Trained(for_unet(unet), adapter))
    if text_encoder is not None and text_adapter is not None:
        halves.append(Trained(one_clip(text_encoder), text_adapter))
    if not halves:
        raise ValueError("there is no adapter to save; wire one, and the model that it was trained for")
    write_adapter(saving(_saved({"name": name, "naming": naming})[0]), halves, naming, getattr(torch, precision))
