"""From a row of a table (a line of JSON, a record of Parquet, the files of one key in a tar) to what is known of a picture.

Which column is what follows from its name; those of data sets that people share are known. What is none of them is passed on as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from core.data.batch import SINGULAR
from core.data.captions import CAPTION_COLUMNS, FILE_COLUMNS
from core.images import open_map, open_mask, open_sized

COLUMNS: dict[str, tuple[str, ...]] = {
    "image": (*FILE_COLUMNS, "img", "jpg", "jpeg", "png", "webp"),
    "caption": (*CAPTION_COLUMNS, "txt", "captions", "sentences"),
    "label": ("label", "cls", "class", "fine_label"),
    "mask": ("mask", "mask.png", "mask_file"),
    "segmentation": ("segmentation", "seg", "seg.png", "segmentation.png", "annotation", "segmentation_file"),
    "objects": ("objects",),
    "weight": ("weight",),
}
"""What a column may be called, by what it is, the likeliest name first."""

Content = Callable[[Any], bytes | str]
"""What a cell names as a picture: its bytes, or the path of its file. It raises ValueError for what may not be read."""


@dataclass(frozen=True)
class Columns:
    """Which column of a table is what, found once.

    names: columns by what they are (`COLUMNS`). classes: names of the labels, where labels are numbers or these names.
    """

    names: Mapping[str, str]
    classes: tuple[str, ...] = ()
    _numbers: Mapping[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_numbers", {name: i for i, name in enumerate(self.classes)})

    @classmethod
    def find(cls, columns: Sequence[str], where: str, chosen: Mapping[str, str] | None = None) -> Columns:
        """What each of a table's columns is. chosen: columns by what they are, where the usual names are not theirs; "" for those.

        Raises ValueError, naming the table and its columns, where one that was chosen, or any for the picture, is missing.
        """
        known = {name.strip().lower(): name for name in reversed(columns)}
        names: dict[str, str] = {}
        for what, usual in COLUMNS.items():
            wanted = (chosen or {}).get(what, "")
            if wanted and wanted not in columns:
                raise ValueError(f"{where}: there is no column {wanted!r}; there are {', '.join(columns)}")
            found = wanted or next((known[name] for name in usual if name in known), "")
            if found:
                names[what] = found
        if "image" not in names:
            raise ValueError(
                f"{where}: no column for the picture ({', '.join(COLUMNS['image'])}); it has {', '.join(columns) or 'none'}"
            )
        return cls(names)

    def with_classes(self, labels: Sequence[Any]) -> Columns:
        """Knowing all labels: where they are words, these are the classes, in their alphabetical order."""
        words = {str(label).strip() for label in labels if label is not None} - {""}
        if self.classes or all(word.isdecimal() for word in words):
            return self
        return Columns(self.names, tuple(sorted(words)))

    def label(self, value: Any, where: str) -> int:
        """A label as a class number. Raises ValueError for what is neither a number from 0 on nor the name of a class."""
        text = str(value).strip()
        if text in self._numbers:
            return self._numbers[text]
        number = int(text) if text.isdecimal() else -1
        if number < 0 or (self.classes and number >= len(self.classes)):
            raise ValueError(
                f"{where}: its label {value!r} is no class number from 0 on, nor one of the classes' names"
            )
        return number

    def record(
        self, row: Mapping[str, Any], where: str, content: Content, at_least: int | None = None
    ) -> dict[str, Any]:
        """The record of a row; see `core.data.pictures.Pictures`. Raises ValueError that begins with `where`."""
        names = self.names
        try:
            image, size = open_sized(content(row[names["image"]]), at_least, where)
            record: dict[str, Any] = {"image": image, "size": size}
            if "mask" in names:
                record["mask"] = open_mask(content(row[names["mask"]]), f"{where}, {names['mask']}")
            if "segmentation" in names:
                named = f"{where}, {names['segmentation']}"
                record["segmentation"] = open_map(content(row[names["segmentation"]]), named)
        except ValueError as error:
            raise error if str(error).startswith(where) else ValueError(f"{where}: {error}") from error
        if "caption" in names:
            record["caption"] = texts(row[names["caption"]])
        if "label" in names:
            record["label"] = self.label(row[names["label"]], where)
        if "objects" in names:
            record |= objects(row[names["objects"]], size, where)
        if "weight" in names:
            record["weight"] = row[names["weight"]]
        known = {*names.values(), *record, *SINGULAR}  # a batch's own names are no free ones
        return record | {name: value for name, value in row.items() if name not in known and not _is_content(value)}


def texts(value: Any) -> list[str]:
    """The captions in a cell: one, a list of them, or none."""
    values = value if isinstance(value, list | tuple) else [value]
    return [str(each).strip() for each in values if each is not None and str(each).strip()]


def objects(value: Any, size: tuple[int, int], where: str) -> dict[str, Any]:
    """Boxes and their classes in the form of Hugging Face's image folders: {"bbox": [[x, y, w, h], …], "categories": […]}.

    size: width and height of the picture, whose pixels the boxes count. Raises ValueError where they are not so.
    """
    try:
        if isinstance(value, list):  # an object an entry, as newer versions of datasets give them
            value = {
                name: [each[name] for each in value] for name in (value[0] if value else {"bbox": 0, "category": 0})
            }
        boxes = np.array(value["bbox"], dtype=np.float32).reshape(-1, 4)
        names = next(name for name in ("categories", "category", "label", "labels") if name in value)
        labels = np.array(value[names], dtype=np.int64)
        if not (boxes[:, 2:] > 0).all():
            raise ValueError("a box without an area")
    except (KeyError, TypeError, ValueError, StopIteration) as error:
        raise ValueError(
            f'{where}: its objects are not {{"bbox": [[x, y, width, height], …], "categories": [number, …]}}'
        ) from error
    if len(boxes) != len(labels):
        raise ValueError(f"{where}: its objects have {len(boxes)} boxes and {len(labels)} categories")
    return {"boxes": corners(boxes, size), "box_labels": labels}


def _is_content(value: Any) -> bool:
    """Whether a cell holds a file: pictures besides the one that is shown are left in their rows."""
    return isinstance(value, bytes) or (isinstance(value, Mapping) and isinstance(value.get("bytes"), bytes))


def corners(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Boxes (n, 4) as x, y, width, height in pixels to x0, y0, x1, y1 in [0, 1]; what lies outside of the picture is cut."""
    ends = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    scaled: np.ndarray = (ends / np.array([*size, *size], dtype=np.float32)).clip(0, 1)
    return scaled
