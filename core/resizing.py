"""Height and width of tensors changed: interpolated by PyTorch, or resampled by Lanczos' windowed sinc."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from core.tensor_arithmetic import resized

Kind = Literal["nearest", "bilinear", "bicubic", "area", "lanczos"]
LOBES = 3


def resize(x: Tensor, height: int, width: int, kind: Kind = "nearest") -> Tensor:
    """x (b, c, h, w) in another height and width, as `resized`, or by Lanczos' sinc. Making smaller, all but nearest are antialiased. Gradients flow."""
    if kind == "lanczos":
        rows, columns = (_lanczos(old, new).to(x) for old, new in zip(x.shape[-2:], (height, width), strict=True))
        return rows @ x @ columns.T
    return resized(x, height, width, kind)


def center_crop(x: Tensor, ratio: float) -> Tensor:
    """The largest part in the middle of x (b, c, h, w) whose width is `ratio` times its height."""
    height, width = x.shape[-2:]
    if width > height * ratio:
        kept = max(1, round(height * ratio))
        return x[..., (width - kept) // 2 :][..., :kept]
    kept = max(1, round(width / ratio))
    return x[..., (height - kept) // 2 :, :][..., :kept, :]


def grow(mask: Tensor, side: int) -> Tensor:
    """mask (b, 1, h, w), each point a square of `side` pixels, an even one reaching further down and right."""
    after = (side - 1) // 2
    before = side - 1 - after
    return F.max_pool2d(F.pad(mask, (before, after, before, after), value=0.0), side, stride=1)


def _lanczos(old: int, new: int) -> Tensor:
    """The (new, old) weights: a sinc with three lobes on each side, as wide as a pixel of the smaller side."""
    stretch = max(old / new, 1.0)
    centres = (torch.arange(new, dtype=torch.float64) + 0.5) * old / new
    distances = (torch.arange(old, dtype=torch.float64) + 0.5 - centres[:, None]) / stretch
    weights = torch.sinc(distances) * torch.sinc(distances / LOBES) * (distances.abs() < LOBES)
    return weights / weights.sum(1, keepdim=True)
