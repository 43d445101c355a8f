"""Regional prompts: a prediction for each part of a latent, weighted by masks, as ComfyUI and MultiDiffusion (Bar-Tal et al. 2023) join them.

A rectangle is denoised as a latent of its own. Where rectangles meet, their weights run out over a few cells, so that no seam shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.conditioning.conditioning import Conditioning
from core.conditioning.parts import Place
from core.models.denoiser import denoise

Unit = Literal["share", "cells"]
FEATHER = 8
"""Cells over which the weight of a rectangle runs out; at most a quarter of its side."""


def area(size: tuple[int, int], top: float, left: float, height: float, width: float, unit: Unit = "share") -> Place:
    """Rows and columns of a rectangle of a latent of this height and width; what reaches beyond is cut off.

    unit: of the four numbers: shares of the latent's height and width, or cells. Raises ValueError for a rectangle outside.
    """

    def along(side: int, first: float, length: float) -> slice:
        start = round(first * side) if unit == "share" else int(first)
        long = max(1, round(length * side)) if unit == "share" else int(length)
        if start >= side or long < 1:
            raise ValueError(
                f"an area of {long} cells from cell {start} on lies outside of a latent of {side}; move it inside"
            )
        return slice(start, min(start + long, side))

    return along(size[0], top, height), along(size[1], left, width)


def edges(place: Place, size: tuple[int, int], feather: Sequence[int]) -> Tensor:
    """The weight of each cell of a rectangle, (height, width): 1, less over the last cells before its inner edges.

    place: in a plane of this size, at whose borders nothing runs out. feather: how many rows and columns; the outermost weighs 1 by
    that number.
    """
    sides = []
    for at, whole, cells in zip(place, size, feather, strict=True):
        weights = torch.ones(at.stop - at.start)
        long = min(cells, len(weights))
        ramp = torch.arange(1, long + 1) / max(cells, 1)
        if at.start > 0:
            weights[:long] *= ramp
        if at.stop < whole:
            weights[len(weights) - long :] *= ramp.flip(0)
        sides.append(weights)
    return sides[0][:, None] * sides[1]


def denoise_area(
    model: nn.Module, z: Tensor, t: Tensor, condition: Conditioning | None, place: Place
) -> tuple[Tensor, Tensor]:
    """`denoise` of a rectangle of z (b, c, h, w) alone: the prediction, zero elsewhere, and its weights (b, 1, h, w).

    Of the condition each part says what belongs to the rectangle. Raises as `denoise`.
    """
    size = (z.shape[2], z.shape[3])
    inside = (..., *place)
    made = denoise(model, z[inside], t, (condition or Conditioning()).cut(place, size))
    prediction, weight = torch.zeros_like(z), torch.zeros(1, 1, *size)
    prediction[inside] = made
    sides = [at.stop - at.start for at in place]
    weight[inside] = edges(place, size, [min(FEATHER, side // 4) for side in sides])
    return prediction, weight.to(z).repeat(len(z), 1, 1, 1)


def joined(predictions: Sequence[Tensor], masks: Sequence[Tensor], strengths: Sequence[float]) -> Tensor:
    """Σ sᵢ mᵢ pᵢ / Σ sᵢ mᵢ of predictions (b, c, h, w); zero where no mask is.

    masks: (b or 1, 1, H, W); of another size than the predictions they are interpolated. Raises ValueError for lists of other lengths.
    """
    if not len(predictions) == len(masks) == len(strengths):
        raise ValueError(
            f"there are {len(predictions)} predictions, {len(masks)} masks and {len(strengths)} strengths; each prediction needs one of both"
        )
    size = predictions[0].shape[2:]
    total, share = torch.zeros_like(predictions[0]), predictions[0].new_zeros(1, 1, *size)
    for prediction, mask, strength in zip(predictions, masks, strengths, strict=True):
        if prediction.shape != total.shape:
            raise ValueError(
                f"the predictions are {tuple(total.shape)} and {tuple(prediction.shape)}; wire predictions of one latent"
            )
        weight = mask.to(total)
        if weight.shape[2:] != size:
            weight = F.interpolate(weight, size, mode="bilinear")
        total = total + strength * weight * prediction
        share = share + strength * weight
    return total / torch.where(share == 0, 1.0, share)
