"""What pictures are judged by: shapes by the colours of their pixels, features by the papers' formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from torch import Tensor

from core.data.shapes import COLOURS

Array = NDArray[Any]

VIVID = 0.75
"""What separates the shapes' colours from the muted backgrounds: the largest less the smallest of r, g, b in [-1, 1]
(backgrounds have .44 at most, the palette 1.3 or more)."""


def colours(images: Tensor) -> Tensor:
    """For each pixel 0 for background, else 1 + the number of the nearest of the six colours, (b, h, w)."""
    palette = torch.tensor(list(COLOURS.values())) * 2 - 1
    images = images.clamp(-1, 1)
    nearest = (images[:, None] - palette[None, :, :, None, None]).square().sum(2).argmin(1) + 1
    return nearest * (images.amax(1) - images.amin(1) > VIVID)


def overlap(images: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
    """Intersection over union of each asked box with that of the pixels in its colour, for scenes without two alike."""
    n, side = len(COLOURS), images.shape[-1]
    found = colours(images)
    ratios = []
    for image, row, kinds in zip(found, boxes, labels % n + 1, strict=True):
        if len(kinds.unique()) < len(kinds):
            continue
        for (x0, y0, x1, y1), kind in zip(row.tolist(), kinds.tolist(), strict=True):
            y, x = (image == kind).nonzero(as_tuple=True)
            if not len(x):
                ratios.append(0.0)
                continue
            left, top, right, bottom = (float(v) / side for v in (x.min(), y.min(), x.max() + 1, y.max() + 1))
            shared = max(0.0, min(right, x1) - max(left, x0)) * max(0.0, min(bottom, y1) - max(top, y0))
            ratios.append(shared / ((right - left) * (bottom - top) + (x1 - x0) * (y1 - y0) - shared))
    return torch.tensor(ratios)


def frechet(real: Array, generated: Array) -> float:
    """The Fréchet distance of two sets of features, (n, d), as Gaussians (Heusel et al. 2017, eq. 6)."""
    covariances = np.cov(real, rowvar=False), np.cov(generated, rowvar=False)
    shared = np.trace(scipy.linalg.sqrtm(covariances[0] @ covariances[1])).real
    apart = ((real.mean(0) - generated.mean(0)) ** 2).sum()
    return float(apart + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * shared)


def within(points: Array, manifold: Array, k: int = 3) -> float:
    """The share of points that lie in the ball of one of the manifold's, which reaches to its k-th neighbour.

    Kynkäänniemi et al. 2019, eq. 1 and 2.
    """
    radii = np.sort(cdist(manifold, manifold), axis=1)[:, k]  # the nearest is the point itself
    return float((cdist(points, manifold) <= radii).any(1).mean())
