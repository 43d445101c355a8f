"""Tables in files: CSV for people and spreadsheets, Parquet for programs."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path
from typing import Any, Literal

from core.files import atomic_file
from core.tables.frames import Frame, of_frame
from core.tables.table import Table

Format = Literal["csv", "parquet"]
FORMATS = (".csv", ".parquet")


def save_table(table: Table, path: Path) -> None:
    """Write a table, in the format of the path's suffix: whole, or not at all. In CSV what is unknown is empty.

    Raises ValueError, before anything is written, for another suffix, for Parquet without pyarrow, and in Parquet for a column
    of several kinds.
    """
    if path.suffix not in FORMATS:
        raise ValueError(f"{path.name}: tables are written as {' or '.join(FORMATS)}")
    if path.suffix == ".csv":
        with atomic_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            # Of a single column, a row of spaces would be an empty line, which readers pass over.
            writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC if len(table.columns) == 1 else csv.QUOTE_MINIMAL)
            writer.writerow(table.columns)
            writer.writerows(table.rows())
        return
    require_parquet()
    from pyarrow.parquet import write_table

    columns = _arrow(table)
    with atomic_file(path) as temporary:
        write_table(columns, temporary)


def _arrow(table: Table) -> Any:
    """The table as Arrow has it: whole numbers stay whole beside what is unknown."""
    import pyarrow

    columns = {}
    for name, column in table.columns.items():
        try:
            columns[name] = pyarrow.array(column)
        except (OverflowError, ValueError, TypeError) as error:
            raise ValueError(
                f"the column {name!r} holds texts and numbers, truth values among others, or a whole number beyond 64 bits;"
                " one of Parquet holds one kind: write CSV"
            ) from error
    return pyarrow.table(columns)


def load_table(path: Path) -> Table:
    """Read a table from CSV (numbers, truth values and texts are told apart; empty cells are None) or Parquet.

    Raises ValueError, naming the file, where it cannot be read or a cell of it is neither number nor text.
    """
    if path.suffix not in FORMATS:
        raise ValueError(f"{path}: tables are read from {' and '.join(FORMATS)}")
    if path.suffix == ".parquet":
        require_parquet()
    try:
        frame = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    except Exception as error:  # of the parser, the decoder, or Arrow's
        raise ValueError(f"{path}: no readable table ({error})") from error
    table = of_frame(frame)
    for name, column in table.columns.items():
        if wrong := [cell for cell in column if not isinstance(cell, bool | int | float | str | None)]:
            raise ValueError(
                f"{path}: the column {name!r} holds a {type(wrong[0]).__name__}; a cell is a number or a text"
            )
    return table


def _read_csv(path: Path) -> Frame:
    import pandas

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # lines that are longer than the first one
        return pandas.read_csv(
            path, keep_default_na=False, na_values=["", "nan"], index_col=False, dtype_backend="numpy_nullable"
        )


def _read_parquet(path: Path) -> Frame:
    import pandas

    return pandas.read_parquet(path, engine="pyarrow", dtype_backend="numpy_nullable")


def require_parquet() -> None:
    """Raises ValueError where pyarrow is not installed."""
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise ValueError(
            'Parquet needs pyarrow, which is not installed; pip install "latent-loom[data]", or take CSV'
        ) from error
