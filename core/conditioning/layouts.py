"""Layouts, labelled boxes, as token sequences.

Source: Rombach et al. 2022, sec. 4.3.1 and appendix E.2.1, and CompVis taming-transformers
taming/data/conditional_builder/objects_bbox.py, whose order (class, top-left, bottom-right) the published model has
learned; the paper prints (l, b, c).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

FULL_CROP = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class LayoutTokenizer:
    """Objects of an image to a row of `length` ids, three an object, then two for the crop.

    Classes and positions share one vocabulary: a position is a cell of a √n_tokens × √n_tokens grid, row by row.
    The defaults are layout2img-openimages256's: 90 × 90 cells, 30 objects, 92 ids.

    n_tokens: vocabulary size; the last id pads.
    max_objects: objects beyond it are left out.
    with_crop: end with the two corners of the crop that the image shows.
    """

    n_tokens: int = 8192
    max_objects: int = 30
    with_crop: bool = True

    @property
    def length(self) -> int:
        """Ids in a row."""
        return 3 * self.max_objects + 2 * self.with_crop

    @property
    def pad_id(self) -> int:
        """The id that stands for no object."""
        return self.n_tokens - 1

    @property
    def sections(self) -> int:
        """Cells along each side of the grid of positions."""
        return math.isqrt(self.n_tokens)

    def __call__(
        self,
        labels: Tensor,
        boxes: Tensor,
        crop: tuple[float, float, float, float] = FULL_CROP,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """(length,) int64 ids of one image's objects.

        labels: (n,) class indices. boxes: (n, 4) as x0, y0, x1, y1 in [0, 1] of the image, y downwards; what lies
        outside is clamped. crop: the part of the original picture that the image shows, in the same form.
        generator: shuffles the objects, as in training; without it their order is kept.
        Raises ValueError for shapes that do not match and for classes beyond the vocabulary.
        """
        if boxes.shape != (len(labels), 4):
            raise ValueError(f"{len(labels)} labels need boxes of shape ({len(labels)}, 4), not {tuple(boxes.shape)}.")
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < self.pad_id:
            raise ValueError(f"Layout classes must lie in 0…{self.pad_id - 1}; got {labels.tolist()}.")
        order = torch.arange(len(labels)) if generator is None else torch.randperm(len(labels), generator=generator)
        order = order[: self.max_objects]
        labels, corners = labels.cpu()[order], boxes.cpu()[order].reshape(-1, 2, 2)
        ids = torch.full((self.length,), self.pad_id, dtype=torch.int64)
        ids[: 3 * len(order)] = torch.cat([labels[:, None].long(), self._positions(corners)], dim=1).flatten()
        if self.with_crop:
            ids[-2:] = self._positions(torch.tensor(crop).reshape(2, 2))
        return ids

    def null(self) -> Tensor:
        """(length,) ids of an image without objects, its whole shown: the null condition."""
        return self(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4))

    def objects(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Labels (n,) and boxes (n, 4) of a (length,) row, to the grid's precision: for drawing it."""
        triples = tokens[: 3 * self.max_objects].reshape(-1, 3)
        triples = triples[triples[:, 0] != self.pad_id]
        cells = torch.stack([triples[:, 1:] % self.sections, triples[:, 1:] // self.sections], dim=-1)
        return triples[:, 0], cells.flatten(1) / (self.sections - 1)

    def _positions(self, points: Tensor) -> Tensor:
        """(…, 2) x, y in [0, 1] to (…) ids. torch.round takes halves to even, as the original's Python does."""
        cells = torch.round(points.double().clamp(0, 1) * (self.sections - 1)).long()
        return cells[..., 1] * self.sections + cells[..., 0]
