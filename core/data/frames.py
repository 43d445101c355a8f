"""How a picture, with all that belongs to its pixels, is brought to a size: which part is shown, and what is said of that.

The part is chosen in fractions of the upright picture, so that a picture decoded smaller than stored, its mask and its semantic map
of other sizes, and its boxes all get the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from core.images import Box, Fit, crop_box, from_pil, resize

VISIBLE = 0.1
"""Objects of which the part shown holds less than this share of their box are left out."""

DRAWS = 5
"""Numbers that a sample's augmentation takes: a crop's size, x and y, the flip, and which of several captions."""


@dataclass(frozen=True)
class Frame:
    """A size, and how pictures meet it.

    height, width: in pixels; 0 for the picture's own.
    fit: "crop" cuts off what sticks out, "pad" shows all, with black bars, "stretch" distorts.
    random_crop: the part shown lies anywhere, anew each time; otherwise in the middle.
    scale: (least, most) side of a random crop, relative to the largest that fits.
    flip: mirror left and right with probability ½.

    Raises ValueError for sizes and scales that mean nothing.
    """

    height: int = 0
    width: int = 0
    fit: Fit = "crop"
    random_crop: bool = False
    scale: tuple[float, float] = (1.0, 1.0)
    flip: bool = False

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 0 or bool(self.height) != bool(self.width):
            raise ValueError(f"A frame needs a height and a width, not {self.height} × {self.width}.")
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"A frame's scale must be a pair in order, over 0 and at most 1, not {self.scale}.")

    @property
    def at_least(self) -> int | None:
        """The shorter side below which a picture need not be decoded; None for its own size."""
        return int(2 * max(self.height, self.width) / self.scale[0]) or None

    def sample(self, record: dict[str, Any], draw: NDArray[np.float32] | None) -> dict[str, Any]:
        """A source's record as a sample of this size.

        record: see `core.data.pictures.Pictures`. draw: `DRAWS` numbers in [0, 1), or None for no augmentation.

        The sample has the record's fields: `image` (3, h, w) in [-1, 1], `mask` (1, h, w) in {0, 1}, `segmentation` (h, w),
        `boxes` (n, 4) and `box_labels` (n,) of what is still shown, `caption`, all others as they are. Besides it has what
        SDXL's denoiser is told (Podell et al. 2023, section 2.2), all as height and width in pixels: `original_size` (2,),
        `target_size` (2,), and `crop_top_left` (2,), from the resized picture's upper left corner as it is shown.
        """
        size, x, y, coin, line = (1.0, 0.5, 0.5, 1.0, 0.0) if draw is None else map(float, draw)
        mirrored = self.flip and coin < 0.5
        own_width, own_height = record["size"]
        height, width = self.height or own_height, self.width or own_width
        if self.fit == "crop":
            least, most = self.scale
            share, x, y = (
                (least + (most - least) * size, x, y) if self.random_crop and draw is not None else (1.0, 0.5, 0.5)
            )
            box = crop_box(own_width, own_height, width / height, share, x, y)
        else:
            box = (0.0, 0.0, float(own_width), float(own_height))
        place = _Place(
            self.fit, height, width, _fractions(box, own_width, own_height), own_width / own_height, mirrored
        )
        left = own_width - box[2] if mirrored else box[0]
        corner = [box[1] * height / (box[3] - box[1]), left * width / (box[2] - box[0])]
        told = {
            "original_size": torch.tensor([own_height, own_width]),
            "crop_top_left": torch.tensor(corner if self.fit == "crop" else [0.0, 0.0]).round().long(),
            "target_size": torch.tensor([height, width]),
        }
        return {**_placed(record, place, line), **told}


@dataclass(frozen=True)
class _Place:
    """Where the part of a picture goes: `box` in fractions of the picture, whose aspect is width / height."""

    fit: Fit
    height: int
    width: int
    box: Box
    aspect: float
    mirrored: bool

    @property
    def inner(self) -> tuple[int, int, int, int]:
        """Left, upper, width and height, in pixels, of what the part fills; all of the frame but where bars are."""
        if self.fit != "pad":
            return 0, 0, self.width, self.height
        width = max(1, min(self.width, round(self.height * self.aspect)))
        height = max(1, min(self.height, round(self.width / self.aspect)))
        return (self.width - width) // 2, (self.height - height) // 2, width, height

    def picture(self, image: Image.Image) -> Image.Image:
        left, upper, width, height = self.inner
        box = (0.0, 0.0, float(image.width), float(image.height))
        if self.box != (0.0, 0.0, 1.0, 1.0):
            box = tuple(part * side for part, side in zip(self.box, 2 * image.size, strict=True))  # type: ignore[assignment]
        shown = (
            image if (*image.size, box) == (width, height, (0, 0, width, height)) else resize(image, height, width, box)
        )
        if self.mirrored:
            shown = shown.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if (width, height) == (self.width, self.height):
            return shown
        canvas = Image.new(shown.mode, (self.width, self.height))
        canvas.paste(shown, (left, upper))
        return canvas

    def classes(self, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of each pixel shown the class of the nearest; 0 where bars are."""
        left, upper, width, height = self.inner
        rows, columns = (
            np.floor((low + (np.arange(count) + 0.5) / count * (high - low)) * side).astype(np.int64).clip(0, side - 1)
            for low, high, count, side in (
                (self.box[1], self.box[3], height, pixels.shape[0]),
                (self.box[0], self.box[2], width, pixels.shape[1]),
            )
        )
        shown = np.zeros((self.height, self.width), dtype=np.int64)
        shown[upper : upper + height, left : left + width] = pixels[
            np.ix_(rows, columns[::-1] if self.mirrored else columns)
        ]
        return shown

    def boxes(self, boxes: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Boxes in [0, 1] of the frame, and which of them are still shown."""
        left, upper, width, height = self.inner
        low, high = np.array(self.box[:2]), np.array(self.box[2:])
        corners = (boxes.reshape(-1, 2, 2).astype(np.float64) - low) / (high - low)
        shown = corners.clip(0, 1)
        if self.mirrored:
            shown[..., 0] = 1 - shown[:, ::-1, 0]
        whole = np.prod(corners[:, 1] - corners[:, 0], axis=1)
        kept = np.prod(shown[:, 1] - shown[:, 0], axis=1) >= np.maximum(VISIBLE * whole, 1e-12)
        shown = (shown * [width, height] + [left, upper]) / [self.width, self.height]
        return shown.reshape(-1, 4).astype(np.float32), kept


def _fractions(box: Box, width: int, height: int) -> Box:
    return box[0] / width, box[1] / height, box[2] / width, box[3] / height


def _placed(record: dict[str, Any], place: _Place, line: float) -> dict[str, Any]:
    """The record's fields, those that have a place in the picture brought to the frame."""
    sample: dict[str, Any] = {}
    for name, value in record.items():
        if name == "image":
            sample[name] = from_pil(place.picture(value))
        elif name == "mask":
            sample[name] = torch.from_numpy((np.asarray(place.picture(value)) >= 128).astype(np.float32))[None]
        elif name == "segmentation":
            sample[name] = torch.from_numpy(place.classes(value))
        elif name == "boxes":
            boxes, kept = place.boxes(value)
            sample |= {"boxes": boxes[kept], "box_labels": record["box_labels"][kept]}
        elif name == "caption":
            sample[name] = value[int(line * len(value))] if value else ""
        elif name not in ("size", "box_labels"):
            sample[name] = value
    return sample
