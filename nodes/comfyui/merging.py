"""ComfyUI's nodes that mix models, and save one. The first one's share is what it calls ratio."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nodes.comfyui.builder import Builder, Inputs
from nodes.comfyui.loaders import unet_of
from nodes.comfyui.pictures import file_name
from nodes.comfyui.values import Clip, Difference, Model, NoCounterpart, Value

BLOCKS = {"input": ("input_blocks.*",), "middle": ("middle_block.*",), "out": ("output_blocks.*", "out.*")}
"""Whose weights ModelMergeBlocks has a ratio for; what embeds time and sizes goes with the first."""


def models(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """ModelMergeSimple."""
    first = i.get("model1", Model)
    return (replace(first, denoiser=_mixed(b, unet_of(first), unet_of(i.get("model2", Model)), i.number("ratio", 1.0))),)  # fmt: skip


def clips(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """CLIPMergeSimple."""
    first, second = i.get("clip1", Clip), i.get("clip2", Clip)
    return (replace(first, encoder=_mixed(b, first.encoder, second.encoder, i.number("ratio", 1.0))),)


def blocks(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """ModelMergeBlocks: a ratio for the way down, the middle and the way up."""
    first, other = i.get("model1", Model), unet_of(i.get("model2", Model))
    mixed = unet_of(first)
    embedded = ("time_embed.*", *(("label_emb.*",) if first.family else ()))
    for name, layers in BLOCKS.items():
        mixed = _mixed(b, mixed, other, i.number(name, 1.0), [*layers, *(embedded if name == "input" else ())])
    return (replace(first, denoiser=mixed),)


def subtracted(kind: type[Any]) -> Any:
    """ModelMergeSubtract and CLIPMergeSubtract: a builder for the kind of model."""

    def build(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
        one, other = (_weights(i, kind, number) for number in (1, 2))
        return (Difference(one, other, i.number("multiplier", 1.0)),)

    return build


def added(kind: type[Any]) -> Any:
    """ModelMergeAdd and CLIPMergeAdd, of a difference: a builder for the kind of model."""

    def build(b: Builder, i: Inputs) -> tuple[Value, ...]:
        name = "model" if kind is Model else "clip"
        if not isinstance(i.values.get(f"{name}2"), Difference):
            raise NoCounterpart("adds what is no difference of two models")
        difference = i.get(f"{name}2", Difference)
        wires = {"a": _weights(i, kind, 1), "b": difference.one, "c": difference.other}
        id = b.add("add_difference", "mixed", {"weight": difference.multiplier}, wires)
        first = i.get(f"{name}1", kind)
        return (replace(first, denoiser=id) if isinstance(first, Model) else replace(first, encoder=id),)

    return build


def save(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """CheckpointSave: one file, with the names that it has there."""
    model, clip = i.get("model", Model), i.get("clip", Clip)
    wires = {"unet": unet_of(model), "schedule": model.schedule, "text_encoder": clip.encoder, "tokenizer": clip.tokenizer}  # fmt: skip
    params = {"name": file_name(i.text("filename_prefix", "checkpoints/ComfyUI")).rpartition("/")[2], "form": "compvis"}
    b.add("save_checkpoint", "saved", params, wires | {"autoencoder": i.ref("vae")})
    return ()


def _weights(i: Inputs, kind: type[Any], number: int) -> str:
    """The wire of an input's weights."""
    if kind is Model:
        return unet_of(i.get(f"model{number}", Model))
    return str(i.get(f"clip{number}", Clip).encoder)


def _mixed(b: Builder, first: str, second: str, ratio: float, layers: list[str] | None = None) -> str:
    return b.add("blend_models", "mixed", {"weight": 1 - ratio, "layers": layers}, {"a": first, "b": second})
