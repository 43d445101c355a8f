"""Where the marks of a plot lie: the numbers that whoever draws it draws, matplotlib and the canvas alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from core.plots.plot import Kind, Plot
from core.tables.operations import order
from core.tables.table import Cell, Numbers, Table, told

Rows: TypeAlias = Sequence[int]


@dataclass(frozen=True)
class Series:
    """Marks of one colour: points on the axes, (n,) each, NaN for what has no place.

    label: "" where the plot has one series alone. rows: the table's, (n,); none of a histogram, whose bars are of many.
    off: how far y may be off, None where the plot does not say. value: the colours of a heat map's cells, None of other plots.
    """

    label: str
    rows: Rows
    x: Numbers
    y: Numbers
    off: Numbers | None = None
    value: Numbers | None = None


@dataclass(frozen=True)
class Marks:
    """All marks of a plot.

    across, up: names of the places 0, 1, 2 … on an axis of names; None where it is one of numbers. A heat map's names go down.
    wide: of each bar, on the axis across; 0 where there are none.
    """

    series: tuple[Series, ...]
    across: tuple[str, ...] | None = None
    up: tuple[str, ...] | None = None
    wide: float = 0.0


def marks(plot: Plot) -> Marks:
    """The marks of a plot. Raises ValueError where two rows of a heat map have one place."""
    return _MARKS[plot.kind](plot)


def _rows(plot: Plot) -> Iterator[tuple[str, Rows]]:
    """The rows of each value of `by`, in the order in which they come, and what that is called; without, all."""
    if not plot.by:
        yield "", range(len(plot.table))
        return
    for (value,), rows in plot.table.groups([plot.by]).items():
        yield f"{plot.by} {told(value)}", rows


def _names(table: Table, name: str) -> list[Cell]:
    """The values of a column, each once, in the order in which they first come."""
    return list(dict.fromkeys(table.known(name)))


def _places(table: Table, name: str) -> Numbers:
    """Where the numbers of a column are on an axis: what is infinite is nowhere."""
    numbers = table.numbers(name)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _off(plot: Plot) -> Numbers | None:
    """How far each y may be off; nothing where that is unknown."""
    return np.nan_to_num(_places(plot.table, plot.deviation)) if plot.deviation else None


def _points(plot: Plot, across: Numbers, sets: Iterator[tuple[str, Rows]]) -> tuple[Series, ...]:
    up, off = _places(plot.table, plot.y), _off(plot)
    picked = ((label, list(rows)) for label, rows in sets)
    return tuple(
        Series(label, rows, across[rows], up[rows], None if off is None else off[rows]) for label, rows in picked
    )


def _line(plot: Plot) -> Marks:
    place = {row: n for n, row in enumerate(order(plot.table, [plot.x]))}
    sets = ((label, sorted(rows, key=place.__getitem__)) for label, rows in _rows(plot))
    return Marks(_points(plot, _places(plot.table, plot.x), sets))


def _scatter(plot: Plot) -> Marks:
    return Marks(_points(plot, _places(plot.table, plot.x), _rows(plot)))


def _bar(plot: Plot) -> Marks:
    """Bars of several series stand side by side around the place of their name."""
    sets, names = list(_rows(plot)), _names(plot.table, plot.x)
    wide = 0.8 / max(len(sets), 1)
    number = {row: i for i, (_, rows) in enumerate(sets) for row in rows}
    place = {name: n for n, name in enumerate(names)}
    across = [place[name] + (number[row] + 0.5) * wide - 0.4 for row, name in enumerate(plot.table.known(plot.x))]
    return Marks(_points(plot, np.array(across), iter(sets)), tuple(map(told, names)), wide=wide)


def _heat_map(plot: Plot) -> Marks:
    across, up = _names(plot.table, plot.x), _names(plot.table, plot.y)
    columns, rows = {name: n for n, name in enumerate(across)}, {name: n for n, name in enumerate(up)}
    values, seen = _places(plot.table, plot.value), set()
    cells = list(zip(plot.table.known(plot.x), plot.table.known(plot.y), strict=True))
    known = [row for row, value in enumerate(values) if not np.isnan(value)]
    for x, y in (cells[row] for row in known):
        if (x, y) in seen:
            raise ValueError(
                f"two rows have {plot.x} {told(x)} and {plot.y} {told(y)}, and a heat map shows one number there; group the rows first"
            )
        seen.add((x, y))
    across_at, up_at = (
        np.array([float(place[cells[row][axis]]) for row in known]) for axis, place in enumerate((columns, rows))
    )
    series = Series("", known, across_at, up_at, value=values[known])
    return Marks((series,), tuple(map(told, across)), tuple(map(told, up)), wide=1.0)


def _histogram(plot: Plot) -> Marks:
    """Several series share their bins, so that they compare."""
    column = _places(plot.table, plot.x)
    sets = [(label, column[list(rows)]) for label, rows in _rows(plot)]
    known = [(label, numbers[np.isfinite(numbers)]) for label, numbers in sets]
    edges = np.histogram_bin_edges(np.concatenate([numbers for _, numbers in known]) if known else [], plot.bins)
    middle = (edges[:-1] + edges[1:]) / 2
    counts = ((label, np.histogram(numbers, edges)[0].astype(float)) for label, numbers in known)
    return Marks(tuple(Series(label, (), middle, count) for label, count in counts), wide=float(edges[1] - edges[0]))


_MARKS: Mapping[Kind, Callable[[Plot], Marks]] = {
    "line": _line, "scatter": _scatter, "bar": _bar, "heat map": _heat_map, "histogram": _histogram,
}  # fmt: skip
