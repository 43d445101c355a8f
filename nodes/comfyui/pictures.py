"""ComfyUI's nodes for pictures, masks and latents."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from graph_runner.base.names import safe_name
from nodes.comfyui.builder import Builder, Inputs
from nodes.comfyui.values import Empty, Latent, NoCounterpart, One, Value

FACTOR = 8
"""Pixels for each side of a latent's cell: those of Stable Diffusion's autoencoders, as ComfyUI has it."""
METHODS = {
    "nearest-exact": "nearest",
    "bilinear": "bilinear",
    "area": "area",
    "bicubic": "bicubic",
    "lanczos": "lanczos",
}


def empty_latent(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """EmptyLatentImage: a size."""
    return (Empty(i.whole("width", 512), i.whole("height", 512), i.whole("batch_size", 1)),)


def empty_latent_16(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """EmptySD3LatentImage: a size, of 16 channels."""
    return (Empty(i.whole("width", 1024), i.whole("height", 1024), i.whole("batch_size", 1), 16),)


def decode(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """VAEDecode."""
    wires = {"autoencoder": i.ref("vae"), "z": _drawn(i).ref}
    return (One(b.add("decode", "images", {}, wires), "IMAGE"),)


def decode_tiles(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """VAEDecodeTiled."""
    tile, overlap = i.whole("tile_size", 512) // FACTOR, i.whole("overlap", 64) // FACTOR
    params = {"kernel": max(tile, 1), "stride": max(tile - overlap, 1)}
    return (One(b.add("decode_tiles", "images", params, {"autoencoder": i.ref("vae"), "z": _drawn(i).ref}), "IMAGE"),)  # fmt: skip


def encode(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """VAEEncode."""
    return (Latent(b.add("encode", "z0", {}, {"autoencoder": i.ref("vae"), "images": i.ref("pixels")})),)


def encode_for_inpainting(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """VAEEncodeForInpaint: the masked part grey, the mask a little larger where it is drawn anew."""
    mask = i.ref("mask")
    grown = b.add("grow_mask", "grown", {"side": side}, {"mask": mask}) if (side := i.whole("grow_mask_by", 6)) > 1 else mask  # fmt: skip
    hidden = b.add("mask_image", "masked", {"convention": "sd"}, {"images": i.ref("pixels"), "mask": mask})
    z0 = b.add("encode", "z0", {}, {"autoencoder": i.ref("vae"), "images": hidden})
    return (Latent(z0, grown),)


def noise_mask(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """SetLatentNoiseMask."""
    return (replace(_drawn(i), mask=i.ref("mask")),)


def resize_latent(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """LatentUpscale: to a size in pixels."""
    size = {"height": i.whole("height") // FACTOR, "width": i.whole("width") // FACTOR}
    return (_resized_latent(b, i, size),)


def scale_latent(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """LatentUpscaleBy."""
    return (_resized_latent(b, i, {"factor": i.number("scale_by", 1.5)}),)


def resize_image(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """ImageScale: to a size; a side of 0 is as long as the picture's shape makes it."""
    return (_resized_image(b, i, {"height": i.whole("height"), "width": i.whole("width")}),)


def scale_image(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """ImageScaleBy."""
    return (_resized_image(b, i, {"factor": i.number("scale_by", 1.0)}),)


def image_of_pixels(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """ImageScaleToTotalPixels."""
    return (_resized_image(b, i, {"pixels": round(i.number("megapixels", 1.0) * 2**20)}),)


def _drawn(i: Inputs) -> Latent:
    """The latent that goes in. Raises NoCounterpart for an empty one, which only a sampling takes here."""
    latent = i.get("samples", Latent | Empty)  # type: ignore[arg-type]
    if isinstance(latent, Empty):
        raise NoCounterpart("reads an empty latent, of which nothing is drawn here")
    return latent


def _resize(b: Builder, i: Inputs, ref: str, size: dict[str, Any], wanted: str) -> str:
    method = i.text("upscale_method", "nearest-exact")
    if method not in METHODS:
        raise NoCounterpart(f"resizes by {method!r}; here it can be {', '.join(METHODS)}")
    crop = True if i.text("crop", "disabled") == "center" else None
    return b.add("resize", wanted, {**size, "kind": METHODS[method], "crop": crop}, {"x": ref})


def _resized_latent(b: Builder, i: Inputs, size: dict[str, Any]) -> Latent:
    latent = _drawn(i)
    return replace(latent, ref=_resize(b, i, latent.ref, size, "larger"))


def _resized_image(b: Builder, i: Inputs, size: dict[str, Any]) -> One:
    return One(_resize(b, i, i.ref("image"), size, "resized"), "IMAGE")


def load_image(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """LoadImage: the picture, and what is transparent in it as a mask."""
    path = b.picture_file(i.text("image"))
    picture = b.add("load_image", "picture", {"path": path})
    b.expose("picture", f"{picture}.path")
    mask = b.add("load_mask_image", "mask", {"path": path}) if 1 in b.read_slots else None
    return One(picture, "IMAGE"), None if mask is None else One(mask, "MASK")


def load_mask(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """LoadImageMask: what is transparent, or white."""
    if (channel := i.text("channel", "alpha")) in ("green", "blue"):
        raise NoCounterpart(f"reads the {channel} channel as a mask; here it is white, or what is transparent")
    return (One(b.add("load_mask_image", "mask", {"path": b.picture_file(i.text("image"))}), "MASK"),)


def save_image(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """SaveImage."""
    b.add("save_image", "save", {"name": _file_name(i.text("filename_prefix", "ComfyUI"))}, {"images": i.ref("images")})
    return ()


def preview_image(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """PreviewImage."""
    b.add("preview_image", "preview", {}, {"images": i.ref("images")})
    return ()


def invert_image(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """ImageInvert: pictures are from −1 to 1 here."""
    return (One(b.add("expression", "inverted", {"formula": "-x"}, {"values": {"x": i.ref("image")}}), "IMAGE"),)


def batch_images(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """ImageBatch, of pictures of one size."""
    return (One(b.add("stack_images", "batch", {}, {"images": [i.ref("image1"), i.ref("image2")]}), "IMAGE"),)


def _file_name(prefix: str) -> str:
    """A name to save under, of a prefix that may hold dates and the like between percent signs."""
    kept = re.sub(r"%[^%]*%", "", prefix.replace("\\", "/"))
    parts = [re.sub(r"[^A-Za-z0-9 ._-]+", "-", part).strip(" .-") for part in kept.split("/")]
    try:
        return safe_name("/".join(part for part in parts if part))
    except ValueError:
        return "ComfyUI"
