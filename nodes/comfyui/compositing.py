"""ComfyUI's nodes that cut, join and calculate pictures, masks and latents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from nodes.comfyui.builder import Builder, Inputs
from nodes.comfyui.pictures import FACTOR, drawn
from nodes.comfyui.values import Empty, Latent, NoCounterpart, One, Size, Value

OPERATIONS = {"multiply": "multiply", "add": "add", "subtract": "subtract"}
"""MaskComposite's."""
Build = Callable[[Builder, Inputs], tuple[Value, ...]]


# --- latents ---------------------------------------------------------------------------------------------------------


def calculated(formula: str, *names: str) -> Build:
    """LatentAdd and the like: a builder for a formula of latents, and of a number where it holds m."""

    def build(b: Builder, i: Inputs) -> tuple[Value, ...]:
        latents = [drawn(i, name) for name in names]
        values = dict(zip("ab", (latent.ref for latent in latents), strict=False))
        written = formula.replace("m", f"{i.number('multiplier', 1.0):g}") if "m" in formula else formula
        return (replace(latents[0], ref=b.add("expression", "calculated", {"formula": written}, {"values": values})),)

    return build


def blend_latents(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """LatentBlend: the first one's share is what it calls factor."""
    first, second = drawn(i, "samples1"), drawn(i, "samples2")
    params = {"weight": 1 - i.number("blend_factor", 0.5)}
    return (replace(first, ref=b.add("lerp", "blended", params, {"a": first.ref, "b": second.ref})),)


def repeat_latent(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """RepeatLatentBatch."""
    latent: Latent | Empty = i.get("samples", Latent | Empty)  # type: ignore[arg-type]
    amount = i.whole("amount", 1)
    if isinstance(latent, Empty):
        return (replace(latent, batch=latent.batch * amount),)
    return (replace(latent, ref=_repeated(b, latent.ref, amount)),)


def batch_latents(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """LatentBatch, of latents of one size."""
    first, second = drawn(i, "samples1"), drawn(i, "samples2")
    return (replace(first, ref=b.add("cat", "batch", {}, {"items": [first.ref, second.ref]})),)


def latent_rows(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """LatentFromBatch."""
    return (replace(drawn(i), ref=_rows(b, i, drawn(i).ref)),)


def crop_latent(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """LatentCrop, in pixels."""
    latent = drawn(i)
    return (replace(latent, ref=_cut(b, i, latent.ref, FACTOR), size=_within(latent.size, i)),)


def composite_latents(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """LatentComposite: one upon the other, fading in at its edges."""
    onto, above = drawn(i, "samples_to"), drawn(i, "samples_from")
    params = {"feather": i.whole("feather", 0) // FACTOR}
    return (replace(onto, ref=_laid(b, i, onto.ref, above.ref, FACTOR, params)),)


def composite_latents_masked(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """LatentCompositeMasked."""
    onto, above = drawn(i, "destination"), drawn(i, "source")
    return (replace(onto, ref=_laid(b, i, onto.ref, above.ref, FACTOR, {})),)


# --- pictures --------------------------------------------------------------------------------------------------------


def composite_images(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """ImageCompositeMasked."""
    onto = i.get("destination", One)
    return (replace(onto, ref=_laid(b, i, onto.ref, i.ref("source"), 1, {})),)


def crop_image(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """ImageCrop."""
    image = i.get("image", One)
    return (replace(image, ref=_cut(b, i, image.ref, 1), size=_within(image.size, i)),)


def image_rows(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """ImageFromBatch."""
    image = i.get("image", One)
    return (replace(image, ref=_rows(b, i, image.ref)),)


def repeat_image(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """RepeatImageBatch."""
    image = i.get("image", One)
    return (replace(image, ref=_repeated(b, image.ref, i.whole("amount", 1))),)


def outpaint(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """ImagePadForOutpaint: grey sides, and the mask of them."""
    image = i.get("image", One)
    sides = {name: i.whole(name, 0) for name in ("left", "top", "right", "bottom")}
    size = image.size and (image.size[0] + sides["top"] + sides["bottom"], image.size[1] + sides["left"] + sides["right"])  # fmt: skip
    params = {**sides, "feather": i.whole("feathering", 40)}
    id = b.add("pad_for_outpainting", "extended", params, {"images": image.ref})
    return One(f"{id}.images", "IMAGE", size), One(f"{id}.mask", "MASK")


def canny(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """Canny."""
    params = {"low": i.number("low_threshold", 0.4), "high": i.number("high_threshold", 0.8)}
    image = i.get("image", One)
    return (replace(image, ref=b.add("canny_edges", "edges", params, {"images": image.ref})),)


# --- masks -----------------------------------------------------------------------------------------------------------


def image_to_mask(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """ImageToMask."""
    if (channel := i.text("channel", "red")) not in ("red", "green", "blue"):
        raise NoCounterpart(f"reads the {channel} of a picture; pictures have red, green and blue here")
    return (One(b.add("image_to_mask", "mask", {"channel": channel}, {"images": i.ref("image")}), "MASK"),)


def mask_to_image(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """MaskToImage."""
    return (One(b.add("mask_to_image", "shown", {}, {"mask": i.ref("mask")}), "IMAGE"),)


def preview_mask(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """MaskPreview."""
    (shown,) = mask_to_image(b, i)
    b.add("preview_image", "preview", {}, {"images": shown.ref if isinstance(shown, One) else ""})
    return (i.get("mask", One),)


def plain_mask(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """SolidMask."""
    params = {"value": float(i.number("value", 1.0)), "height": i.whole("height", 512), "width": i.whole("width", 512)}
    return (One(b.add("plain_mask", "mask", params), "MASK"),)


def invert_mask(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """InvertMask."""
    return (_of_mask(b, i, "1 - m", "inverted"),)


def threshold_mask(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """ThresholdMask."""
    return (_of_mask(b, i, f"m > {i.number('value', 0.5):g}", "hard"),)


def grow_mask(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """GrowMask, by squares."""
    expand = i.whole("expand", 0)
    if expand < 0 or (expand and i.flag("tapered_corners")):
        raise NoCounterpart(
            "shrinks a mask, or grows it by a cross at a time (tapered_corners); here it grows by squares"
        )
    mask = i.get("mask", One)
    return (replace(mask, ref=b.add("grow_mask", "grown", {"side": 2 * expand + 1}, {"mask": mask.ref})),)


def crop_mask(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """CropMask."""
    return (One(_cut(b, i, i.ref("mask"), 1), "MASK"),)


def composite_masks(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """MaskComposite; what is added or subtracted is kept from 0 to 1."""
    if (operation := i.text("operation", "multiply")) not in OPERATIONS:
        raise NoCounterpart(f"joins masks by {operation!r}; here it can be {', '.join(OPERATIONS)}")
    made = _laid(b, i, i.ref("destination"), i.ref("source"), 1, {"operation": OPERATIONS[operation]})
    return (One(b.add("clamp", "within", {"low": 0.0, "high": 1.0}, {"x": made}), "MASK"),)


def _of_mask(b: Builder, i: Inputs, formula: str, wanted: str) -> One:
    return One(b.add("expression", wanted, {"formula": formula}, {"values": {"m": i.ref("mask")}}), "MASK")


# --- all of them -----------------------------------------------------------------------------------------------------


def _laid(b: Builder, i: Inputs, onto: str, above: str, cell: int, params: dict[str, Any]) -> str:
    if i.flag("resize_source", False):
        raise NoCounterpart("resizes what it lays upon the other; resize it before")
    place = {"top": i.whole("y", 0) // cell, "left": i.whole("x", 0) // cell}
    mask = i.ref("mask") if i.has("mask") else None
    return b.add("composite", "composite", {**place, **params}, {"onto": onto, "x": above, "mask": mask})


def _cut(b: Builder, i: Inputs, ref: str, cell: int) -> str:
    place = {"top": i.whole("y", 0), "left": i.whole("x", 0), "height": i.whole("height", 512), "width": i.whole("width", 512)}  # fmt: skip
    return b.add("crop", "cut", {name: value // cell for name, value in place.items()}, {"x": ref})


def _within(size: Size | None, i: Inputs) -> Size | None:
    """What is left of a size, cut at a place."""
    if size is None:
        return None
    return min(i.whole("height", 512), size[0] - i.whole("y", 0)), min(i.whole("width", 512), size[1] - i.whole("x", 0))  # fmt: skip


def _rows(b: Builder, i: Inputs, ref: str) -> str:
    if (first := i.whole("batch_index", 0)) < 0:
        raise NoCounterpart("counts from the end of a batch")
    params = {"first": first, "count": max(i.whole("length", 1), 1)}
    return b.add("rows", "chosen", params, {"x": ref})


def _repeated(b: Builder, ref: str, amount: int) -> str:
    return ref if amount < 2 else b.add("cat", "repeated", {}, {"items": [ref] * amount})
