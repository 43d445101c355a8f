"""A procedural data set: coloured shapes on random gradients, with every annotation a conditioner may want.

It needs no download, renders at any resolution, and its conditions can be checked exactly, which makes it the default
data of the examples: a small classifier tells all 24 classes apart, so generated images can be scored by obedience.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.data.batch import Batch, sample_of
from core.data.keyed import KeyedRandom

Array = NDArray[Any]

SHAPES = ("circle", "square", "triangle", "cross")
COLOURS = {
    "red": (0.90, 0.10, 0.10),
    "green": (0.10, 0.75, 0.15),
    "blue": (0.15, 0.25, 0.95),
    "yellow": (1.00, 0.90, 0.10),
    "magenta": (0.90, 0.15, 0.85),
    "cyan": (0.10, 0.85, 0.90),
}
CLASSES = tuple(f"{colour} {shape}" for shape in SHAPES for colour in COLOURS)

_PALETTE = np.array(list(COLOURS.values()), dtype=np.float32) * 2 - 1
_RELATIONS = (("left of", "right of"), ("above", "below"))

# Extents x0, y0, x1, y1 of each shape, in units of its radius around its centre. The four have nearly equal areas.
_EXTENTS = np.array([[-1, -1, 1, 1], [-0.9, -0.9, 0.9, 0.9], [-1.1, -1, 1.1, 1], [-1, -1, 1, 1]], dtype=np.float32)
_ARM = 0.42  # half the width of a cross's arms


class Shapes:
    """`size` images of coloured shapes; image i is a pure function of (seed, i) and of the other parameters.

    resolution: height and width in pixels. The scene does not depend on it, only how finely it is drawn.
    objects: how many shapes an image shows, or (least, most) to draw the number for each image; at most 9. With
        two, one is clearly left of or above the other and the caption says so; objects never overlap, and no class
        appears twice in an image.
    radius: (least, most) radius of a shape, in units of half the side of the cell it stands in.

    A batch holds `images` (b, 3, h, w) in [-1, 1], `labels` (b,) (index into `classes` of the first object),
    `captions`, `boxes` (b, n, 4) and `box_labels` (b, n), and `segmentation` (b, h, w) (0 is background, else
    class + 1).
    """

    classes = CLASSES

    def __init__(
        self,
        resolution: int = 32,
        size: int = 20_000,
        seed: int = 0,
        objects: int | tuple[int, int] = 1,
        radius: tuple[float, float] = (0.5, 0.85),
    ) -> None:
        self.objects = (objects, objects) if isinstance(objects, int) else (objects[0], objects[1])
        if resolution < 8:
            raise ValueError(f"Shapes: resolution {resolution} is too small to tell the shapes apart; use 8 or more.")
        if size < 1:
            raise ValueError(f"Shapes: size must be at least 1, not {size}.")
        if not 1 <= self.objects[0] <= self.objects[1] <= 9:
            raise ValueError(f"Shapes: objects must be a number from 1 to 9, or a pair in order, not {objects}.")
        if not 0 < radius[0] <= radius[1] <= 0.9:
            raise ValueError(f"Shapes: radius must be a pair in order, over 0 and at most 0.9, not {radius}.")
        self.resolution, self.size, self.seed, self.radius = resolution, size, seed, radius

    @property
    def num_classes(self) -> int:
        """24: every shape in every colour."""
        return len(CLASSES)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, i: int) -> dict[str, Any]:
        return sample_of(self.get_batch([i]))

    def get_batch(self, indices: Sequence[int] | NDArray[np.int64], random: KeyedRandom | None = None) -> Batch:  # noqa: ARG002
        """Render the images at `indices`; `random`, the loader's augmentation, changes nothing here."""
        index = np.asarray(indices, dtype=np.int64)
        if index.size and not 0 <= index.min() <= index.max() < self.size:
            raise IndexError(f"Shapes holds images 0 to {self.size - 1}; asked for {index.min()} to {index.max()}.")
        draw = KeyedRandom("shapes", self.seed, index)
        image = gradients(draw, self.resolution)
        most = self.objects[1]
        count = self.objects[0] + draw.integers(most - self.objects[0] + 1)
        label = np.argsort(draw.bits(len(CLASSES)), axis=1)[:, :most]
        centre, radius, axis, side = self._place(draw, count)
        segmentation = np.zeros((len(index), self.resolution, self.resolution), dtype=np.int64)
        boxes = np.zeros((len(index), most, 4), dtype=np.float32)
        for k in range(most):
            shown = count > k
            shape, colour = np.divmod(label[:, k], len(COLOURS))
            alpha = _coverage(shape, centre[:, k], radius[:, k], self.resolution) * shown[:, None, None]
            image += alpha[:, None] * (_PALETTE[colour][:, :, None, None] - image)
            np.copyto(segmentation, (label[:, k] + 1)[:, None, None], where=alpha > 0.5)
            extent = np.tile(centre[:, k], 2) + _EXTENTS[shape] * radius[:, k, None]
            boxes[:, k] = extent * shown[:, None]
        label[np.arange(most) >= count[:, None]] = -1
        return {
            "images": torch.from_numpy(image),
            "labels": torch.from_numpy(label[:, 0].copy()),
            "captions": [_caption(row[:n], a, s) for row, n, a, s in zip(label, count, axis, side, strict=True)],
            "boxes": torch.from_numpy(boxes),
            "box_labels": torch.from_numpy(label),
            "segmentation": torch.from_numpy(segmentation),
        }

    def _place(self, draw: KeyedRandom, count: NDArray[np.int64]) -> tuple[Array, ...]:
        """Centres (b, n, 2) and radii (b, n) in units of the image's side; for two objects also the axis (0: side by
        side, 1: one above the other) and which of the two is first on it. Each object has a cell of its own."""
        most = self.objects[1]
        axis, side = draw.integers(2), draw.integers(2)
        size = draw.uniform(most, low=self.radius[0], high=self.radius[1])
        jitter = draw.uniform(most, 2, low=-1, high=1)
        shuffled = {g: np.argsort(draw.bits(g * g), axis=1) for g in (2, 3) if most > (g - 1) ** 2}
        centre = np.zeros((len(count), most, 2), dtype=np.float32)
        radius = np.zeros((len(count), most), dtype=np.float32)
        for n in range(1, most + 1):
            rows = np.flatnonzero(count == n)
            if not len(rows):
                continue
            grid = 1 if n == 1 else 2 if n <= 4 else 3
            half = 0.5 / grid
            radius[rows, :n] = half * size[rows, :n]
            slack = half - radius[rows, :n, None] * 1.1
            if n == 2:  # the middle line of the image, well apart along it, so that the relation is never in doubt
                first = (2 * side[rows, None] - 1) * np.array([-1, 1])
                along = np.arange(2) == axis[rows, None, None]
                middle = np.where(along, 0.5 - half * first[:, :, None], 0.5)
                slack *= 0.6
            elif n > 1:
                middle = np.stack(np.divmod(shuffled[grid][rows, :n], grid)[::-1], axis=-1) * (2 * half) + half
            else:
                middle = np.full((1, 1, 1), 0.5, dtype=np.float32)
            centre[rows, :n] = middle + slack * jitter[rows, :n]
        return centre, radius, axis, side


