"""Pictures of one thing that `core.data.shapes` does not draw: a target of three rings, to teach a model that knows shapes.

What personalisation needs is a handful of pictures of one subject (Ruiz et al. 2023 take three to five). Here a few are made, on backgrounds
like those of the shapes, and each is a pure function of its number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.data.batch import Batch, sample_of
from core.data.keyed import KeyedRandom
from core.data.shapes import gradients

RINGS = ((1.0, (1.0, 0.45, 0.05)), (0.68, (1.0, 1.0, 1.0)), (0.36, (0.05, 0.05, 0.12)))
"""Each ring's outer edge, in units of the radius, and its colour: orange, white, nearly black."""


class Subject:
    """`size` pictures of the target, (b, 3, h, w) in [-1, 1] under `images`; image i is a pure function of (seed, i).

    resolution: height and width in pixels. Raises ValueError for one below 8, and for no picture.
    """

    classes = ("target",)

    def __init__(self, resolution: int = 32, size: int = 6, seed: int = 0) -> None:
        if resolution < 8 or size < 1:
            raise ValueError(
                f"a subject takes pictures of at least 8 pixels, and at least 1; not {resolution} and {size}"
            )
        self.resolution, self.size, self.seed = resolution, size, seed

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, i: int) -> dict[str, Any]:
        return sample_of(self.get_batch([i]))

    def get_batch(self, indices: Sequence[int] | NDArray[np.int64], random: KeyedRandom | None = None) -> Batch:  # noqa: ARG002
        """The pictures at `indices`; `random`, the loader's augmentation, changes nothing here."""
        index = np.asarray(indices, dtype=np.int64)
        if index.size and not 0 <= index.min() <= index.max() < self.size:
            raise IndexError(f"there are pictures 0 to {self.size - 1}; asked for {index.min()} to {index.max()}")
        draw = KeyedRandom("subject", self.seed, index)
        image = gradients(draw, self.resolution)
        radius = draw.uniform(1, 1, low=0.28, high=0.4)
        centre = 0.5 + draw.uniform(2, low=-1, high=1)[:, :, None, None] * (0.45 - radius[:, None]) * 0.8
        step = (np.arange(self.resolution, dtype=np.float32) + 0.5) / self.resolution
        away = np.hypot(step[None, None, :] - centre[:, 0], step[None, :, None] - centre[:, 1])
        for edge, colour in RINGS:
            alpha = np.clip((edge * radius - away) * self.resolution + 0.5, 0, 1)[:, None]
            image += alpha * ((np.array(colour, dtype=np.float32) * 2 - 1)[:, None, None] - image)
        labels = torch.zeros(len(index), dtype=torch.int64)
        return {
            "images": torch.from_numpy(image.clip(-1, 1).astype(np.float32)),
            "labels": labels,
            "captions": ["a target"] * len(index),
        }
