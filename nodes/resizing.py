"""Images, masks and latents in another size: a given one, or each other's."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import Field
from torch import Tensor

from core import resizing, tensor_arithmetic
from graph_runner.contract import node
from nodes.wires import Mask

X = TypeVar("X", bound=Tensor)
Y = TypeVar("Y", bound=Tensor)
Side = Annotated[int, Field(ge=0, le=16_384)]


@node(category="arithmetic", words=("resize", "interpolate", "latent upscale", "scale to", "mask to latent"))
def resize_like(
    x: X,
    like: Y,
    kind: tensor_arithmetic.Resizing = "nearest",
) -> X:
    """A map of the height and width of another: a mask for a latent, a small latent for a larger one. Gradients flow.

    x: b c h w.
    like: only its last two axes count.
    kind: squares, bilinear, bicubic, or the mean over what a pixel covers; making smaller, bilinear and bicubic are antialiased.
    """
    return tensor_arithmetic.resized(x, int(like.shape[-2]), int(like.shape[-1]), kind)  # type: ignore[return-value]


@node(
    category="images",
    words=("scale", "upscale image", "latent upscale", "image scale", "hires fix", "megapixels", "lanczos"),
)
def resize(
    x: X,
    height: Side = 0,
    width: Side = 0,
    factor: Annotated[float, Field(gt=0, le=64)] = 1.0,
    pixels: Annotated[int, Field(ge=0, le=2**28)] = 0,
    kind: resizing.Kind = "bilinear",
    crop: bool = False,
) -> X:
    """Images, masks or latents in another height and width: to a size, by a factor, or to so many pixels in all.

    x: b c h w.
    height: of the result; 0 for what the shape of x makes of the width, or for the factor.
    width: of the result; 0 for what the shape of x makes of the height, or for the factor.
    factor: of both sides, where no size is given.
    pixels: height times width of the result, about, in the shape of x; 0 for the factor.
    kind: squares, bilinear, bicubic, the mean over what a pixel covers, or Lanczos' windowed sinc.
    crop: cut off evenly what another shape leaves over, instead of distorting.
    """
    own_height, own_width = x.shape[-2:]
    if pixels and (height or width):
        raise ValueError("height or width, and pixels, both say the size; give one")
    if pixels:
        factor = (pixels / (own_height * own_width)) ** 0.5
    if height or width:
        new_height = height or max(1, round(own_height * width / own_width))
        new_width = width or max(1, round(own_width * height / own_height))
    else:
        new_height, new_width = max(1, round(own_height * factor)), max(1, round(own_width * factor))
    cut = resizing.center_crop(x, new_width / new_height) if crop else x
    return resizing.resize(cut, new_height, new_width, kind)  # type: ignore[return-value]


@node(category="spatial conditions", words=("inpainting", "dilate", "expand mask", "grow_mask_by"))
def grow_mask(mask: Mask, side: Annotated[int, Field(ge=1, le=512)] = 6) -> Mask:
    """A mask that reaches further, so that what is drawn anew overlaps with what is known.

    side: of the square that each masked pixel becomes.
    """
    return resizing.grow(mask, side)
