"""Layouts, labelled boxes, as token sequences.

Source: Rombach et al. 2022, sec. 4.3.1 and appendix E.2.1, and CompVis taming-transformers
taming/data/conditional_builder/objects_bbox.py, whose order (class, top-left, bottom-right) the published model has
learned; the paper prints (l, b, c).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from core.numbers import holds_numbers


@dataclass(frozen=True)
class LayoutTokenizer:
    """The objects of each image to a row of `length` ids: three an object, then two for the crop.

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
        crop: Tensor | None = None,
        order: Tensor | None = None,
    ) -> Tensor:
        """(b, length) int64 ids, on the CPU.

        labels: (b, n) class indices, -1 where an image has fewer than n objects. boxes: (b, n, 4) as x0, y0, x1, y1
        in [0, 1] of the image, y downwards; what lies outside is clamped. crop: (b, 4), the part of the original
        picture that the image shows, in the same form; the whole where it is None.
        order: (b, n) in [0, 1), by which the objects are sorted: random numbers shuffle them, as in training. Without it
        their order is kept.
        Raises ValueError for shapes that do not match and for classes beyond the vocabulary.
        """
        if boxes.shape != (*labels.shape, 4) or labels.ndim != 2:
            raise ValueError(
                f"Layouts are labels (b, n) with boxes (b, n, 4); got {tuple(labels.shape)} and {tuple(boxes.shape)}."
            )
        if labels.numel() and holds_numbers(labels) and int(labels.max()) >= self.pad_id:
            raise ValueError(f"Layout classes must lie in 0…{self.pad_id - 1}; got {int(labels.max())}.")
        labels, boxes = labels.cpu().long(), boxes.cpu()
        places = torch.zeros(labels.shape) if order is None else order.cpu()
        order = (places + (labels < 0)).argsort(dim=1, stable=True)[:, : self.max_objects]  # padding goes last
        labels, boxes = labels.gather(1, order), boxes.take_along_dim(order[..., None], dim=1)
        triples = torch.cat(
            [labels[..., None], self._positions(rearrange(boxes, "b n (corner xy) -> b n corner xy", xy=2))], dim=-1
        )
        triples = triples.masked_fill(labels[..., None] < 0, self.pad_id)
        ids = F.pad(
            rearrange(triples, "b n id -> b (n id)"), (0, 3 * (self.max_objects - order.shape[1])), value=self.pad_id
        )
        if not self.with_crop:
            return ids
        corners = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(len(ids), 4) if crop is None else crop.cpu()
        return torch.cat([ids, self._positions(rearrange(corners, "b (corner xy) -> b corner xy", xy=2))], dim=1)

    def null(self) -> Tensor:
        """(1, length) ids of an image without objects, its whole shown: the null condition."""
        return self(torch.zeros(1, 0, dtype=torch.int64), torch.zeros(1, 0, 4))

    def objects(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Labels (n,) and boxes (n, 4), to the grid's precision, of one (length,) row: for drawing it."""
        triples = rearrange(ids[: 3 * self.max_objects], "(n id) -> n id", id=3)
        triples = triples[triples[:, 0] != self.pad_id]
        cells = torch.stack([triples[:, 1:] % self.sections, triples[:, 1:] // self.sections], dim=-1)
        return triples[:, 0], rearrange(cells, "n corner xy -> n (corner xy)") / (self.sections - 1)

    def _positions(self, points: Tensor) -> Tensor:
        """(…, 2) x, y in [0, 1] to (…) ids. torch.round takes halves to even, as the original's Python does."""
        cells = torch.round(points.double().clamp(0, 1) * (self.sections - 1)).long()
        return cells[..., 1] * self.sections + cells[..., 0]
