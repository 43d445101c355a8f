"""The perceptual distance that needs no weight file: fixed Haar wavelets in place of a trained network.

It joins what has proved itself among untrained measures: horizontal, vertical and diagonal Haar coefficients at several scales
(HaarPSI, Reisenhofer et al. 2018), compared by local amplitude as much as by value, because the eye forgives a shift by a pixel and does
not forgive lost texture (GMSD, Xue et al. 2014), each difference relative to the energy around it, because contrast masks error (the
divisive form of SSIM, Wang et al. 2004), in luma and chroma.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.models.registry import model
from core.precision import in_float32

LUMA_CHROMA = ((0.299, 0.587, 0.114), (-0.169, -0.331, 0.5), (0.5, -0.419, -0.081))
"""RGB to luma, blue difference and red difference (JPEG's YCbCr, without its offsets)."""
PLANE_WEIGHTS = (0.5, 0.25, 0.25)
SMALLEST_SIDE = 4
AMPLITUDE_FLOOR = 1e-4
"""Added under the root that turns energy into amplitude, so that its gradient stays finite."""


@model
class HaarDistance(nn.Module):
    """Perceptual distance of images in [−1, 1], (b, 3, h, w) each → (b,): 0 for equal images, about 1 for unrelated photographs.

    levels: scales, each half the size of the one before; small images end earlier. noise_floor: the amplitude, on the images' scale,
    below which detail hardly counts. shift_tolerance: the share of the amplitudes' comparison, the rest being that of the values.
    The mean brightness and colour of the coarsest scale enter with a small weight; a pixel loss is to guard them. Deterministic, without
    parameters, and of the same signature as `LPIPS`.
    """

    config: dict[str, Any]
    planes: Tensor
    weights: Tensor

    def __init__(self, levels: int = 4, noise_floor: float = 0.1, shift_tolerance: float = 0.5) -> None:
        super().__init__()
        self.levels = levels
        self.noise_floor = noise_floor
        self.shift_tolerance = shift_tolerance
        self.register_buffer("planes", torch.tensor(LUMA_CHROMA)[:, :, None, None], persistent=False)
        self.register_buffer("weights", torch.tensor(PLANE_WEIGHTS), persistent=False)

    @in_float32
    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        """Distance of each image (b, 3, h, w) to the other at its place, (b,); gradients flow to both."""
        if (
            images.shape != others.shape
            or images.dim() != 4
            or images.shape[1] != 3
            or min(images.shape[2:]) < SMALLEST_SIDE
        ):
            raise ValueError(
                f"the perceptual distance compares two batches (b, 3, h, w) of equal shape and at least {SMALLEST_SIDE} "
                f"pixels a side, got {tuple(images.shape)} and {tuple(others.shape)}"
            )
        a, b = (F.conv2d(x.to(self.planes.dtype), self.planes) for x in (images, others))
        levels: list[Tensor] = []
        while len(levels) < self.levels and min(a.shape[2:]) >= SMALLEST_SIDE:
            levels.append(self._compare(a, b))
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        coarsest = (a - b).square().mean(dim=(2, 3))
        return 2 * (torch.stack(levels).mean(dim=0) + coarsest / 4) @ self.weights

    def _compare(self, a: Tensor, b: Tensor) -> Tensor:
        """The relative difference of two planes' details at one scale, (b, planes)."""
        details_a, details_b = _haar(a), _haar(b)
        energy_a, energy_b = _local_energy(details_a), _local_energy(details_b)
        values = (details_a - details_b).square()
        amplitudes = ((energy_a + AMPLITUDE_FLOOR).sqrt() - (energy_b + AMPLITUDE_FLOOR).sqrt()).square()
        difference = torch.lerp(values, amplitudes, self.shift_tolerance).sum(dim=2)
        return (difference / ((energy_a + energy_b).sum(dim=2) + self.noise_floor**2)).mean(dim=(2, 3))


def _haar(x: Tensor) -> Tensor:
    """Undecimated Haar coefficients of (b, p, h, w): vertical, horizontal, diagonal, (b, p, 3, h − 1, w − 1)."""
    upper, lower = x[:, :, :-1], x[:, :, 1:]
    sums, steps = upper + lower, lower - upper
    return 0.5 * torch.stack([steps[..., 1:] + steps[..., :-1], sums.diff(dim=-1), steps.diff(dim=-1)], dim=2)


def _local_energy(details: Tensor) -> Tensor:
    """Mean square over 3×3 neighbours."""
    squares = details.square()
    return F.avg_pool2d(squares.flatten(1, 2), 3, stride=1, padding=1, count_include_pad=False).view_as(squares)


_on: dict[torch.device, HaarDistance] = {}


def haar_distance(device: torch.device) -> HaarDistance:
    """The distance with its usual settings on a device, moved there once."""
    found = _on.get(device)
    if found is None:
        found = HaarDistance().to(device)
        if type(found.planes) is Tensor:  # not one of those that stand for tensors in a dry run and must not outlive it
            _on[device] = found
    return found
