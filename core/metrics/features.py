"""Networks that turn images into the features in which sets of images are compared.

A feature network maps images (b, 3, h, w) in [-1, 1] to (b, num_features). `InceptionV3` (inception.py) with its
published weights gives the figures that papers print; `SmallFeatures` needs no download and gives relative ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.numbers import finite
from core.precision import in_float32


class FeatureNetwork(Protocol):
    """Images (b, 3, h, w) in [-1, 1] to features (b, num_features)."""

    num_features: int

    def __call__(self, images: Tensor) -> Tensor:
        """Features of a batch."""
        ...


def extract_features(network: FeatureNetwork, images: Iterable[Tensor]) -> Tensor:
    """Features (n, num_features), float32 on the CPU, of all images in batches (b, 3, h, w), without gradients.

    They are computed in float32, as published figures are. Raises FloatingPointError for images that are no numbers.
    """

    @in_float32
    def of(batch: Tensor) -> Tensor:
        return network(finite(batch, "the images to compare")).float().cpu()

    with torch.no_grad():
        return torch.cat([of(batch) for batch in images])


class SmallFeatures(nn.Module):
    """Colours on a coarse grid and log energies of random filters: fixed, without weights to load, 192 features.

    A scattering transform (Mallat 2012, "Group invariant scattering") with random filters of mean zero in place of
    wavelets: the energies of local contrasts, and of contrasts between their magnitudes, at two scales. It sees noise,
    blur, missing kinds, wrong colours and arrangement; it does not know what objects are. So its distances compare runs
    on the same data and size, and say nothing beside published figures, which need `InceptionV3`.

    size: larger images are first reduced to this many pixels a side.
    """

    num_features = 192
    first: Tensor
    second: Tensor

    def __init__(self, size: int = 64) -> None:
        super().__init__()
        self.size = size
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("first", _contrasts(3, 24, generator))
        self.register_buffer("second", _contrasts(24, 48, generator))

    def forward(self, images: Tensor) -> Tensor:
        """Features (b, 192) of images (b, 3, h, w) in [-1, 1], at least 16 pixels a side."""
        if min(images.shape[2:]) < 16:
            raise ValueError(f"SmallFeatures: images need at least 16 pixels a side, not {tuple(images.shape[2:])}.")
        x = images.to(self.first.dtype)
        if max(x.shape[2:]) > self.size:
            x = F.interpolate(x, (self.size, self.size), mode="bilinear", antialias=True)
        features = [F.adaptive_avg_pool2d(x, 4).flatten(1)]
        for _ in range(2):
            contrasts = _convolve(x, self.first)
            features += [_log_energy(contrasts), _log_energy(_convolve(F.avg_pool2d(contrasts.abs(), 2), self.second))]
            x = F.avg_pool2d(x, 2)
        return torch.cat(features, dim=1)


def _contrasts(channels: int, filters: int, generator: torch.Generator) -> Tensor:
    """Random 3 × 3 filters of norm 1 whose sum over each channel is 0: a constant image gives no response."""
    weight = torch.randn(filters, channels, 3, 3, generator=generator)
    weight = weight - weight.mean((2, 3), keepdim=True)
    return weight / weight.square().sum((1, 2, 3), keepdim=True).sqrt()


def _convolve(x: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), weight)


def _log_energy(x: Tensor) -> Tensor:
    """Relative changes of faint and strong textures count alike, above a floor of .05."""
    return 0.5 * torch.log(x.square().mean((2, 3)) + 0.05**2)
