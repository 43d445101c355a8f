"""Pictures, masks and latents cut, laid upon each other, and extended."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple, TypeVar

import torch
from pydantic import Field
from torch import Tensor

from core import compositing
from graph_runner.context import Device
from graph_runner.contract import node
from nodes.wires import Image, Mask

X = TypeVar("X", bound=Tensor)
Cell = Annotated[int, Field(ge=0, le=16_384)]
Side = Annotated[int, Field(ge=1, le=16_384)]
Anywhere = Annotated[int, Field(ge=-16_384, le=16_384)]


class Extended(NamedTuple):
    """The larger picture, and what of it is to be drawn."""

    images: Image
    mask: Mask


@node(category="images", words=("image crop", "latent crop", "crop mask", "cut out", "slice"))
def crop(x: X, top: Cell = 0, left: Cell = 0, height: Side = 512, width: Side = 512) -> X:
    """A rectangle of images, masks or latents; what reaches beyond is cut off.

    x: b c h w.
    top: where it begins, in pixels, or in a latent's cells.
    left: where it begins.
    height: of the rectangle.
    width: of the rectangle.
    """
    return compositing.crop(x, top, left, height, width)  # type: ignore[return-value]


@node(category="images", words=("latent composite", "image composite masked", "overlay", "mask composite", "paste at"))
def composite(
    onto: X,
    x: X,
    mask: Mask | None = None,
    top: Anywhere = 0,
    left: Anywhere = 0,
    feather: Cell = 0,
    operation: compositing.Operation = "replace",
) -> X:
    """Images, masks or latents laid upon others at a place; what sticks out is cut off.

    onto: b c h w, below.
    x: above, as many or one for all, of any height and width.
    mask: where x counts; of another size than x it is interpolated.
    top: the row of `onto` where x begins, in pixels, or in a latent's cells.
    left: the column of `onto` where x begins.
    feather: over how many rows and columns x fades in from its edges inside.
    operation: what x does to what is below: takes its place, is added, subtracted, or multiplied with it.
    """
    return compositing.composite(onto, x, top, left, mask, feather, operation)  # type: ignore[return-value]


@node(category="images", words=("outpainting", "image pad for outpaint", "extend canvas", "uncrop", "border"))
def pad_for_outpainting(
    images: Image, left: Cell = 0, top: Cell = 0, right: Cell = 0, bottom: Cell = 0, feather: Cell = 40
) -> Extended:
    """Pictures with grey on their sides, and the mask of what is to be drawn there.

    images: any pictures.
    left: pixels to add.
    top: pixels to add.
    right: pixels to add.
    bottom: pixels to add.
    feather: how far the mask reaches into the picture, fading.
    """
    return Extended(*compositing.outpainting(images, left, top, right, bottom, feather))


@node(category="spatial conditions", words=("image to mask", "channel to mask", "red channel"))
def image_to_mask(images: Image, channel: Literal["red", "green", "blue"] = "red") -> Mask:
    """One colour of pictures as a mask: 1 where it is full.

    images: any pictures.
    channel: which colour.
    """
    at = compositing.CHANNELS.index(channel)
    return images[:, at : at + 1] / 2 + 0.5


@node(category="spatial conditions", words=("mask to image", "mask preview", "convert mask"))
def mask_to_image(mask: Mask) -> Image:
    """A mask as a picture: white where it is 1."""
    return (2 * mask - 1).expand(-1, 3, -1, -1).contiguous()


@node(category="spatial conditions", words=("solid mask", "empty mask", "full mask"))
def plain_mask(
    device: Device, height: Side = 512, width: Side = 512, value: Annotated[float, Field(ge=0, le=1)] = 1.0
) -> Mask:
    """A mask that is everywhere alike.

    height: in pixels.
    width: in pixels.
    value: of it.
    """
    return torch.full((1, 1, height, width), value, device=device)
