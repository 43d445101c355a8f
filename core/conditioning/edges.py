"""Edges of pictures: what a ControlNet may be shown in place of the picture itself."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SOBEL = torch.tensor([[1.0, 2.0, 1.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -1.0]]) / 4
"""Sobel's operator, for the change from row to row; transposed, from column to column."""


def edges(images: Tensor, threshold: float) -> Tensor:
    """Where pictures (b, 3, h, w) in [-1, 1] change by more than a threshold from pixel to pixel: white on black, (b, 3, h, w).

    The change is the length of Sobel's gradient in the colour channel where it is longest; from black to white it is 1.
    """
    kernels = torch.stack([SOBEL, SOBEL.T])[:, None].to(images)
    planes = F.pad(images.flatten(0, 1)[:, None] / 2, (1, 1, 1, 1), mode="replicate")
    length = torch.linalg.vector_norm(F.conv2d(planes, kernels), dim=1).reshape(images.shape)
    found = length.amax(1, keepdim=True) > threshold
    white: Tensor = 2 * found.to(images.dtype) - 1
    return white.expand_as(images).clone()
