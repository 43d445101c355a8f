"""Tables as pandas frames, and back: for what pandas does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.tables.table import Cell, Table

if TYPE_CHECKING:
    from pandas import DataFrame


def frame_of(table: Table) -> DataFrame:
    """The table as a frame of Python's own values, so that whole numbers stay whole beside what is unknown."""
    from pandas import DataFrame, Series  # takes half a second to import

    return DataFrame({name: Series(column, dtype=object) for name, column in table.columns.items()})


def of_frame(frame: DataFrame) -> Table:
    """The table of a frame; what pandas takes for missing, NaN too, is None."""
    columns: dict[str, tuple[Cell, ...]] = {}
    for name, column in frame.items():
        cells = zip(column.tolist(), column.isna(), strict=True)
        columns[str(name)] = tuple(None if missing else cell for cell, missing in cells)
    return Table(columns)
