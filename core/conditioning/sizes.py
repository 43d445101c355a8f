"""Sizes and crops as a condition: what SDXL's denoiser is told of how a picture was cut (Podell et al. 2023, section 2.2)."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from core.models.blocks import timestep_embedding


def size_vector(original: Tensor, crop_top_left: Tensor, target: Tensor, dim: int = 256) -> Tensor:
    """The numbers, each embedded as a timestep is, in SDXL's order: (b, 6 · dim), or (b, 5 · dim) for its refiner.

    original: (b, 2) height and width in pixels, as stored. crop_top_left: (b, 2), the upper and the left edge of the part shown,
    in pixels of the resized picture. target: (b, 2) height and width as shown; the refiner has a (b, 1) aesthetic score there.
    """
    numbers = torch.cat([original, crop_top_left, target], dim=1)
    return rearrange(timestep_embedding(numbers.flatten(), dim), "(b n) d -> b (n d)", b=len(numbers))
