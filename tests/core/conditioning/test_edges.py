"""Canny's edges, step by step."""

from __future__ import annotations

import math

import pytest
import torch

from core.conditioning.edges import canny


def test_canny_is_what_it_says_pixel_by_pixel() -> None:
    """Canny's steps written out for single pixels."""
    image = torch.rand(1, 3, 9, 11, generator=torch.Generator().manual_seed(1)) * 2 - 1
    image[..., 5:] += 0.8
    image = image.clamp(-1, 1)
    found = canny(image, 0.3, 1.0)[0, 0]
    height, width = image.shape[2:]
    red, green, blue = (image[0] / 2 + 0.5).tolist()
    grey = [[0.299 * red[y][x] + 0.587 * green[y][x] + 0.114 * blue[y][x] for x in range(width)] for y in range(height)]

    def mirrored(n: int, side: int) -> int:
        return -n if n < 0 else 2 * side - 2 - n if n >= side else n

    bell = [math.exp(-(n**2) / 2) for n in range(-2, 3)]
    blurred = [
        [
            sum(
                bell[i + 2] * bell[j + 2] / sum(bell) ** 2 * grey[mirrored(y + i, height)][mirrored(x + j, width)]
                for i in range(-2, 3)
                for j in range(-2, 3)
            )
            for x in range(width)
        ]
        for y in range(height)
    ]

    def at(y: int, x: int) -> float:
        return blurred[min(max(y, 0), height - 1)][min(max(x, 0), width - 1)]

    def gradient(y: int, x: int) -> tuple[float, float]:
        down = sum(w * (at(y + 1, x + i) - at(y - 1, x + i)) for i, w in ((-1, 1), (0, 2), (1, 1)))
        across = sum(w * (at(y + i, x + 1) - at(y + i, x - 1)) for i, w in ((-1, 1), (0, 2), (1, 1)))
        return down, across

    def length(y: int, x: int) -> float:
        inside = 0 <= y < height and 0 <= x < width
        return math.sqrt(sum(g**2 for g in gradient(y, x)) + 1e-6) if inside else 0.0

    thin = {}
    for y in range(height):
        for x in range(width):
            angle = math.radians(45 * round(math.degrees(math.atan2(*gradient(y, x))) / 45))
            i, j = round(math.sin(angle)), round(math.cos(angle))
            peak = length(y, x) > length(y + i, x + j) and length(y, x) > length(y - i, x - j)
            thin[y, x] = length(y, x) if peak else 0.0
    wanted, waiting = set(), [place for place, each in thin.items() if each > 1.0]
    while waiting:
        y, x = waiting.pop()
        wanted.add((y, x))
        around = [(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        waiting += [place for place in around if thin.get(place, 0) > 0.3 and place not in wanted]
    assert {(y, x) for y in range(height) for x in range(width) if found[y, x] > 0} == wanted
    assert 0 < len([each for each in thin.values() if each > 1.0]) < len(wanted)
    assert set(found.unique().tolist()) == {-1.0, 1.0}


def test_an_edge_is_one_pixel_wide_and_thresholds_are_in_order() -> None:
    step = torch.full((1, 3, 16, 16), -1.0)
    step[..., 8:] = 1
    found = canny(step, 0.4, 0.8)
    assert (found[0, 0] > 0).sum(1).eq(0).all() or (found[0, 0] > 0).sum(1).max() <= 1
    disc = ((torch.arange(32)[:, None] - 15.3) ** 2 + (torch.arange(32) - 16.1) ** 2 < 100).float()
    ring = canny((2 * disc - 1).expand(1, 3, -1, -1), 0.4, 0.8)[0, 0] > 0
    assert 40 < ring.sum() < 90
    with pytest.raises(ValueError, match="low must not be larger"):
        canny(step, 0.8, 0.4)
