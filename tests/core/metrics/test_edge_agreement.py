"""Whether edges agree: counted by hand, and against a slow count pixel by pixel."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from core.metrics.edges import edge_agreement


def drawn(*pixels: tuple[int, int], side: int = 8) -> Tensor:
    """White pixels on black, (1, 3, side, side)."""
    picture = torch.full((1, 3, side, side), -1.0)
    for y, x in pixels:
        picture[..., y, x] = 1.0
    return picture


def test_a_pixel_beside_counts_and_one_further_away_does_not() -> None:
    line = drawn((2, 2), (2, 3), (2, 4))
    assert edge_agreement(line, line) == 1
    assert edge_agreement(line.roll(1, 2), line) == 1
    assert edge_agreement(line.roll(2, 2), line) == 0
    assert edge_agreement(line.roll(2, 2), line, tolerance=2) == 1
    half = torch.cat([line[:, :, :4], drawn((7, 0))[:, :, 4:]], dim=2)  # one found pixel of four is nowhere near
    assert float(edge_agreement(half, line)) == pytest.approx(2 * 0.75 / 1.75)


def test_without_edges_it_is_all_or_nothing() -> None:
    assert edge_agreement(drawn(), drawn()) == 1
    assert edge_agreement(drawn(), drawn((1, 1))) == 0
    assert edge_agreement(drawn((1, 1)), drawn()) == 0


def test_it_is_the_count_pixel_by_pixel() -> None:
    """Of random pictures, one after the other."""
    generator = torch.Generator().manual_seed(3)
    found, asked = (2 * (torch.rand(4, 1, 9, 9, generator=generator) > 0.85).float() - 1 for _ in range(2))
    for i, score in enumerate(edge_agreement(found, asked)):
        ours, theirs = ((each[i, 0] > 0).nonzero() for each in (found, asked))
        near = (ours[:, None] - theirs).abs().amax(-1) <= 1
        precision, recall = near.any(1).float().mean(), near.any(0).float().mean()
        torch.testing.assert_close(score, 2 * precision * recall / (precision + recall))


def test_pictures_of_other_sizes_are_told() -> None:
    with pytest.raises(ValueError, match="found edges are"):
        edge_agreement(drawn(), drawn(side=9))
