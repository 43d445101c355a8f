"""Batches of images and masks as programs hold them and as people look at them: from pictures and arrays, and as one picture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from core.images import from_pil, grid, to_pil

SHEET = 64
"""So many pictures of a batch are drawn."""


def adopt_images(value: object) -> Tensor | None:
    """Pictures as programs hold them, as a batch (b, 3, h, w) in [-1, 1]; None for what is none.

    value: a picture of Pillow, an array of bytes (h, w, 3), (h, w, 4) or (h, w), or a list of these, all of one size. Raises
    ValueError for pictures of different sizes.
    """
    return _batch(value, from_pil)


def adopt_masks(value: object) -> Tensor | None:
    """The same as masks (b, 1, h, w) in {0, 1}: 1 is what is bright."""
    return _batch(value, lambda picture: (from_pil(picture)[:1] >= 0).float())


def contact_sheet(images: Tensor) -> Image.Image:
    """Images (b, 3, h, w) in [-1, 1], tiled into one: the first `SHEET`. Raises FloatingPointError for values that are no numbers."""
    return to_pil(images[0] if len(images) == 1 else grid(images[:SHEET]))


def mask_sheet(masks: Tensor) -> Image.Image:
    """Masks (b, 1, h, w) in {0, 1}, tiled into one."""
    return contact_sheet((2 * masks.float() - 1).expand(-1, 3, -1, -1))


def _batch(value: object, made: Callable[[Image.Image], Tensor]) -> Tensor | None:
    parts = value if isinstance(value, list | tuple) else [value]
    pictures = [picture for part in parts if (picture := _picture(part)) is not None]
    if not pictures or len(pictures) < len(parts):
        return None
    sizes = sorted({picture.size for picture in pictures})
    if len(sizes) > 1:
        told = ", ".join(f"{width}×{height}" for width, height in sizes)
        raise ValueError(f"these pictures have different sizes ({told})")
    return torch.stack([made(picture) for picture in pictures])


def _picture(value: object) -> Image.Image | None:
    if isinstance(value, np.ndarray):
        colours = value.ndim == 2 or (value.ndim == 3 and value.shape[2] in (3, 4))
        return Image.fromarray(value) if value.dtype == np.uint8 and colours else None
    return value if isinstance(value, Image.Image) else None
