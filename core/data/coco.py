"""COCO's annotations of objects: one JSON for a folder of images, with boxes and categories (Lin et al. 2014; cocodataset.org)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.data.rows import corners
from core.data.tables import placed
from core.images import image_size, open_sized


class CocoObjects:
    """The images of an `instances_*.json`, with the boxes and classes of their objects.

    annotations: the JSON. images: the folder that its file names start from.
    min_area: objects smaller than this share of the image are left out; so are crowds.
    max_objects: images with more objects, or with none, are left out; 0 keeps all.

    Classes are the categories, numbered from 0 in the order of their ids. Captions are those of the images' `captions`, where the
    JSON has any (`captions_*.json` has them in its annotations; a JSON may hold both).
    Raises ValueError naming the file, and the image or annotation, where something is missing; FileNotFoundError for an image.
    """

    def __init__(
        self, annotations: str | Path, images: str | Path, min_area: float = 0.0, max_objects: int = 0
    ) -> None:
        self.annotations, self.images = Path(annotations), Path(images)
        document = _read(self.annotations)
        try:
            categories = sorted(document["categories"], key=lambda category: category["id"])
            self.classes = tuple(str(category["name"]) for category in categories)
            entries = sorted(document["images"], key=lambda image: image["id"])
            number = {category["id"]: i for i, category in enumerate(categories)}
            boxes, captions = defaultdict[Any, list[Any]](list), defaultdict[Any, list[str]](list)
            for entry in document["annotations"]:
                if "caption" in entry:
                    captions[entry["image_id"]].append(str(entry["caption"]).strip())
                if "bbox" in entry and not entry.get("iscrowd", 0):
                    boxes[entry["image_id"]].append((number[entry["category_id"]], entry["bbox"]))
            self._items = [_Item(entry, boxes[entry["id"]], captions[entry["id"]], min_area) for entry in entries]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"there is no {error}" if isinstance(error, KeyError) else error
            raise ValueError(
                f"{self.annotations}: not COCO's instances ({reason}); it needs images, annotations and categories"
            ) from error
        if max_objects:
            self._items = [item for item in self._items if 0 < len(item.labels) <= max_objects]
        if not self._items:
            raise ValueError(f"{self.annotations}: no image of it has 1 to {max_objects} objects")
        for item in self._items:
            if not self._file(item).is_file():
                raise FileNotFoundError(f"{self.annotations}, image {item.id}: there is no file {self._file(item)}")
        self._captioned = any(item.captions for item in self._items)

    def __len__(self) -> int:
        return len(self._items)

    def name(self, i: int) -> str:
        """The image's file name."""
        return self._items[i].file

    def size(self, i: int) -> tuple[int, int]:
        """Width and height of image i, upright, from its header."""
        return image_size(self._file(self._items[i]))

    def record(self, i: int, at_least: int | None = None) -> dict[str, Any]:
        """Image i with its objects; see `core.data.pictures.Pictures`."""
        item = self._items[i]
        image, size = open_sized(self._file(item), at_least)
        record = {"image": image, "size": size, "boxes": corners(item.boxes, item.size), "box_labels": item.labels}
        return record | ({"caption": item.captions} if self._captioned else {})

    def column(self, name: str) -> Sequence[Any] | None:
        """Nothing but the objects is known, and they are several."""

    def _file(self, item: _Item) -> Path:
        return placed(self.images / "_", item.file)


class _Item:
    """An image of the JSON: its file, size and objects."""

    def __init__(self, entry: dict[str, Any], boxes: list[Any], captions: list[str], min_area: float) -> None:
        self.id, self.file = entry["id"], str(entry["file_name"])
        self.size = int(entry["width"]), int(entry["height"])
        if min(self.size) < 1:
            raise ValueError(f"image {self.id}: its size is {self.size[0]} × {self.size[1]}")
        self.captions = [caption for caption in captions if caption]
        least = min_area * self.size[0] * self.size[1]
        try:
            kept = [(label, box) for label, box in boxes if box[2] * box[3] > 0 and box[2] * box[3] >= least]
            self.labels = np.array([label for label, _ in kept], dtype=np.int64)
            self.boxes = np.array([box for _, box in kept], dtype=np.float32).reshape(-1, 4)
        except (TypeError, ValueError, IndexError) as error:
            raise ValueError(f"image {self.id}: a box is no x, y, width, height") from error


def _read(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: not JSON ({error})") from error
    if not isinstance(document, dict):
        raise ValueError(f"{file}: not COCO's instances; it needs images, annotations and categories")
    return document
