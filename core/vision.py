"""Pictures as networks see them that were trained on Pillow's: 8 bits, its bicubic filter, the colours of their training taken off."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from core.numbers import finite

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
"""Mean and deviation of the colours in [0, 1] that a network was trained with."""
PATCHES = "network.vision_model.embeddings.patch_embedding"
"""What transformers' CLIP asks for the dtype to compute in, of a module whose `network` it is; so it is kept as that is."""


def as_clip_sees(images: Tensor, size: int) -> Tensor:
    """Images (b, 3, h, w) in [-1, 1] as CLIP's networks are given them, (b, 3, size, size): the shorter side is brought to the size, and
    the middle cut out, as transformers' CLIPImageProcessor does. Raises FloatingPointError for what are no numbers."""
    return normed(cropped(rounded(finite(images, "the images")), size), CLIP)


def rounded(images: Tensor) -> Tensor:
    """Images (b, 3, h, w) in [-1, 1] as values 0 … 255, as if read from files."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round()


def resized(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Pixels (b, c, h, w) brought to a size as Pillow does to pictures of 8 bits."""
    if tuple(pixels.shape[2:]) == size:
        return pixels
    return F.interpolate(pixels, size, mode="bicubic", antialias=True).clamp(0, 255).round()


def cropped(pixels: Tensor, size: int) -> Tensor:
    """The middle square of pixels (b, c, h, w) whose shorter side is brought to a size."""
    height, width = pixels.shape[2:]
    short = min(height, width)
    pixels = resized(pixels, (height * size // short, width * size // short))
    top, left = (pixels.shape[2] - size) // 2, (pixels.shape[3] - size) // 2
    return pixels[:, :, top : top + size, left : left + size]


def normed(pixels: Tensor, colours: tuple[tuple[float, ...], tuple[float, ...]]) -> Tensor:
    """Pixels (b, 3, h, w) in 0 … 255 with these colours' mean 0 and deviation 1."""
    mean, deviation = (pixels.new_tensor(values)[:, None, None] for values in colours)
    return (pixels / 255 - mean) / deviation
