"""ComfyUI's nodes that make and join conditions."""

from __future__ import annotations

import re
from dataclasses import replace

from nodes.comfyui.builder import Builder, Inputs
from nodes.comfyui.pictures import FACTOR
from nodes.comfyui.values import Area, Clip, Condition, Control, Entry, Latent, Net, NoCounterpart, One, Value

MOST_JOINED = 64
"""Conditions that count together: two nodes that join double them, and thirty in a row would make a billion."""
EMBEDDING = re.compile(r"embedding:([^\s,:()\[\]]+)")


def prompt(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """CLIPTextEncode."""
    clip = i.get("clip", Clip)
    return (Condition((Entry(_told(b, clip, i.text("text")), pooled=clip.pooled),)),)


def prompt_xl(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """CLIPTextEncodeSDXL: a prompt, and the sizes that Stable Diffusion XL is told; both text encoders read it."""
    clip, text = i.get("clip", Clip), i.text("text_g")
    if i.text("text_l") not in (text, ""):
        raise NoCounterpart("gives the two text encoders two texts; here they read the same")
    if not i.text("text_l") and text:
        raise NoCounterpart("gives the first text encoder no text; here both read the same")
    crop = [i.whole("crop_h", 0), i.whole("crop_w", 0)]
    sizes = {
        "original": [i.whole("height", 1024), i.whole("width", 1024)],
        **({"crop_top_left": crop} if any(crop) else {}),
        "target": [i.whole("target_height", 1024), i.whole("target_width", 1024)],
    }
    told = _told(b, clip, text)
    return (Condition((Entry(told, pooled=True, sizes=b.once("size_condition", "sizes", sizes, {})),)),)


def prompt_refiner(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """CLIPTextEncodeSDXLRefiner: a prompt, the size, and how beautiful the picture is."""
    size = {"original": [i.whole("height", 1024), i.whole("width", 1024)], "aesthetic_score": float(i.number("ascore", 6.0))}  # fmt: skip
    told = _told(b, i.get("clip", Clip), i.text("text"))
    return (Condition((Entry(told, pooled=True, sizes=b.once("size_condition", "sizes", size, {})),)),)


def _told(b: Builder, clip: Clip, text: str) -> str:
    """Learned words are taught to the encoder, and the prompt is read as ComfyUI reads it."""
    words: dict[str, str] = {}
    for name in dict.fromkeys(EMBEDDING.findall(text)):
        word = re.sub(r"[^A-Za-z0-9_-]+", "-", name.rpartition("/")[2].removesuffix(".pt").removesuffix(".safetensors"))
        path = b.model_file(name if "." in name else f"{name}.safetensors", "embeddings")
        wires = {"text_encoder": clip.encoder, "tokenizer": clip.tokenizer}
        taught = b.add("textual_inversion", "word", {"path": path, "word": word}, wires)
        clip = replace(clip, encoder=f"{taught}.text_encoder", tokenizer=f"{taught}.tokenizer")
        words[name] = word
    text = EMBEDDING.sub(lambda found: f"embedding:{words[found[1]]}", text)
    wires = {"text_encoder": clip.encoder, "tokenizer": clip.tokenizer}
    id = b.add("text_context", "prompt", {"prompts": [text], "style": "comfyui"}, wires)
    b.expose("prompts", f"{id}.prompts")
    return id


def combine(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """ConditioningCombine: the predictions under both count, by their strengths."""
    first, second = i.get("conditioning_1", Condition), i.get("conditioning_2", Condition)
    if (count := len(first.entries) + len(second.entries)) > MOST_JOINED:
        raise NoCounterpart(f"joins {count} conditions, each a call of the denoiser; at most {MOST_JOINED} are drawn")
    return (Condition(first.entries + second.entries),)


def concat(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """ConditioningConcat: the tokens of one behind those of the other."""
    front, back = i.get("conditioning_to", Condition), i.get("conditioning_from", Condition)
    wires = {"a": front.only("the concatenation"), "b": back.only("the concatenation")}
    if front.entries[0].pooled or back.entries[0].pooled:
        raise NoCounterpart("keeps the first one's vector; here vectors follow each other as tokens do")
    return (front.each(ref=b.add("combine_conditions", "both", {}, wires)),)


def average(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """ConditioningAverage: the share of the first is what it calls strength."""
    first, other = i.get("conditioning_to", Condition), i.get("conditioning_from", Condition)
    wires = {"a": first.only("the average"), "b": other.only("the average")}
    weight = 1 - i.number("conditioning_to_strength", 1.0)
    return (first.each(ref=b.add("average_conditions", "average", {"weight": weight}, wires)),)


def zero(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """ConditioningZeroOut: tokens and vector; sizes and whatever else is told with them stay."""
    entries = i.get("conditioning", Condition).entries
    nulls = [b.once("null_like", "null", {}, {"conditioning": entry.ref}) for entry in entries]
    return (Condition(tuple(entry._replace(ref=null) for entry, null in zip(entries, nulls, strict=True))),)


def area(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """ConditioningSetArea: a rectangle in pixels."""
    top, left, height, width = (i.whole(name, default) // FACTOR for name, default in (("y", 0), ("x", 0), ("height", 64), ("width", 64)))  # fmt: skip
    found = Area(top, left, max(height, 1), max(width, 1), "cells")
    return (i.get("conditioning", Condition).each(area=found, strength=i.number("strength", 1.0)),)


def area_share(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """ConditioningSetAreaPercentage: a rectangle in shares."""
    top, left, height, width = (float(i.number(name, default)) for name, default in (("y", 0.0), ("x", 0.0), ("height", 1.0), ("width", 1.0)))  # fmt: skip
    if not (height > 0 and width > 0):
        raise NoCounterpart("has an area without height or width")
    found = Area(top, left, height, width, "share")
    return (i.get("conditioning", Condition).each(area=found, strength=i.number("strength", 1.0)),)


def area_strength(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """ConditioningSetAreaStrength."""
    return (i.get("conditioning", Condition).each(strength=i.number("strength", 1.0)),)


def mask(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """ConditioningSetMask."""
    if i.text("set_cond_area", "default") != "default":
        raise NoCounterpart("takes the mask's bounds for an area; here an area's place is typed in")
    seen, strength = i.ref("mask"), i.number("strength", 1.0)
    entries = i.get("conditioning", Condition).entries
    return (Condition(tuple(e._replace(mask=seen, mask_strength=strength) for e in entries)),)


def control(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """ControlNetApply: the negative condition gets it too."""
    found = Control(i.get("control_net", Net), i.get("image", One), i.number("strength", 1.0), both=True)
    told = i.get("conditioning", Condition)
    return (_with_control(told, found),)


def control_both(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """ControlNetApplyAdvanced: both conditions, for a part of the way."""
    ends = i.number("start_percent", 0.0), i.number("end_percent", 1.0)
    found = Control(i.get("control_net", Net), i.get("image", One), i.number("strength", 1.0), *ends)
    return tuple(_with_control(i.get(name, Condition), found) for name in ("positive", "negative"))


def _with_control(told: Condition, found: Control) -> Condition:
    if not found.strength:
        return told
    return Condition(tuple(entry._replace(controls=(*entry.controls, found)) for entry in told.entries))


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
    return (*told, Latent(z0, mask if i.flag("noise_mask") else None, size=i.get("pixels", One).size))
