"""Pictures that a table lists: JSON lines or CSV, a row each, with paths relative to the table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from core.data.captions import read_rows
from core.data.rows import COLUMNS, Columns
from core.images import image_size

_PATHS = ("image", "mask", "segmentation")


class PictureTable:
    """The pictures of a table (.jsonl or .csv): sample i is row i.

    A row names its picture's file, and may name a mask and a semantic map, and hold a caption (or a list), a label (a number, or a
    word), a weight and objects (`core.data.rows`). Paths are relative to the table, and lead to what lies in its folder or below.
    A CSV's cells are texts; those in columns for a list of captions or for objects are JSON.

    Raises ValueError, naming table and line, for what cannot be read, and FileNotFoundError for a picture that is missing.
    """

    def __init__(self, table: str | Path) -> None:
        self.table = Path(table)
        self._lines: list[int] = []
        self._rows: list[dict[str, Any]] = []
        for line, row in read_rows(self.table):
            if None in row:
                raise ValueError(f"{self.table}, line {line}: it has more cells than the first line has names")
            self._lines.append(line)
            self._rows.append({name: _parsed(value) for name, value in row.items()})
        if not self._rows:
            raise ValueError(f"{self.table}: it has no rows")
        columns = Columns.find(list(dict.fromkeys(name for row in self._rows for name in row)), str(self.table))
        for i, row in enumerate(self._rows):
            if missing := [name for name in columns.names.values() if name not in row]:
                raise ValueError(f"{self._where(i)}: it has no {missing[0]!r}, and other rows have")
        label = columns.names.get("label")
        self._columns = columns.with_classes([row[label] for row in self._rows] if label else [])
        self.classes = self._columns.classes
        for i, row in enumerate(self._rows):
            for what in _PATHS:
                if what in columns.names and not self._file(row[columns.names[what]]).is_file():
                    raise FileNotFoundError(
                        f"{self._where(i)}: there is no file {self._file(row[columns.names[what]])}"
                    )

    def __len__(self) -> int:
        return len(self._rows)

    def name(self, i: int) -> str:
        """The picture's path, as the table has it."""
        return str(self._rows[i][self._columns.names["image"]])

    def size(self, i: int) -> tuple[int, int]:
        """Width and height of picture i, upright, from its header."""
        return image_size(self._file(self.name(i)), self._where(i))

    def record(self, i: int, at_least: int | None = None) -> dict[str, Any]:
        """Row i with its pictures; see `core.data.pictures.Pictures`."""
        return self._columns.record(self._rows[i], self._where(i), lambda cell: str(self._file(cell)), at_least)

    def column(self, name: str) -> Sequence[Any] | None:
        """A column of all rows, labels as class numbers."""
        column = self._columns.names.get(name, name)
        if any(column not in row for row in self._rows):
            return None
        values = [row[column] for row in self._rows]
        return (
            [self._columns.label(value, self._where(i)) for i, value in enumerate(values)]
            if name == "label"
            else values
        )

    def _where(self, i: int) -> str:
        return f"{self.table}, line {self._lines[i]}"

    def _file(self, cell: Any) -> Path:
        return placed(self.table, cell)


def placed(table: Path, cell: Any) -> Path:
    """The file that a cell names. Raises ValueError where it would lie outside of the table's folder, or is no path."""
    path = PurePosixPath(str(cell).replace("\\", "/"))
    if not isinstance(cell, str) or not cell or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise ValueError(f"{table}: {cell!r} is no path of a file in the table's folder, or below it")
    return table.parent / path


def table_files(table: Path) -> dict[str, Path]:
    """The table, and the pictures, masks and maps that it names: all that `PictureTable` reads."""
    found = {table.name: table}
    usual = {name for what in _PATHS for name in COLUMNS[what]}
    for _, row in read_rows(table):
        for name, cell in row.items():
            if isinstance(name, str) and name.strip().lower() in usual and isinstance(cell, str) and cell:
                found[f"./{cell}"] = placed(table, cell)
    return found


def _parsed(value: Any) -> Any:
    """A cell of a CSV that holds a list or an object, as that."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value
