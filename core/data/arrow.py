"""Tables of Hugging Face's `datasets`: Parquet files, and folders that `save_to_disk` wrote. Local files alone, and no code of theirs.

Parquet is brought into Arrow files once, which are then mapped into memory and read by row; what is too large for that is read as a
stream, from the front.
"""

from __future__ import annotations

import dataclasses
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from types import ModuleType
from typing import Any

from core.data.batch import Batch, collate
from core.data.frames import DRAWS, Frame
from core.data.keyed import KeyedRandom
from core.data.rows import Columns
from core.data.stream import State, share
from core.images import image_size

_SAVED, _SAVED_SPLITS = "state.json", "dataset_dict.json"
_SPLITS = ("train", "validation", "valid", "val", "dev", "test")


def arrow_files(path: Path) -> dict[str, Path]:
    """What is read at a path: a file, or of a folder all Parquet, or all that `save_to_disk` wrote. Hidden ones do not count."""
    if path.is_file():
        return {path.name: path}
    saved = (path / _SAVED).is_file() or (path / _SAVED_SPLITS).is_file()
    kinds = (".arrow", ".json") if saved else (".parquet",)
    found = {file.relative_to(path).as_posix(): file for file in sorted(path.rglob("*")) if file.suffix in kinds}
    return {name: file for name, file in found.items() if not any(part.startswith(".") for part in name.split("/"))}


def parquet_of(path: Path, split: str) -> dict[str, Path]:
    """The Parquet files of a split, by name: those named after it (train-00000-of-00002.parquet, or a folder train); all where none is
    named after any split. Raises ValueError where there are none.
    """
    found = {name: file for name, file in arrow_files(path).items() if file.suffix == ".parquet"}
    if path.is_file() or not any(_is_of(name, each) for name in found for each in (*_SPLITS, split)):
        mine = found
    else:
        mine = {name: file for name, file in found.items() if _is_of(name, split)}
    if not mine:
        raise ValueError(
            f"{path}: there is no Parquet of a split {split!r} in it; it has {', '.join(list(found)[:5]) or 'none at all'}"
        )
    return mine


def _is_of(name: str, split: str) -> bool:
    *folders, file = name.split("/")
    return split in folders or file.startswith((f"{split}-", f"{split}.", f"{split}_"))


class ArrowPictures:
    """The rows of a data set with pictures: sample i is row i.

    path: a .parquet, a folder of them, or one of `save_to_disk`'s. cache: a folder for the Arrow files that Parquet is brought into.
    split: where there are several. columns: names of columns by what they are, where these are not the usual (`core.data.rows`).

    Pictures lie in the rows, as bytes; a row that names a file or an address instead is refused. Labels are the classes of the
    data set's own features. Raises ValueError naming file and row.
    """

    def __init__(
        self, path: str | Path, cache: str | Path, split: str = "train", columns: Mapping[str, str] | None = None
    ) -> None:
        self.path, place = Path(path), Path(path)
        datasets = _datasets()
        files: list[Path] = []
        try:
            if (place / _SAVED_SPLITS).is_file():
                place = place / split
                if not place.is_dir():
                    raise ValueError(f"there is no split {split!r} in it")
            if (place / _SAVED).is_file():
                data = datasets.load_from_disk(str(place), keep_in_memory=False)
            elif place.suffix == ".arrow":
                data = datasets.Dataset.from_file(str(place))
            else:
                files = list(parquet_of(place, split).values())
                data = datasets.Dataset.from_parquet([str(file) for file in files], cache_dir=str(cache))
        except Exception as error:  # pyarrow's and datasets' errors are of many kinds
            told = error.__cause__ or error
            raise ValueError(f"{path}: not readable as a data set ({str(told).removeprefix(f'{path}: ')})") from error
        if not len(data):
            raise ValueError(f"{path}: it has no rows")
        for name, feature in data.features.items():
            if hasattr(feature, "decode"):  # a picture, sound or film: it stays as it is in the file
                data = data.cast_column(name, dataclasses.replace(feature, decode=False))
        self.data = data.with_format(None)  # one that was saved with the data would give tensors
        self._files, self._starts = files, _starts(files)
        self._columns = _columns(data.features, str(path), columns)
        if "label" in self._columns.names and not self._columns.classes:
            self._columns = self._columns.with_classes(self._values(self._columns.names["label"]))
        self.classes = self._columns.classes
        self._paths = self._picture_paths()

    def __len__(self) -> int:
        return len(self.data)

    def name(self, i: int) -> str:
        """The file name that the row keeps for its picture, or else its file and number."""
        if path := self._paths[i]:
            return path
        file, row = self._place(i)
        return f"{file.name}, row {row}" if self._files else f"row {row}"

    def size(self, i: int) -> tuple[int, int]:
        """Width and height of picture i, upright, from its header."""
        return image_size(picture_of(self.data[i][self._columns.names["image"]]), self._where(i))

    def record(self, i: int, at_least: int | None = None) -> dict[str, Any]:
        """Row i; see `core.data.pictures.Pictures`."""
        return self._columns.record(self.data[i], self._where(i), picture_of, at_least)

    def column(self, name: str) -> Sequence[Any] | None:
        """A column of all rows, labels as class numbers."""
        column = self._columns.names.get(name, name)
        if column not in self.data.column_names:
            return None
        values = self._values(column)
        return (
            [self._columns.label(value, self._where(i)) for i, value in enumerate(values)]
            if name == "label"
            else values
        )

    def _where(self, i: int) -> str:
        file, row = self._place(i)
        return f"{file}, row {row}"

    def _place(self, i: int) -> tuple[Path, int]:
        """The Parquet file of row i, and which row of it that is, counted from 0; the row of the whole where there is none."""
        if not self._files:
            return self.path, i
        which = bisect_right(self._starts, i) - 1
        return self._files[which], i - self._starts[which]

    def _values(self, column: str) -> list[Any]:
        values: list[Any] = self.data.data.column(column).to_pylist()
        return values

    def _picture_paths(self) -> list[str | None]:
        """The file names beside the pictures' bytes, without reading these."""
        import pyarrow as pa
        import pyarrow.compute as pc

        cells = self.data.data.column(self._columns.names["image"])
        if not pa.types.is_struct(cells.type) or cells.type.get_field_index("path") < 0:
            return [None] * len(self.data)
        paths: list[str | None] = pc.struct_field(cells, "path").to_pylist()
        return paths


