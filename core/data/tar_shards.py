"""Tar files as webdataset writes them: the files of one key, side by side, are a sample (github.com/webdataset/webdataset).

Pictures are read from where they lie in the tar, by an index that is made from its headers once. Shards too many for that are
read as a stream, from the front.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from core.data.batch import Batch, collate
from core.data.captions import decode
from core.data.frames import DRAWS, Frame
from core.data.keyed import KeyedRandom
from core.data.rows import Columns
from core.data.stream import State, share
from core.images import image_size

_KEY = re.compile(r"((?:.*/|)[^.]+)[.]([^/]*)$")  # webdataset's base_plus_ext: all suffixes are the field
_META = re.compile(r"__[^/]*__($|/)")
_END = 1024  # bytes, all zero
_TEXTS = ("txt", "text", "caption", "captions", "cls", "json", "label", "class", "prompt", "weight")


def tar_files(path: Path) -> dict[str, Path]:
    """The shards at a path: the tar itself, or those of a folder in the order of their names. All that is read."""
    if path.is_file():
        return {path.name: path}
    return {file.name: file for file in sorted(path.glob("*.tar")) if not file.name.startswith(".")}


def _shards(path: Path) -> dict[str, Path]:
    found = tar_files(path)
    if not found:
        raise ValueError(f"{path}: there are no shards (*.tar) in it")
    return found


class _Sample(NamedTuple):
    """Where the files of one key lie: by field, the offset and size in the shard."""

    shard: str
    key: str
    fields: dict[str, tuple[int, int]]


class TarShards:
    """The samples of webdataset's shards, by index: sample i is the i-th key, shard by shard.

    Fields: a picture (.jpg, .png, .webp, …), and beside it .txt (a caption a line), .cls (a class number), .json (an object whose
    entries are fields as well), .mask.png, .seg.png (`core.data.rows`). Nothing is unpacked or unpickled.

    progress: called with (shards indexed, shards).
    Raises ValueError naming shard and key where one is damaged or has other fields than the first.
    """

    classes: tuple[str, ...] = ()

    def __init__(self, path: str | Path, progress: Callable[[int, int], None] | None = None) -> None:
        self.files = _shards(Path(path))
        self._samples: list[_Sample] = []
        for done, (name, file) in enumerate(self.files.items(), start=1):
            self._samples += _indexed(name, file)
            if progress is not None:
                progress(done, len(self.files))
        if not self._samples:
            raise ValueError(f"{path}: its shards hold no samples (files such as 000001.jpg and 000001.txt)")
        self._columns: Columns | None = None

    def __len__(self) -> int:
        return len(self._samples)

    def name(self, i: int) -> str:
        """The sample's key."""
        return self._samples[i].key

    def size(self, i: int) -> tuple[int, int]:
        """Width and height of picture i, upright, from its header."""
        fields = self._fields(i)
        columns = Columns.find(list(fields), self._where(i))
        return image_size(fields[columns.names["image"]], self._where(i))

    def record(self, i: int, at_least: int | None = None) -> dict[str, Any]:
        """Sample i; see `core.data.pictures.Pictures`."""
        return record_of(self._fields(i), self._where(i), at_least)

    def column(self, name: str) -> Sequence[Any] | None:
        """Labels and weights, from the small files that hold them; the pictures are not read."""
        values = []
        for i, sample in enumerate(self._samples):
            row = fields_of(self._read(i, [field for field in sample.fields if field in _TEXTS]), self._where(i))
            columns = Columns.find([*row, *(field for field in sample.fields if field not in row)], self._where(i))
            column = columns.names.get(name, name)
            if column not in row:
                return None
            values.append(columns.label(row[column], self._where(i)) if name == "label" else row[column])
        return values

    def _where(self, i: int) -> str:
        sample = self._samples[i]
        return f"{self.files[sample.shard]}, {sample.key}"

    def _fields(self, i: int) -> dict[str, Any]:
        return fields_of(self._read(i, self._samples[i].fields), self._where(i))

    def _read(self, i: int, fields: Sequence[str] | Mapping[str, Any]) -> dict[str, bytes]:
        sample = self._samples[i]
        found: dict[str, bytes] = {}
        with self.files[sample.shard].open("rb") as stream:
            for field in fields:
                offset, size = sample.fields[field]
                stream.seek(offset)
                found[field] = stream.read(size)
                if len(found[field]) < size:
                    raise ValueError(f"{self._where(i)}.{field}: the shard ends in the middle of it")
        return found


