"""Whether pictures have the edges that were asked for."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from core.numbers import finite


def edge_agreement(found: Tensor, asked: Tensor, tolerance: int = 1) -> Tensor:
    """The boundary F1 score of each edge picture, (b,), from 0 to 1; both (b, c, h, w), edges white (above 0) on black.

    Precision is the share of found edge pixels with an asked one within `tolerance` rows and columns, recall the share of asked ones
    with a found one there (Martin et al. 2004, section 3; by dilation instead of matching, as Csurka et al. 2013). Two pictures
    without any edge agree, score 1. Raises ValueError for shapes that differ.
    """
    if found.shape != asked.shape:
        raise ValueError(f"The found edges are {tuple(found.shape)} and those asked for {tuple(asked.shape)}.")
    ours = (finite(found, "the found edges").amax(1, keepdim=True) > 0).float()
    theirs = (finite(asked, "the edges asked for").amax(1, keepdim=True) > 0).float()
    precision = _share(ours, _grown(theirs, tolerance))
    recall = _share(theirs, _grown(ours, tolerance))
    return 2 * precision * recall / (precision + recall).clamp_min(1e-12)


def _grown(edges: Tensor, pixels: int) -> Tensor:
    return F.max_pool2d(edges, 2 * pixels + 1, stride=1, padding=pixels)


def _share(edges: Tensor, near: Tensor) -> Tensor:
    """Of each picture's edge pixels, how many lie near the others', (b,). Without any it is all of them where there is nothing near
    either, and none otherwise."""
    count = edges.flatten(1).sum(1)
    share = (edges * near).flatten(1).sum(1) / count.clamp_min(1)
    return share.where(count > 0, (near.flatten(1).sum(1) == 0).to(share))
