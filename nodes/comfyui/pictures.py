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
    latent = drawn(i)
    wires = {"autoencoder": i.ref("vae"), "z": latent.ref}
    return (One(b.add("decode", "images", {}, wires), "IMAGE", latent.size),)


def decode_tiles(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """VAEDecodeTiled."""
    tile, overlap = i.whole("tile_size", 512) // FACTOR, i.whole("overlap", 64) // FACTOR
    params = {"kernel": max(tile, 1), "stride": max(tile - overlap, 1)}
    latent = drawn(i)
    wires = {"autoencoder": i.ref("vae"), "z": latent.ref}
    return (One(b.add("decode_tiles", "images", params, wires), "IMAGE", latent.size),)


def encode(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """VAEEncode."""
    pixels = i.get("pixels", One)
    wires = {"autoencoder": i.ref("vae"), "images": pixels.ref}
    return (Latent(b.add("encode", "z0", {}, wires), size=pixels.size),)


def encode_for_inpainting(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """VAEEncodeForInpaint: the masked part grey, the mask a little larger where it is drawn anew."""
    mask = i.ref("mask")
    grown = b.add("grow_mask", "grown", {"side": side}, {"mask": mask}) if (side := i.whole("grow_mask_by", 6)) > 1 else mask  # fmt: skip
    hidden = b.add("mask_image", "masked", {"convention": "sd"}, {"images": i.ref("pixels"), "mask": mask})
    z0 = b.add("encode", "z0", {}, {"autoencoder": i.ref("vae"), "images": hidden})
    return (Latent(z0, grown, size=i.get("pixels", One).size),)


def noise_mask(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """SetLatentNoiseMask."""
    return (replace(drawn(i), mask=i.ref("mask")),)


def resize_latent(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """LatentUpscale: to a size in pixels."""
    height, width = i.whole("height") // FACTOR, i.whole("width") // FACTOR
    latent = _resized_latent(b, i, {"height": height, "width": width})
    return (replace(latent, size=(FACTOR * height, FACTOR * width) if height and width else None),)


def scale_latent(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """LatentUpscaleBy."""
    factor, size = i.number("scale_by", 1.5), drawn(i).size
    larger = None if size is None else (_scaled(size[0], factor), _scaled(size[1], factor))
    return (replace(_resized_latent(b, i, {"factor": factor}), size=larger),)


def resize_image(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """ImageScale: to a size; a side of 0 is as long as the picture's shape makes it."""
    height, width = i.whole("height"), i.whole("width")
    resized = _resized_image(b, i, {"height": height, "width": width})
    return (replace(resized, size=(height, width) if height and width else None),)


def scale_image(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """ImageScaleBy."""
    return (_resized_image(b, i, {"factor": i.number("scale_by", 1.0)}),)


def image_of_pixels(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """ImageScaleToTotalPixels."""
    return (_resized_image(b, i, {"pixels": round(i.number("megapixels", 1.0) * 2**20)}),)


def _scaled(side: int, factor: float) -> int:
    return int(FACTOR * max(1, round(side // FACTOR * factor)))


def drawn(i: Inputs, name: str = "samples") -> Latent:
    """The latent that goes in. Raises NoCounterpart for an empty one, which only a sampling takes here."""
    latent = i.get(name, Latent | Empty)  # type: ignore[arg-type]
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
    latent = drawn(i)
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
    """LoadImageMask: what is transparent, or white; or a colour."""
    if (channel := i.text("channel", "alpha")) in ("green", "blue"):
        picture = b.add("load_image", "picture", {"path": b.picture_file(i.text("image"))})
        return (One(b.add("image_to_mask", "mask", {"channel": channel}, {"images": picture}), "MASK"),)
    return (One(b.add("load_mask_image", "mask", {"path": b.picture_file(i.text("image"))}), "MASK"),)


def save_image(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """SaveImage."""
    b.add("save_image", "save", {"name": file_name(i.text("filename_prefix", "ComfyUI"))}, {"images": i.ref("images")})
    return ()


def preview_image(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """PreviewImage."""
    b.add("preview_image", "preview", {}, {"images": i.ref("images")})
    return ()


def invert_image(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """ImageInvert: pictures are from −1 to 1 here."""
    image = i.get("image", One)
    return (replace(image, ref=b.add("expression", "inverted", {"formula": "-x"}, {"values": {"x": image.ref}})),)


def batch_images(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """ImageBatch, of pictures of one size."""
    return (_stacked(b, [i.get("image1", One), i.get("image2", One)]),)


def batch_many(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """BatchImagesNode, of pictures of one size."""
    names = [name for name in i.values if name.startswith("images.") and i.has(name)]
    if not names:
        raise NoCounterpart("has no pictures connected")
    return (_stacked(b, [i.get(name, One) for name in sorted(names, key=lambda name: (len(name), name))]),)


def _stacked(b: Builder, images: list[One]) -> One:
    sizes = {image.size for image in images}
    stacked = b.add("stack_images", "batch", {}, {"images": [image.ref for image in images]})
    return One(stacked, "IMAGE", sizes.pop() if len(sizes) == 1 else None)


def save_as(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """SaveImageAdvanced, of the kind that is saved here."""
    if (kind := i.text("format", "png")) != "png" or i.values.get("format.bit_depth", "8-bit") not in ("8-bit", 8):
        raise NoCounterpart(f"saves as {kind}, or with more than eight bits; here it is PNG with eight")
    save_image(b, i)
    return (i.get("images", One),)


def compare_images(b: Builder, i: Inputs) -> tuple[Value, ...]:
    """ImageCompare: both are shown."""
    images = [i.ref(name) for name in ("image_a", "image_b") if i.has(name)]
    for image in images:
        b.add("preview_image", "preview", {}, {"images": image})
    return ()


def file_name(prefix: str) -> str:
    """A name to save under, of a prefix that may hold dates and the like between percent signs."""
    kept = re.sub(r"%[^%]*%", "", prefix.replace("\\", "/"))
    parts = [re.sub(r"[^A-Za-z0-9 ._-]+", "-", part).strip(" .-") for part in kept.split("/")]
    try:
        return safe_name("/".join(part for part in parts if part))
    except ValueError:
        return "ComfyUI"
