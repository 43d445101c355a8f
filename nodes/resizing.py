"""Maps brought to each other's size: masks to latents, latents to larger ones."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor

from core import tensor_arithmetic
from graph_runner.contract import node

X = TypeVar("X", bound=Tensor)
Y = TypeVar("Y", bound=Tensor)


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
