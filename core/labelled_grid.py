"""Images in rows and columns by their labels: what a sweep over two parameters gives, on one picture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from core.images import from_pil, grid
from core.lettering import strips

_GAP = 4  # pixels around each cell
_SMALLEST = (
    96  # pixels across; smaller cells are enlarged, so that a label has room above; and what labels of rows take
)


def labelled_grid(
    images: Sequence[Tensor], columns: Sequence[str], rows: Sequence[str] | None = None, zoom: int | None = None
) -> Tensor:
    """Tile images (b, 3, h, w), each batch a cell, into one (3, H, W) on white, by the column and the row that each is labelled with.

    columns, rows: a label for each cell; columns and rows stand in the order in which their labels first come. A place that no
    image has stays white. Without rows, cells stand one after the other, about square, each with its label beneath.
    zoom: enlarge each pixel so many times; None enlarges only cells too small for their labels.
    Raises ValueError, naming the labels, for two cells in one place, and for labels or sizes that do not fit the images.
    """
    down = [""] * len(images) if rows is None else rows
    if not images or {len(images)} != {len(down), len(columns)}:
        told = f"{len(images)} cells, {len(columns)} labels of columns" + (f" and {len(down)} of rows" if rows else "")
        raise ValueError(f"{told}; give one label for each cell")
    if len({tuple(batch.shape) for batch in images}) > 1:
        raise ValueError("the cells differ in size, or in how many images they hold; wire batches of one shape")
    cells = [grid(batch, padding=0) for batch in images]
    if rows is None:
        return grid(torch.stack(cells), captions=columns, zoom=zoom)
    up, across = list(dict.fromkeys(rows)), list(dict.fromkeys(columns))
    places = [(up.index(row), across.index(column)) for row, column in zip(rows, columns, strict=True)]
    if len(set(places)) < len(places):
        row, column = next(place for place in places if places.count(place) > 1)
        raise ValueError(
            f"two cells are labelled {up[row]!r} and {across[column]!r}; label them apart, by a third parameter too"
        )
    zoom = zoom or -(-_SMALLEST // cells[0].shape[2])
    cells = [F.interpolate(cell[None], scale_factor=zoom, mode="nearest")[0] for cell in cells]
    height, width = cells[0].shape[1:]
    heads = _lettered(across, width)
    sides = _lettered(up, _SMALLEST)
    left, top = sides.shape[3], heads.shape[2]
    sheet = torch.ones(3, top + len(up) * (height + _GAP) + _GAP, left + len(across) * (width + _GAP) + _GAP)
    for i, head in enumerate(heads):
        x = left + _GAP + i * (width + _GAP)
        sheet[:, :top, x : x + width] = head
    for i, side in enumerate(sides):
        middle = top + _GAP + i * (height + _GAP) + height // 2
        room = min(side.shape[1], height)
        sheet[:, middle - room // 2 : middle - room // 2 + room, :left] = side[:, :room]
    for (row, column), cell in zip(places, cells, strict=True):
        y, x = top + _GAP + row * (height + _GAP), left + _GAP + column * (width + _GAP)
        sheet[:, y : y + height, x : x + width] = cell
    return sheet


def _lettered(labels: Sequence[str], width: int) -> Tensor:
    """Labels as pictures (n, 3, h, width); of no height and width where all are empty."""
    if not any(labels):
        return torch.ones(len(labels), 3, 0, 0)
    return torch.stack([from_pil(strip) for strip in strips(labels, width)])
