"""A table: rows of numbers and texts in named columns, as a value that nobody changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from core.numbers import holds_numbers

Cell = bool | int | float | str | None
"""What a table holds; None where nothing is known."""
Numbers = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Table:
    """Columns of equal length, by name. Raises ValueError where they are not, naming them."""

    columns: Mapping[str, tuple[Cell, ...]]

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the columns of a table have different lengths ({lengths})")
        if "" in lengths:
            raise ValueError("a column of the table has no name; give it one")

    def __len__(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.columns.values()), ()))

    def __str__(self) -> str:
        rows = "1 row" if len(self) == 1 else f"{len(self):,} rows"
        return f"table, {rows}: {', '.join(self.columns)}"

    def column(self, name: str) -> tuple[Cell, ...]:
        """One column. Raises ValueError, with the names that there are, where it is not there."""
        if name not in self.columns:
            raise ValueError(f"the table has no column {name!r}; it has {', '.join(self.columns) or 'none at all'}")
        return self.columns[name]

    def numbers(self, name: str) -> Numbers:
        """One column as numbers, (rows,), NaN where nothing is known. Raises ValueError for a text, naming it."""
        column = self.column(name)
        if texts := [each for each in column if isinstance(each, str)]:
            raise ValueError(f"the column {name!r} holds the text {texts[0]!r:.60}, and numbers are needed")
        return np.array([np.nan if each is None else float(each) for each in column])

    def is_numeric(self, name: str) -> bool:
        """Whether a column holds nothing but numbers, which truth values are not, and what is unknown."""
        return not any(isinstance(each, str | bool) for each in self.column(name))

    def rows(self) -> Iterator[tuple[Cell, ...]]:
        """The rows, each in the order of the columns."""
        return zip(*self.columns.values(), strict=True)

    def known(self, name: str) -> tuple[Cell, ...]:
        """One column in which all that is unknown is None: NaN differs from itself. Raises ValueError as `column` does."""
        return tuple(None if unknown(cell) else cell for cell in self.column(name))

    def groups(self, by: Sequence[str]) -> dict[tuple[Cell, ...], list[int]]:
        """The numbers of the rows of each combination of some columns, in the order in which they first come.

        What is unknown is one value, None, in whichever row. Raises ValueError for a column that is not there.
        """
        columns = [self.known(name) for name in by]
        places: dict[tuple[Cell, ...], list[int]] = {}
        for i, combination in enumerate(zip(*columns, strict=True) if by else [()] * len(self)):
            places.setdefault(combination, []).append(i)
        return places

    def pick(self, rows: Sequence[int]) -> Table:
        """The table of these rows, by their numbers, in this order."""
        return Table({name: tuple(column[i] for i in rows) for name, column in self.columns.items()})

    def only(self, names: Sequence[str]) -> Table:
        """The table of these columns, in this order. Raises ValueError for one that is not there."""
        return Table({name: self.column(name) for name in names})


def table_of(values: Mapping[str, Any]) -> Table:
    """A table of named values: lists of cells and tensors are a row for each item, and go side by side.

    A single value stands in every row. A list of lists, such as a loop in a loop collects, has a row for each innermost
    item, and what is known of the outer loop's item stands in each of these. Numbers that are not there (a dry run's) are None.
    Raises ValueError, naming the column, for lists of different lengths and for what is neither number nor text.
    """
    plain = {name: _plain(value, name) for name, value in values.items()}
    columns: dict[str, list[Cell]] = {name: [] for name in plain}
    for row in _rows(plain):
        for name, cell in row.items():
            columns[name].append(cell)
    return Table({name: tuple(column) for name, column in columns.items()})


def unknown(cell: Cell) -> bool:
    """Whether nothing is known there: None, or what is no number (NaN)."""
    return cell is None or cell != cell


def told(cell: Cell) -> str:
    """A cell for people: six figures of a number."""
    if cell is None:
        return ""
    return f"{cell:.6g}" if isinstance(cell, float) else str(cell)


def _rows(values: Mapping[str, Any]) -> Iterator[Mapping[str, Cell]]:
    lengths = {name: len(value) for name, value in values.items() if isinstance(value, list)}
    if not lengths:
        yield values
        return
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"the columns have different lengths ({lengths}); wire lists of one loop, or of equally many items"
        )
    for i in range(next(iter(lengths.values()))):
        yield from _rows({name: value[i] if name in lengths else value for name, value in values.items()})


def _plain(value: Any, name: str) -> Any:
    """A value as a cell, or as nested lists of cells."""
    if isinstance(value, list | tuple):
        return [_plain(item, name) for item in value]
    if isinstance(value, Tensor):
        if value.ndim > 2:
            raise ValueError(
                f"the column {name!r} is given a tensor of {value.ndim} axes; measure it first: a cell is one number"
            )
        if value.is_complex():
            raise ValueError(f"the column {name!r} is given complex numbers; take their size, or a part of them")
        if not holds_numbers(value):
            return [_plain(item, name) for item in value] if value.ndim else None
        return value.tolist()  # waits for the device once
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"the column {name!r} is given a {type(value).__name__}, and a cell is a number or a text")
