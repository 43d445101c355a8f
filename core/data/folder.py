"""The user's own pictures: a folder read recursively, with classes from sub-folders and captions from text files.

Every file is read once when the folder is opened, to know which can be decoded and what they contain; what was found is
kept in an index, if a place for it is given, and files whose size and time are unchanged are not read again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.data.batch import Batch, collate, sample_of
from core.data.keyed import KeyedRandom
from core.files import atomic_file
from core.images import ImageError, crop_box, from_pil, open_image, resize

EXTENSIONS = (".bmp", ".jpeg", ".jpg", ".png", ".webp")

_log = logging.getLogger(__name__)
_NAMES_SHOWN = 10


@dataclass(frozen=True)
class _Record:
    """What is known of a file while its size and time of change stay the same."""

    size: int
    mtime_ns: int
    digest: str
    problem: str | None = None


class ImageFolder:
    """Pictures below `path` as square images; sample i is file i of the sorted relative paths.

    path: searched recursively, links followed, hidden files and folders left out; .png, .jpg, .jpeg, .webp, .bmp.
        A picture's class is the first folder below `path` that it lies in, or `path` itself when it lies there. Its
        caption is the text file of the same name (`cat.png`, `cat.txt`); of several lines one is drawn each epoch.
        Without such a file the caption is empty.
    resolution: height and width that the crop is resized to, antialiased, in pixels.
    crop: "center" takes the largest square; "random" a square of `scale` times that side, anywhere.
    scale: (least, most) side of a random crop, relative to the largest square.
    flip: mirror left and right with probability ½.
    index_file: a JSON file to keep what was found in, for a quick start next time.
    progress: called with (files read, files to read) while the folder is being read.

    Random crops and flips happen in training only, that is, where `get_batch` is given `random`; they are keyed by
    seed, epoch and sample.

    Attributes: `files` (relative paths), `classes` (names, sorted), `corrupt` (relative path → reason; these were left
    out, and logged). Raises FileNotFoundError for a missing folder, ImageError where no picture can be read.
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
        found = _read(self.path, resolution, Path(index_file) if index_file else None, progress)
        self._records = {name: record for name, record in found.items() if record.problem is None}
        self.corrupt = {name: record.problem for name, record in found.items() if record.problem is not None}
        self.files = [name for name in self._records if not name.endswith(".txt")]
        if self.corrupt:
            names = [f"{name} ({reason})" for name, reason in self.corrupt.items()]
            more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
            _log.warning("%s: left out as unreadable: %s%s", path, ", ".join(names[:_NAMES_SHOWN]), more)
        if not self.files:
            unreadable = f"; {len(self.corrupt)} unreadable" if self.corrupt else ""
            raise ImageError(f"{path}: no images ({', '.join(EXTENSIONS)}) in it or its sub-folders{unreadable}.")
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
        image = open_image(self.path / self.files[i], at_least=int(2 * self.resolution / least))
        box, flip, line = crop_box(*image.size, 1.0), False, 0.0
        if draw is not None:
            size, x, y, coin, line = map(float, draw)
            flip = self.flip and coin < 0.5
            if self.crop == "random":
                box = crop_box(*image.size, 1.0, least + (most - least) * size, x, y)
        image = resize(image, self.resolution, self.resolution, box)
        if flip:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        captions = self._captions(self.files[i])
        caption = captions[int(line * len(captions))] if captions else ""
        return {"image": from_pil(image), "label": self._labels[i], "caption": caption}

    def _captions(self, name: str) -> list[str]:
        text = name.rpartition(".")[0] + ".txt"
        if text not in self._records:
            return []
        lines = (self.path / text).read_text(encoding="utf-8", errors="replace").splitlines()
        return [line.strip() for line in lines if line.strip()]

    def fingerprint(self) -> str:
        """A hash of the data itself: relative paths, sizes and contents of all readable pictures and captions."""
        digest = hashlib.blake2b(digest_size=16)
        for name, record in self._records.items():
            digest.update(json.dumps([name, record.size, record.digest]).encode())
        return digest.hexdigest()


def _read(
    root: Path, resolution: int, index: Path | None, progress: Callable[[int, int], None] | None
) -> dict[str, _Record]:
    """Records of all pictures below root and of the captions beside them, in the order of their names."""
    names = sorted(_walk(root))
    pictures = {name.rpartition(".")[0] for name in names if not name.endswith(".txt")}
    names = [name for name in names if not name.endswith(".txt") or name.rpartition(".")[0] in pictures]
    known = _load_index(index)
    records: dict[str, _Record] = {}
    unread = []
    for name in names:
        record = known.get(name)
        status = (root / name).stat()
        if record is not None and (record.size, record.mtime_ns) == (status.st_size, status.st_mtime_ns):
            records[name] = record
        else:
            unread.append(name)
    with ThreadPoolExecutor() as pool:  # decoding and hashing both release the interpreter's lock
        fresh: Iterable[_Record] = pool.map(lambda name: _inspect(root / name, resolution), unread)
        for done, (name, record) in enumerate(zip(unread, fresh, strict=True), start=1):
            records[name] = record
            if progress is not None:
                progress(done, len(unread))
    if index is not None and (unread or known.keys() != records.keys()):
        with atomic_file(index) as temporary:
            temporary.write_text(json.dumps({name: astuple(record) for name, record in records.items()}))
    return {name: records[name] for name in names}


def _walk(root: Path) -> Iterator[str]:
    """Relative paths, with forward slashes, of pictures and text files. Links cannot lead to a folder twice."""
    seen: set[Path] = set()
    for folder, subfolders, files in os.walk(root, followlinks=True):
        here = Path(folder)
        if here.resolve() in seen:
            subfolders.clear()
            continue
        seen.add(here.resolve())
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in files:
            wanted = name.lower().endswith(EXTENSIONS) or name.endswith(".txt")
            if wanted and not name.startswith(".") and (here / name).exists():
                yield (here / name).relative_to(root).as_posix()


def _inspect(file: Path, resolution: int) -> _Record:
    """Hash the file and, if it is a picture, decode it."""
    status = file.stat()
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    problem = None
    if file.suffix != ".txt":
        try:
            open_image(file, at_least=resolution)
        except ImageError as error:
            problem = str(error.__cause__).replace(str(file), file.name)
    return _Record(status.st_size, status.st_mtime_ns, digest, problem)


def _load_index(index: Path | None) -> dict[str, _Record]:
    """What an earlier reading found; nothing where the index is missing or damaged, as it only saves time."""
    try:
        stored = json.loads(index.read_text()) if index is not None else {}
        return {str(name): _Record(*record) for name, record in stored.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
