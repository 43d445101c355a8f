"""The user's own pictures: a folder read recursively, with classes from sub-folders and captions from files beside them.

Every file is read once when the folder is opened, to know which can be decoded and what they contain; what was found is
kept in an index, if a place for it is given, and files whose size and time are unchanged are not read again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.data.batch import Batch, collate, sample_of
from core.data.captions import is_caption, read_lines, read_table
from core.data.keyed import KeyedRandom
from core.data.picture_files import EXTENSIONS, is_table, listed, records_of, text_of
from core.images import ImageError, crop_box, from_pil, image_size, open_sized, resize

_NAMES_SHOWN = 10


class ImageFolder:
    """Pictures below `path` as square images; sample i is file i of the sorted relative paths.

    path: searched recursively, links followed, hidden files and folders left out; types are `EXTENSIONS`. A picture's
        class is the first folder below `path` that it lies in, or `path` itself when it lies there. Its caption is in
        the text file of the same name (`cat.png`, `cat.txt` or `cat.caption`), or in a table (`core.data.captions`); of
        several one is drawn each epoch. Without any it is empty.
    resolution: height and width that the crop is resized to, antialiased, in pixels.
    crop: "center" takes the largest square; "random" a square of `scale` times that side, anywhere.
    scale: (least, most) side of a random crop, relative to the largest square.
    flip: mirror left and right with probability ½.
    index_file: a JSON file to keep what was found in, for a quick start next time.
    progress: called with (files read, files to read) while the folder is being read.

    Random crops and flips happen in training only, that is, where `get_batch` is given `random`; they are keyed by
    seed, epoch and sample.

    Attributes: `files` (relative paths), `classes` (names, sorted), `corrupt` (relative path → reason; these were left
    out), `captioned` (how many pictures have a caption), `remarks` (sentences on what was left out or has no effect).
    Raises FileNotFoundError for a missing folder, ImageError where no picture can be read.
    """

    def __init__(
        self,
        path: str | Path,
        resolution: int = 256,
        crop: Literal["center", "random"] = "center",
        scale: tuple[float, float] = (0.8, 1.0),
        flip: bool = False,
        index_file: str | Path | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise FileNotFoundError(f"{path}: there is no such folder of images.")
        if resolution < 1:
            raise ValueError(f"ImageFolder: resolution must be at least 1, not {resolution}.")
        if not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError(f"ImageFolder: scale must be a pair in order, over 0 and at most 1, not {scale}.")
        self.resolution, self.crop, self.scale, self.flip = resolution, crop, scale, flip
        listing = listed(self.path)
        found = records_of(listing.files, resolution, Path(index_file) if index_file else None, progress)
        self._records = {name: record for name, record in found.items() if record.problem is None}
        self.corrupt = {name: record.problem for name, record in found.items() if record.problem is not None}
        self.files = [name for name in self._records if not is_caption(name)]
        self.remarks: list[str] = []
        if self.corrupt:
            self._remark("left out as unreadable", [f"{name} ({reason})" for name, reason in self.corrupt.items()])
        if listing.closed:
            self._remark("folders that may not be opened", listing.closed)
        if listing.unread:
            kinds = [f"{number} {suffix}" for suffix, number in sorted(listing.unread.items())]
            self._remark("pictures of types that are not read", kinds)
        if not self.files:
            because = "; ".join(self.remarks)
            raise ImageError(
                f"{path}: no images ({', '.join(EXTENSIONS)}) in it or its sub-folders{'; ' if because else ''}{because}."
            )
        self._tables = self._read_tables()
        self.captioned = sum(self._has_caption(name) for name in self.files)
        folders = [name.split("/")[0] if "/" in name else self.path.resolve().name for name in self.files]
        self.classes = tuple(sorted(set(folders)))
        number = {name: i for i, name in enumerate(self.classes)}
        self._labels = [number[folder] for folder in folders]

    @property
    def num_classes(self) -> int:
        """How many different sub-folders hold pictures."""
        return len(self.classes)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return sample_of(self.get_batch([i]))

    def get_batch(self, indices: Sequence[int] | NDArray[np.int64], random: KeyedRandom | None = None) -> Batch:
        """Decode the pictures at `indices`: `images` (b, 3, resolution, resolution), `labels` (b,), `captions`.

        Raises ImageError, with the file's name, where one has become unreadable since the folder was opened.
        """
        draws = [None] * len(indices) if random is None else random.uniform(5)
        return collate([self._sample(int(i), draw) for i, draw in zip(indices, draws, strict=True)])

    def _sample(self, i: int, draw: NDArray[np.float32] | None) -> dict[str, Any]:
        """One picture. draw: numbers in [0, 1) for the crop's size, x and y, the flip and the caption."""
        least, most = self.scale
        record = self.record(i, at_least=int(2 * self.resolution / least))
        image: Image.Image = record["image"]
        captions: list[str] = record["caption"]
        box, flip, line = crop_box(*image.size, 1.0), False, 0.0
        if draw is not None:
            size, x, y, coin, line = map(float, draw)
            flip = self.flip and coin < 0.5
            if self.crop == "random":
                box = crop_box(*image.size, 1.0, least + (most - least) * size, x, y)
        image = resize(image, self.resolution, self.resolution, box)
        if flip:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        caption = captions[int(line * len(captions))] if captions else ""
        return {"image": from_pil(image), "label": record["label"], "caption": caption}

    @property
    def pictures(self) -> ImageFolder:
        """The pictures as they lie in their files: itself, for buckets and other frames (`core.data.pictures`)."""
        return self

    def name(self, i: int) -> str:
        """The picture's path below the folder."""
        return self.files[i]

    def size(self, i: int) -> tuple[int, int]:
        """Width and height of picture i, upright, from its header."""
        return image_size(self.path / self.files[i])

    def record(self, i: int, at_least: int | None = None) -> dict[str, Any]:
        """Picture i whole, with its size, label and captions; see `core.data.pictures.Pictures`."""
        file = self.path / self.files[i]
        image, size = open_sized(file, at_least)
        return {"image": image, "size": size, "label": self._labels[i], "caption": self._captions(self.files[i])}

    def column(self, name: str) -> list[int] | None:
        """The labels of all pictures; nothing else is known without reading."""
        return list(self._labels) if name == "label" else None

    def summary(self) -> str:
        """How many pictures, classes and captions there are: "40 pictures in 2 classes, 38 with a caption"."""
        classes = f"{self.num_classes} class{'' if self.num_classes == 1 else 'es'}"
        pictures = f"{len(self)} picture{'' if len(self) == 1 else 's'}"
        return f"{pictures} in {classes}, {self.captioned or 'none'} with a caption"

    def _remark(self, what: str, which: Sequence[str]) -> None:
        more = f" and {len(which) - _NAMES_SHOWN} more" if len(which) > _NAMES_SHOWN else ""
        self.remarks.append(f"{what}: {', '.join(which[:_NAMES_SHOWN])}{more}")

    def _has_caption(self, name: str) -> bool:
        text = text_of(name, self._records)
        return (text is not None and self._records[text].state[2] > 0) or name in self._tables

    def _captions(self, name: str) -> list[str]:
        """A picture's captions; those of its own text file go before a table's."""
        text = text_of(name, self._records)
        return (read_lines(self.path / text) if text is not None else []) or self._tables.get(name, [])

    def _read_tables(self) -> dict[str, list[str]]:
        """Captions by picture from all tables, a nearer table's before those of one further out."""
        found: dict[str, list[str]] = {}
        pictures, strays = set(self.files), list[str]()
        for table in sorted(filter(is_table, self._records), key=lambda name: -name.count("/")):
            folder = PurePosixPath(table).parent
            for name, captions in read_table(self.path / table).items():
                if (picture := str(folder / name)) in pictures:
                    found.setdefault(picture, captions)
                else:
                    strays.append(picture)
        if strays:
            self._remark("captions of pictures that are not there", strays)
        return found

    def fingerprint(self) -> str:
        """A hash of the data itself: relative paths, sizes and contents of all readable pictures and captions."""
        digest = hashlib.blake2b(digest_size=16)
        for name, record in self._records.items():
            digest.update(json.dumps([name, record.digest]).encode())
        return digest.hexdigest()
