"""Random masks to train and test inpainting with; 1 is the part to fill, as everywhere here.

Source: LaMa (Suvorov et al. 2021), whose mask protocol Rombach et al. 2022, sec. 4.5, follow: polylines drawn with a
broad brush, or boxes. Numbers from advimman/lama, saicinpainting/training/data/masks.py and its configs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from core.data.keyed import KeyedRandom

Range = tuple[int, int]


@dataclass(frozen=True)
class MaskStyle:
    """Sizes in pixels of a 256 × 256 image, both ends included.

    strokes, boxes: how many. length, width: of a stroke's segments, of which it has one to five. side: of a box.
    margin: between boxes and the image's border. box_share: part of the masks that are boxes; the others are strokes.
    """

    strokes: Range
    length: Range
    width: Range
    boxes: Range
    side: Range
    margin: int
    box_share: float


STYLES = {
    # LaMa's training masks (configs/training/data/abl-04-256-mh-dist.yaml), then its test sets (configs/data_gen).
    "training": MaskStyle((1, 5), (10, 209), (5, 104), (1, 4), (30, 149), 10, 0.5),
    "thin": MaskStyle((4, 50), (10, 49), (5, 14), (1, 1), (30, 30), 0, 0.0),
    "medium": MaskStyle((4, 5), (10, 109), (5, 54), (1, 5), (10, 49), 0, 0.3 / 1.3),
    "thick": MaskStyle((1, 5), (10, 209), (5, 104), (1, 3), (30, 149), 10, 0.3 / 1.3),
}
Style = Literal["training", "thin", "medium", "thick"]


def random_masks(height: int, width: int, random: KeyedRandom, style: Style | MaskStyle = "training") -> Tensor:
    """One mask for each row of `random`: (n, 1, height, width) in {0, 1}, never empty.

    Sizes scale with the image's shorter side.
    """
    chosen = STYLES[style] if isinstance(style, str) else style
    masks = [_mask(height, width, rng, chosen) for rng in random.generators()]
    return torch.from_numpy(np.stack(masks).astype(np.float32))[:, None]


def _mask(height: int, width: int, rng: np.random.Generator, style: MaskStyle) -> np.ndarray:
    image = Image.new("1", (width, height))
    draw = ImageDraw.Draw(image)
    scale = min(height, width) / 256
    if rng.random() < style.box_share:
        margin = style.margin * scale
        for _ in range(rng.integers(*style.boxes, endpoint=True)):
            size = np.minimum(rng.uniform(*style.side, size=2) * scale, [width - 2 * margin, height - 2 * margin])
            x, y = margin + rng.random(2) * ([width, height] - size - 2 * margin)
            draw.rectangle((x, y, x + max(size[0], 1) - 1, y + max(size[1], 1) - 1), fill=1)
    else:
        for stroke in range(rng.integers(*style.strokes, endpoint=True)):
            _draw_stroke(draw, height, width, rng, style, scale, turn=1 if stroke % 2 else -1)
    return np.asarray(image)


def _draw_stroke(
    draw: ImageDraw.ImageDraw,
    height: int,
    width: int,
    rng: np.random.Generator,
    style: MaskStyle,
    scale: float,
    turn: int,
) -> None:
    """A polyline with round joints, from a random point inside; its ends stay in the image."""
    x, y = rng.random(2) * [width, height]
    for _ in range(rng.integers(1, 5, endpoint=True)):
        angle = turn * (0.01 + rng.integers(4))  # the four directions of the source, in radians
        length, brush = rng.uniform(*style.length) * scale, max(1.0, rng.uniform(*style.width) * scale)
        end_x = float(np.clip(x + length * np.sin(angle), 0, width - 1))
        end_y = float(np.clip(y + length * np.cos(angle), 0, height - 1))
        draw.line((x, y, end_x, end_y), fill=1, width=round(brush))
        for centre_x, centre_y in ((x, y), (end_x, end_y)):
            draw.circle((centre_x, centre_y), brush / 2, fill=1)
        x, y = end_x, end_y
