"""Tables made of tables: joined, put beneath each other, grouped, sorted, chosen from."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from core.tables.frames import frame_of, of_frame
from core.tables.table import Cell, Table, unknown

Relation = Literal["==", "!=", "<", "<=", ">", ">="]
RELATIONS: Mapping[Relation, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
Join = Literal["inner", "left", "outer"]


def join(left: Table, right: Table, on: Sequence[str], how: Join = "inner") -> Table:
    """Rows of two tables that agree in some columns, side by side; of each pair that does, one.

    how: rows without a partner are left out ("inner"), kept of the left table ("left"), or of both ("outer").
    Raises ValueError for a column that one of them lacks, or that both have besides.
    """
    if not on:
        raise ValueError("name at least one column to join on")
    for table in (left, right):
        table.only(on)
    if both := [name for name in left.columns if name in right.columns and name not in on]:
        raise ValueError(f"both tables have a column {both[0]!r}; join on it too, or leave it out of one of them")
    return of_frame(frame_of(left).merge(frame_of(right), on=list(on), how=how, sort=False))


def beneath(tables: Sequence[Table], labels: Sequence[Cell] = (), name: str = "") -> Table:
    """The rows of all tables beneath each other; a column that one lacks is None there.

    labels: one for each table, which goes into a first column, `name`. Raises ValueError where they are not equally many.
    """
    if labels and len(labels) != len(tables):
        raise ValueError(f"{len(labels)} labels for {len(tables)} tables; give one each")
    if labels and any(name in table.columns for table in tables):
        raise ValueError(f"the tables have a column {name!r} of their own; call that of the labels otherwise")
    known = [{name: (label,) * len(table), **table.columns} for table, label in zip(tables, labels, strict=False)]
    parts: Sequence[Mapping[str, tuple[Cell, ...]]] = known or [table.columns for table in tables]
    names = list(dict.fromkeys(each for part in parts for each in part))
    return Table(
        {
            each: tuple(
                cell for part, table in zip(parts, tables, strict=True) for cell in part.get(each, (None,) * len(table))
            )
            for each in names
        }
    )


def group(table: Table, by: Sequence[str], values: Sequence[str] = ()) -> Table:
    """A row for each combination of some columns, in the order in which they first come: how many rows it has (`count`), and of
    each value its mean and sample deviation (n − 1; None of a single one), as NAME_mean and NAME_deviation.

    What is unknown is left out of both, and a value of its own in `by`. values: columns of numbers; none named are all that are not in `by`.
    Raises ValueError for a column that is not there, holds texts, or is called as one of the results.
    """
    places = table.groups(by)
    values = list(values) or [name for name in table.columns if name not in by and table.is_numeric(name)]
    if again := [name for name in values if name in by]:
        raise ValueError(f"the column {again[0]!r} is what rows are grouped by; name another one")
    columns: dict[str, tuple[Cell, ...]] = {name: tuple(each[i] for each in places) for i, name in enumerate(by)}
    results: dict[str, tuple[Cell, ...]] = {"count": tuple(map(len, places.values()))}
    for name in values:
        column = table.numbers(name)
        parts = [column[rows] for rows in places.values()]
        known = [part[~np.isnan(part)] for part in parts]
        with np.errstate(all="ignore"):  # of infinite numbers
            results[f"{name}_mean"] = tuple(float(part.mean()) if len(part) else None for part in known)
            deviations = [float(part.std(ddof=1)) if len(part) > 1 else None for part in known]
        results[f"{name}_deviation"] = tuple(None if unknown(each) else each for each in deviations)
    if taken := [name for name in results if name in columns]:
        raise ValueError(f"rows are grouped by {taken[0]!r}, as a column of the result is called; call it otherwise")
    return Table(columns | results)


def select(table: Table, column: str, relation: Relation, value: Cell) -> Table:
    """The rows whose cell stands in this relation to a value. What is unknown stands in none but "!=", and "==" None.

    Raises ValueError where a text would be compared with a number by size.
    """
    compare = RELATIONS[relation]

    def holds(cell: Cell) -> bool:
        if relation not in ("==", "!=") and (cell is None or value is None):
            return False
        try:
            return compare(cell, value)
        except TypeError as error:
            raise ValueError(
                f"the column {column!r} holds {cell!r:.60}, which is neither less nor more than {value!r:.60}"
            ) from error

    return table.pick([i for i, cell in enumerate(table.known(column)) if holds(cell)])


def sort(table: Table, by: Sequence[str], descending: bool = False) -> Table:
    """The rows in the order of some columns; arguments and errors as `order`."""
    return table.pick(order(table, by, descending))


def order(table: Table, by: Sequence[str], descending: bool = False) -> list[int]:
    """The numbers of the rows in the order of some columns, the first counting most; equal ones stay in order, what is unknown comes last.

    Raises ValueError for a column that is not there, or holds texts beside numbers.
    """
    rows = list(range(len(table)))
    for name in reversed(by):
        column = table.column(name)
        known = [i for i in rows if not unknown(column[i])]
        try:
            known.sort(key=lambda i, column=column: column[i], reverse=descending)  # type: ignore[misc]
        except TypeError as error:
            raise ValueError(f"the column {name!r} holds texts and numbers, which have no order") from error
        rows = known + [i for i in rows if unknown(column[i])]
    return rows


def best(table: Table, column: str, largest: bool = False, count: int = 1, within: Sequence[str] = ()) -> Table:
    """The rows with the smallest (or largest) numbers in a column, best first; so many of each combination of `within`.

    Rows in which the number is unknown are never among them.
    """
    numbers = table.numbers(column)
    ordered = sort(table.pick([i for i, number in enumerate(numbers) if not unknown(number)]), [column], largest)
    return ordered.pick(sorted(i for rows in ordered.groups(within).values() for i in rows[:count]))
