"""What a picture of plots carries: the numbers of its marks and the rows that they are of, as JSON, for who looks closer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.plots.marks import Marks, Series, marks
from core.plots.plot import Kind, Plot
from core.tables.table import Numbers, told

Which: TypeAlias = NDArray[np.integer[Any]]
"""Numbers of marks."""
KEYWORD = "plots"
"""Of the text chunk of a PNG. An SVG has it as its description."""
VERSION = 1
MOST = 5000
"""Marks of one picture, shared by its plots. What has more is thinned, and says so."""
LONGEST, MOST_TEXT = 80, 2**20
"""Characters of one text, and of all columns of rows of a picture, which its plots share."""


def carried(plots: Sequence[Plot]) -> str:
    """The plots of a picture as JSON of plain ASCII. Raises ValueError as `marks` does."""
    most, room = (max(each // max(len(plots), 1), 1) for each in (MOST, MOST_TEXT))
    return json.dumps({"version": VERSION, "plots": [_told(plot, most, room) for plot in plots]}, allow_nan=False)


def _told(plot: Plot, most: int, room: int) -> dict[str, Any]:
    drawn = marks(plot)
    kept = _thinned(plot.kind, drawn, most)
    thinned = sum(len(series.x) for series in kept) < sum(len(series.x) for series in drawn.series)
    names = 0 if plot.kind == "heat map" and thinned else most  # cells touch: those that are left move together
    across, kept = _named(drawn.across, kept, "x", names)
    up, kept = _named(drawn.up, kept, "y", names)
    rows = sorted({row for series in kept for row in series.rows})
    place = {row: n for n, row in enumerate(rows)}
    called = {name: _short(getattr(plot, name)) for name in ("title", "x", "y", "value", "by", "deviation")}
    return called | {
        "kind": plot.kind,
        "log": plot.log,
        "marks": sum(len(series.x) for series in drawn.series),
        "across": across,
        "up": up,
        "wide": drawn.wide,
        "series": [_of_series(series, place) for series in kept],
        "columns": _columns(plot, rows, room),
    }


def _of_series(series: Series, place: dict[int, int]) -> dict[str, Any]:
    numbers = {"x": series.x, "y": series.y, "off": series.off, "value": series.value}
    return {
        "label": _short(series.label),
        "rows": [place[row] for row in series.rows],
        **{name: None if column is None else _plain(column) for name, column in numbers.items()},
    }


def _columns(plot: Plot, rows: list[int], room: int) -> dict[str, list[str]]:
    """Whole rows, the columns that are drawn first, as people read them. room: characters for all of them."""
    first = [name for name in (plot.x, plot.y, plot.value, plot.by, plot.deviation) if name]
    columns: dict[str, list[str]] = {}
    for name in dict.fromkeys((*first, *plot.table.columns)):
        column = plot.table.column(name)
        cells = [_short(told(column[row])) for row in rows]
        room -= len(json.dumps(cells))
        if room < 0:
            break
        columns[_short(name)] = cells
    return columns


def _thinned(kind: Kind, drawn: Marks, most: int) -> list[Series]:
    """At most about so many marks of all series: of a line the lowest and the highest of each stretch, so that it looks the same;
    of a heat map whole columns and rows; of others evenly."""
    count = sum(len(series.x) for series in drawn.series)
    if count <= most:
        return list(drawn.series)
    if kind == "heat map":
        (cells,) = drawn.series
        while len(cells.x) > most:  # every second column or row, whichever are more
            places = max(
                (np.unique(cells.x, return_inverse=True)[1], np.unique(cells.y, return_inverse=True)[1]), key=max
            )
            cells = _pick(cells, np.flatnonzero(places % 2 == 0))
        return [cells]
    share = most / count
    thin = _outline if kind == "line" else _evenly
    return [_pick(series, thin(series, int(len(series.x) * share))) for series in drawn.series[:most]]


def _named(
    names: tuple[str, ...] | None, kept: list[Series], axis: Literal["x", "y"], most: int
) -> tuple[list[str] | None, list[Series]]:
    """The names on an axis, and its marks. Of too many names those without marks go, and the others move together."""
    if names is None or len(names) <= most:
        return None if names is None else list(map(_short, names)), kept
    places = [np.rint(getattr(series, axis)).astype(int) for series in kept]
    left = np.unique(np.concatenate(places)) if places else np.array([], dtype=int)
    moved = [
        replace(series, **{axis: getattr(series, axis) - place + np.searchsorted(left, place)})
        for series, place in zip(kept, places, strict=True)
    ]
    return [_short(names[i]) for i in left], moved


def _evenly(series: Series, most: int) -> Which:
    return np.unique(np.linspace(0, len(series.x) - 1, max(most, 1)).astype(int))


def _outline(series: Series, most: int) -> Which:
    stretches = np.array_split(np.arange(len(series.x)), max(most // 2, 1))
    y = np.nan_to_num(series.y)
    ends = [(part[y[part].argmin()], part[y[part].argmax()]) for part in stretches if len(part)]
    return np.unique(np.array(ends, dtype=int))


def _pick(series: Series, which: Which) -> Series:
    rows = [series.rows[i] for i in which] if len(series.rows) else ()
    off, value = (None if column is None else column[which] for column in (series.off, series.value))
    return Series(series.label, rows, series.x[which], series.y[which], off, value)


def _plain(numbers: Numbers) -> list[float | None]:
    """As JSON has them: what has no place is null."""
    return [float(number) if np.isfinite(number) else None for number in numbers]


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