class TarStream:
    """The same samples as a stream (`core.data.stream`): shard after shard, read by webdataset.

    frame: the size and crop of the pictures. A state is a shard and the number of samples read of it: going on skips these.
    """

    classes: tuple[str, ...] = ()

    def __init__(self, path: str | Path, frame: Frame) -> None:
        self.files, self.frame = _shards(Path(path)), frame

    def iterate(self, state: State | None = None, part: tuple[int, int] = (0, 1)) -> Iterator[tuple[Any, State]]:
        """One pass over the part's shards; a sample is its key and the bytes of its files."""
        names = share(list(self.files), part, "webdataset shards")
        begin, skip = (state["shard"], state["sample"]) if state else (names[0], 0)
        if begin not in names:
            raise ValueError(f"the stream stood in the shard {begin}, which is not among {', '.join(names[:3])}, …")
        for name in names[names.index(begin) :]:
            already = skip if name == begin else 0
            for number, sample in enumerate(islice(_streamed(self.files[name]), already, None), start=already + 1):
                yield sample, {"shard": name, "sample": number}

    def collate(self, samples: Sequence[Any], random: KeyedRandom | None = None) -> Batch:
        """Decode samples and bring them to the frame."""
        draws = [None] * len(samples) if random is None else random.uniform(DRAWS)
        made = []
        for (where, content), draw in zip(samples, draws, strict=True):
            record = record_of(fields_of(content, where), where, self.frame.at_least)
            made.append(self.frame.sample(record, draw))
        return collate(made)


def fields_of(content: Mapping[str, bytes], where: str) -> dict[str, Any]:
    """A sample's files as fields: texts and classes read, a JSON's entries as fields of their own, pictures as bytes."""
    row: dict[str, Any] = {}
    for field, raw in content.items():
        if field == "json":
            try:
                found = json.loads(raw)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{where}.json: not JSON ({error})") from error
            row = {**(found if isinstance(found, dict) else {"json": found}), **row}
        elif field in ("cls", "label", "class", "weight"):
            row[field] = decode(raw).strip()
        elif field in _TEXTS:
            row[field] = [line.strip() for line in decode(raw).splitlines() if line.strip()]
        else:
            row[field] = raw
    return row


def record_of(row: Mapping[str, Any], where: str, at_least: int | None) -> dict[str, Any]:
    """A sample's fields as a record. Raises ValueError that begins with `where`."""
    pictures = {name: value for name, value in row.items() if isinstance(value, bytes)}
    columns = Columns.find([*pictures, *(name for name in row if name not in pictures)], where)

    def content(cell: Any) -> bytes:
        if not isinstance(cell, bytes):
            raise ValueError(f"its picture is {cell!r:.60} and no file of the shard")
        return cell

    return columns.record(row, where, content, at_least)


def _indexed(name: str, file: Path) -> Iterator[_Sample]:
    """Where each sample of a shard lies. Files of a key follow each other, as in webdataset's own reading."""
    current: _Sample | None = None
    try:
        _refuse_cut(file)
        with tarfile.open(file, mode="r:") as tar:
            for member in tar:
                match = _KEY.match(member.name)
                if not member.isreg() or match is None or _META.match(member.name):
                    continue
                key, field = match[1], match[2].lower()
                if current is None or current.key != key:
                    if current is not None:
                        yield current
                    current = _Sample(name, key, {})
                if field in current.fields:
                    raise ValueError(f"{key} has two files .{field}")
                current.fields[field] = member.offset_data, member.size
                tar.members = []  # type: ignore[attr-defined] # else all are kept
    except (tarfile.TarError, ValueError, OSError) as error:
        raise ValueError(f"{file}: not a readable shard ({error})") from error
    if current is not None:
        yield current


def _refuse_cut(file: Path) -> None:
    """Raise ValueError for a shard without the zeros that end a tar: reading it, the rest would be missed in silence."""
    with file.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - _END))
        if size < _END or any(stream.read(_END)):
            raise ValueError("its end is missing; it was cut, or its writer was stopped: write it again")


def _streamed(file: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    try:
        from webdataset.tariterators import group_by_keys, tar_file_iterator
    except ImportError as error:
        raise ValueError('webdataset is not installed; pip install "latent-loom[data]"') from error
    with file.open("rb") as stream:
        try:
            _refuse_cut(file)
            named = ({**entry, "__url__": str(file)} for entry in tar_file_iterator(stream))
            for sample in group_by_keys(named):
                key = sample.pop("__key__")
                yield f"{file}, {key}", {name: value for name, value in sample.items() if not name.startswith("__")}
        except (tarfile.TarError, ValueError, OSError) as error:
            raise ValueError(f"{file}: not a readable shard ({error.args[0] if error.args else error})") from error