def gradients(draw: KeyedRandom, resolution: int) -> Array:
    """Linear gradients between two random muted colours in a random direction, (b, 3, h, w) in [-1, 1]."""
    ends = draw.uniform(2, 1, low=-0.7, high=0.7) + draw.uniform(2, 3, low=-0.22, high=0.22)
    angle = draw.uniform(low=0, high=2 * np.pi)
    x, y = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    step = (np.arange(resolution, dtype=np.float32) + 0.5) / resolution - 0.5
    along = (step * x + step[:, None] * y) / (abs(x) + abs(y)) + 0.5
    start, change = ends[:, 0, :, None, None], (ends[:, 1] - ends[:, 0])[:, :, None, None]
    return start + change * along[:, None]


def _coverage(shape: NDArray[np.int64], centre: Array, radius: Array, resolution: int) -> Array:
    """How much of each pixel a shape covers, (b, h, w) in [0, 1], from the signed distance to its edge."""
    step = (np.arange(resolution, dtype=np.float32) + 0.5) / resolution
    safe = np.maximum(radius, 1e-6)[:, None]  # absent objects have radius 0
    x = ((step - centre[:, :1]) / safe)[:, None, :]
    y = ((step - centre[:, 1:]) / safe)[:, :, None]
    distance = np.empty((len(shape), resolution, resolution), dtype=np.float32)
    for kind in range(len(SHAPES)):
        rows = np.flatnonzero(shape == kind)
        distance[rows] = _signed_distance(kind, x[rows], y[rows])
    distance *= -(radius * resolution)[:, None, None]
    distance += 0.5
    return np.clip(distance, 0, 1, out=distance)


def _signed_distance(kind: int, x: Array, y: Array) -> Array:
    """To the shape's edge, negative inside, in units of its radius; x is (b, 1, w) and y (b, h, 1), downwards."""
    distance: Array
    x = abs(x)
    match SHAPES[kind]:
        case "circle":
            distance = np.sqrt(x * x + y * y) - 1
        case "square":
            distance = np.maximum(x, abs(y)) - 0.9
        case "triangle":  # apex at (0, -1), base from (-1.1, 1) to (1.1, 1)
            distance = np.maximum((2 * x - 1.1 * (y + 1)) / math.hypot(2, 1.1), y - 1)
        case _:
            y = abs(y)
            distance = np.minimum(np.maximum(x - _ARM, y - 1), np.maximum(x - 1, y - _ARM))
    return distance


def _caption(labels: NDArray[np.int64], axis: int, side: int) -> str:
    names = [f"a {CLASSES[label]}" for label in labels]
    if len(names) == 2:
        return f"{names[0]} {_RELATIONS[axis][side]} {names[1]}"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
