"""Tables as pandas frames, and back: for what pandas does."""

from __future__ import annotations

from typing import Any

from core.tables.table import Cell, Table

Frame = Any
"""pandas' DataFrame: pandas is imported where one is made, for that takes most of a second."""


def frame_of(table: Table) -> Frame:
    """The table as a frame of Python's own values, so that whole numbers stay whole beside what is unknown."""
    from pandas import DataFrame, Series

    return DataFrame({name: Series(column, dtype=object) for name, column in table.columns.items()})


def of_frame(frame: Frame) -> Table:
    """The table of a frame; what pandas takes for missing, NaN too, is None."""
    columns: dict[str, tuple[Cell, ...]] = {}
    for name, column in frame.items():
        cells = zip(column.tolist(), column.isna(), strict=True)
        columns[str(name)] = tuple(None if missing else cell for cell, missing in cells)
    return Table(columns)
