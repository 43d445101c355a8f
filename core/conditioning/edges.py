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


GREY = torch.tensor([0.299, 0.587, 0.114])
"""Of red, green and blue in a grey picture (Rec. 601)."""
AROUND = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
"""The eight neighbours of a pixel, by rows and columns, each an eighth turn further than the one before."""


def canny(images: Tensor, low: float, high: float) -> Tensor:
    """Thin edges (Canny 1986) of pictures (b, 3, h, w) in [-1, 1]: white on black, (b, 3, h, w).

    As ComfyUI's node and kornia have it: of the grey picture from 0 to 1, blurred by a Gaussian of deviation 1 on 5 × 5 pixels, the
    length of Sobel's gradient, up to 4√2, which must be larger than at both neighbours along the gradient. What is above `high` is an
    edge, and what is above `low` and hangs together with one. Raises ValueError where low is above high.
    """
    if low > high:
        raise ValueError(f"low is {low:g} and high {high:g}; low must not be larger")
    grey = torch.einsum("bchw,c->bhw", images / 2 + 0.5, GREY.to(images))[:, None]
    bell = torch.exp(-(torch.arange(-2.0, 3.0) ** 2) / 2).to(images)
    bell = bell / bell.sum()
    blurred = F.conv2d(F.pad(grey, (2, 2, 2, 2), mode="reflect"), (bell[:, None] * bell)[None, None])
    kernels = -4 * torch.stack([SOBEL.T, SOBEL])[:, None].to(images)
    across, down = F.conv2d(F.pad(blurred, (1, 1, 1, 1), mode="replicate"), kernels).chunk(2, dim=1)
    length = torch.sqrt(across**2 + down**2 + 1e-6)
    eighth = torch.round(torch.atan2(down, across) / (torch.pi / 4)).long()
    larger = torch.cat([length > _shifted(length, *place) for place in AROUND], dim=1)
    thin = length * (larger.gather(1, eighth % 8) & larger.gather(1, (eighth + 4) % 8))
    found, weak = thin > high, thin > low
    while True:
        grown = (F.max_pool2d(found.to(images), 3, stride=1, padding=1) > 0) & weak
        if torch.equal(grown, found):
            break
        found = grown
    white: Tensor = 2 * found.to(images.dtype) - 1
    return white.expand_as(images).clone()


def _shifted(x: Tensor, rows: int, columns: int) -> Tensor:
    """Each pixel's neighbour so many rows and columns further; beyond the border 0."""
    padded = F.pad(x, (1, 1, 1, 1))
    return padded[..., 1 + rows : 1 + rows + x.shape[-2], 1 + columns : 1 + columns + x.shape[-1]]