class ParquetStream:
    """The rows of Parquet files as a stream (`core.data.stream`), read by `datasets`; its state is theirs and the row's number.

    frame: the size and crop of the pictures. split, columns: as of `ArrowPictures`.
    """

    def __init__(
        self, path: str | Path, frame: Frame, split: str = "train", columns: Mapping[str, str] | None = None
    ) -> None:
        self.path, self.frame, self.files = Path(path), frame, parquet_of(Path(path), split)
        self._columns = _columns(_streamed(next(iter(self.files.values()))).features, str(path), columns)
        self.classes = self._columns.classes

    def iterate(self, state: State | None = None, part: tuple[int, int] = (0, 1)) -> Iterator[tuple[Any, State]]:
        """One pass over the part's files; a sample is where it stands and the row, pictures as bytes."""
        names = share(list(self.files), part, "Parquet files")
        begin: str = state["file"] if state else names[0]
        if begin not in names:
            raise ValueError(f"the stream stood in the file {begin}, which is not among {', '.join(names[:3])}, …")
        for name in names[names.index(begin) :]:
            reader, row = _streamed(self.files[name]), 0
            if state and name == begin:
                reader.load_state_dict(state["reader"])
                row = state["row"]
            for values in reader:
                yield (
                    (f"{self.files[name]}, row {row}", values),
                    {"file": name, "row": row + 1, "reader": reader.state_dict()},
                )
                row += 1

    def collate(self, samples: Sequence[Any], random: KeyedRandom | None = None) -> Batch:
        """Decode rows and bring their pictures to the frame."""
        draws = [None] * len(samples) if random is None else random.uniform(DRAWS)
        made = []
        for (where, values), draw in zip(samples, draws, strict=True):
            made.append(self.frame.sample(self._columns.record(values, where, picture_of, self.frame.at_least), draw))
        return collate(made)


def _streamed(file: Path) -> Any:
    """A Parquet file as `datasets` streams it, nothing decoded. Raises ValueError where it is none."""
    datasets = _datasets()
    try:
        data = datasets.load_dataset("parquet", data_files={"train": [str(file)]}, split="train", streaming=True)
        if data.features is None:
            data = data._resolve_features()
        return data.decode(False)
    except Exception as error:  # pyarrow's and datasets' errors are of many kinds
        raise ValueError(f"{file}: not readable as Parquet ({error.__cause__ or error})") from error


def picture_of(cell: Any) -> bytes:
    """The bytes of a picture in a row. Raises ValueError where the row has none: no file or address that it names is opened."""
    if isinstance(cell, Mapping):
        if cell.get("bytes"):
            return bytes(cell["bytes"])
        raise ValueError(
            f"its picture is not in the row, which names {cell.get('path')!r}; embed the pictures when writing it"
        )
    if isinstance(cell, bytes):
        return cell
    raise ValueError(f"its picture is {cell!r:.60}, and the bytes of one are wanted")


def _columns(features: Any, where: str, chosen: Mapping[str, str] | None) -> Columns:
    """Which of the columns is what, and the names of the classes."""
    found = Columns.find(list(features), where, chosen)
    named = next((found.names[what] for what in ("label", "objects") if what in found.names), None)
    return Columns(found.names, _class_names(features[named]) if named else ())


def _class_names(feature: Any) -> tuple[str, ...]:
    """The names of a feature's classes, wherever they are in it."""
    if names := getattr(feature, "names", None):
        return tuple(names)
    inner = feature.values() if isinstance(feature, Mapping) else [getattr(feature, "feature", None)]
    return next((names for each in inner if each is not None and (names := _class_names(each))), ())


def _starts(files: Sequence[Path]) -> list[int]:
    """The first row of each Parquet file, of all in a row."""
    from pyarrow.parquet import ParquetFile

    counts = [int(ParquetFile(file).metadata.num_rows) for file in files[:-1]]
    return [0, *accumulate(counts)]


def _datasets() -> ModuleType:
    try:
        import datasets
    except ImportError as error:
        raise ValueError('datasets is not installed; pip install "latent-loom[data]"') from error
    datasets.disable_progress_bars()
    module: ModuleType = datasets
    return module
