"""Pictures, masks and latents cut, laid upon each other, and extended: what is done by hand before or after a sampling."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from core.diffusion.regions import edges

Operation = Literal["replace", "add", "subtract", "multiply"]
CHANNELS = ("red", "green", "blue")


def crop(x: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """A rectangle of x (b, c, h, w); what reaches beyond is cut off. Raises ValueError for one outside."""
    if top >= x.shape[-2] or left >= x.shape[-1]:
        raise ValueError(f"the rectangle begins at row {top}, column {left}, outside of {tuple(x.shape[-2:])}")
    return x[..., top : top + height, left : left + width]


def composite(
    onto: Tensor,
    x: Tensor,
    top: int = 0,
    left: int = 0,
    mask: Tensor | None = None,
    feather: int = 0,
    operation: Operation = "replace",
) -> Tensor:
    """x, one row or as many, laid upon `onto` (b, c, h, w) at a row and column, which may be negative; what sticks out is cut off.

    mask: one row or as many, of one channel, 1 where x counts; of another size it is interpolated to x's. feather: over how many rows and columns
    x fades in from those of its edges that are inside. Raises ValueError where channels or rows do not fit.
    """
    if x.shape[1] != onto.shape[1] or len(x) not in (1, len(onto)):
        raise ValueError(
            f"{tuple(x.shape)} cannot be laid upon {tuple(onto.shape)}; channels must be alike, and rows as many or one"
        )
    weight = torch.ones_like(x[:1, :1])
    if mask is not None:
        weight = mask.to(x)
        if weight.shape[2:] != x.shape[2:]:
            weight = F.interpolate(weight, tuple(x.shape[2:]), mode="bilinear")
    if feather:
        at = (slice(top, top + x.shape[2]), slice(left, left + x.shape[3]))
        weight = weight * edges(at, (onto.shape[2], onto.shape[3]), (feather, feather)).to(x)
    rows, columns = (
        slice(max(first, 0), max(0, min(first + length, whole)))
        for first, length, whole in zip((top, left), x.shape[2:], onto.shape[2:], strict=True)
    )
    own = (..., slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    made = onto.clone()
    below = onto[..., rows, columns]
    if below.numel() == 0:
        return made
    above = {"replace": lambda: x[own], "add": lambda: below + x[own], "subtract": lambda: below - x[own], "multiply": lambda: below * x[own]}  # fmt: skip
    made[..., rows, columns] = torch.lerp(below, above[operation]().to(below).expand_as(below), weight[own].to(below))
    return made


def outpainting(
    images: Tensor, left: int, top: int, right: int, bottom: int, feather: int = 0
) -> tuple[Tensor, Tensor]:
    """Pictures (b, c, h, w) with grey on their sides, and the mask (b, 1, h', w') of what is to be drawn, as ComfyUI makes both.

    feather: the mask reaches so many pixels into the picture, falling with the square of the distance; a picture less than twice as
    large has none.
    """
    height, width = images.shape[2:]
    padded = F.pad(images, (left, right, top, bottom), value=0.0)
    known = torch.zeros(height, width, device=images.device)
    if 0 < 2 * feather < min(height, width):
        far = float(max(height, width))
        y, x = (torch.arange(side, device=images.device, dtype=torch.float32) for side in (height, width))
        down = torch.minimum(y if top else y * 0 + far, height - y if bottom else y * 0 + far)
        across = torch.minimum(x if left else x * 0 + far, width - x if right else x * 0 + far)
        known = (1 - torch.minimum(down[:, None], across) / feather).clamp_min(0) ** 2
    mask = F.pad(known, (left, right, top, bottom), value=1.0)
    return padded, mask.repeat(len(images), 1, 1, 1)
