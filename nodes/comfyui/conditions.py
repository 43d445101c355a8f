"""ComfyUI's nodes that make and join conditions."""

from __future__ import annotations

import re

from nodes.comfyui.builder import Builder, Inputs
from nodes.comfyui.values import Clip, Condition, Entry, Latent, Value

EMBEDDING = re.compile(r"embedding:([^\s,()\[\]]+)")


def prompt(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """CLIPTextEncode: learned words are taught to the encoder, and the prompt is read as ComfyUI reads it."""
    clip, text = i.get("clip", Clip), i.text("text")
    for name in dict.fromkeys(EMBEDDING.findall(text)):
        word = re.sub(r"[^A-Za-z0-9_-]+", "-", name.rpartition("/")[2].removesuffix(".pt").removesuffix(".safetensors"))
        path = b.model_file(name if "." in name else f"{name}.safetensors", "embeddings")
        wires = {"text_encoder": clip.encoder, "tokenizer": clip.tokenizer}
        taught = b.add("textual_inversion", "word", {"path": path, "word": word}, wires)
        clip = Clip(f"{taught}.text_encoder", f"{taught}.tokenizer")
        text = text.replace(f"embedding:{name}", f"embedding:{word}")
    wires = {"text_encoder": clip.encoder, "tokenizer": clip.tokenizer}
    id = b.add("text_context", "prompt", {"prompts": [text], "style": "comfyui"}, wires)
    b.expose("prompts", f"{id}.prompts")
    return (Condition((Entry(id),)),)


def combine(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """ConditioningCombine: the predictions under both count, by their strengths."""
    first, second = i.get("conditioning_1", Condition), i.get("conditioning_2", Condition)
    return (Condition(first.entries + second.entries),)


def concat(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """ConditioningConcat: the tokens of one behind those of the other."""
    front = i.get("conditioning_to", Condition).only("the concatenation")
    back = i.get("conditioning_from", Condition).only("the concatenation")
    return (Condition((Entry(b.add("combine_conditions", "both", {}, {"a": front, "b": back})),)),)


def zero(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """ConditioningZeroOut."""
    told = i.get("conditioning", Condition).only("the zero")
    return (Condition((Entry(b.add("null_like", "null", {}, {"conditioning": told})),)),)


def timestep_range(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """ConditioningSetTimestepRange: shares of the way from the noisiest timestep."""
    start, end = i.number("start", 0.0), i.number("end", 1.0)
    entries = i.get("conditioning", Condition).entries
    return (Condition(tuple(e._replace(start=max(e.start, start), end=min(e.end, end)) for e in entries)),)


def inpainting_model(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """InpaintModelConditioning: mask and masked picture as channels beside the latent."""
    vae, pixels, mask = i.ref("vae"), i.ref("pixels"), i.ref("mask")
    hidden = b.add("mask_image", "masked", {"convention": "sd"}, {"images": pixels, "mask": mask})
    masked = b.add("encode", "masked_latent", {}, {"autoencoder": vae, "images": hidden})
    channels = b.add("inpainting_condition", "channels", {"convention": "sd"}, {"masked": masked, "mask": mask})
    told: list[Value] = []
    for name in ("positive", "negative"):
        entries = [
            entry._replace(ref=b.add("combine_conditions", f"{name}_and_channels", {}, {"a": entry.ref, "b": channels}))
            for entry in i.get(name, Condition).entries
        ]
        told.append(Condition(tuple(entries)))
    z0 = b.add("encode", "z0", {}, {"autoencoder": vae, "images": pixels})
    return (*told, Latent(z0, mask if i.flag("noise_mask") else None))
