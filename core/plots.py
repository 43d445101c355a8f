"""Plots of tables, drawn by matplotlib: what is to be drawn is a value, and becomes a picture or a file where it is wanted."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from PIL import Image

from core.files import atomic_file
from core.tables.operations import sort
from core.tables.table import Cell, Numbers, Table, told

Kind = Literal["line", "scatter", "bar", "heat map", "histogram"]
Axes: TypeAlias = Any
Figure: TypeAlias = Any
"""matplotlib's, which is imported where something is drawn."""
INCH = 100  # pixels
_STYLE = {
    "svg.fonttype": "none",  # texts stay texts
    "svg.hashsalt": "plots",  # equal plots are equal files
    "text.parse_math": False,  # a column may be called $
    "font.size": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
}


@dataclass(frozen=True)
class Plot:
    """What is drawn of a table.

    x, y: columns across and up; of a heat map, of its columns and rows, of a histogram x alone. value: of a heat map, the column of
    its colours. by: a column; each of its values is a series with a colour of its own. deviation: a column of how far y may be off,
    as a band or as bars. log: whether y's axis (a heat map's colours, a histogram's counts) is logarithmic. bins: of a histogram.
    Raises ValueError, naming it, for a column that is not there, or has no numbers where they are needed.
    """

    kind: Kind
    table: Table
    x: str
    y: str = ""
    value: str = ""
    by: str = ""
    deviation: str = ""
    title: str = ""
    log: bool = False
    bins: int = 20

    def __post_init__(self) -> None:
        numeric = {"line": (self.x, self.y), "scatter": (self.x, self.y), "bar": (self.y,), "heat map": (self.value,)}
        for name in (self.x, self.y, self.value, self.by, self.deviation):
            if name:
                self.table.column(name)
        for name in (*numeric.get(self.kind, (self.x,)), *([self.deviation] if self.deviation else [])):
            self.table.numbers(name)
        if self.deviation and (below := [each for each in self.table.numbers(self.deviation) if each < 0]):
            raise ValueError(f"the column {self.deviation!r} says how far y may be off, and holds {told(below[0])}")

    def to_tree(self) -> dict[str, Any]:
        """All of it as tensors and JSON values; `Plot.from_tree` reads it."""
        return asdict(self) | {"table": {name: list(column) for name, column in self.table.columns.items()}}

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> Plot:
        """What `to_tree` took apart."""
        return cls(**{**tree, "table": Table({name: tuple(column) for name, column in tree["table"].items()})})


def save_plots(plots: Sequence[Plot], path: Path, width: int = 640, height: int = 440) -> None:
    """Draw plots beside each other into a file, PNG or SVG by its suffix; of `width` × `height` pixels each.

    Raises ValueError where matplotlib is not installed, or there is nothing to draw. The file is whole, or not there.
    """
    with _drawn(plots, width, height) as figure, atomic_file(path) as temporary:
        figure.savefig(
            temporary, format=path.suffix.removeprefix("."), metadata={"Date": None} if path.suffix == ".svg" else {}
        )


def picture_of(plots: Sequence[Plot], width: int = 640, height: int = 440) -> Image.Image:
    """The same as a picture, RGB."""
    with _drawn(plots, width, height) as figure:
        file = io.BytesIO()
        figure.savefig(file, format="png")
    return Image.open(file).convert("RGB")


def require_matplotlib() -> None:
    """Raises ValueError where matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ValueError("plots are drawn by matplotlib, which is not installed; pip install matplotlib") from error


@contextmanager
def _drawn(plots: Sequence[Plot], width: int, height: int) -> Iterator[Figure]:
    require_matplotlib()
    if not plots:
        raise ValueError("there is no plot to draw; wire at least one")
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # What matplotlib finds odd about numbers, room and letters shows in the picture.
    with rc_context(_STYLE), np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure = Figure((width * len(plots) / INCH, height / INCH), dpi=INCH, layout="constrained")
        FigureCanvasAgg(figure)
        for axes, plot in zip(figure.subplots(1, len(plots), squeeze=False)[0], plots, strict=True):
            _DRAW[plot.kind](axes, plot)
            axes.set_title(plot.title)
        yield figure


def _series(plot: Plot) -> Iterator[tuple[Cell, Table]]:
    """The rows of each value of `by`, in the order in which they come; without, all."""
    if not plot.by:
        yield None, plot.table
        return
    for (value,), rows in plot.table.groups([plot.by]).items():
        yield value, plot.table.pick(rows)


def _labels(table: Table, name: str) -> list[Cell]:
    """The values of a column, each once, in the order in which they first come."""
    return list(dict.fromkeys(table.known(name)))


def _label(plot: Plot, value: Cell) -> str | None:
    return f"{plot.by} {told(value)}" if plot.by else None


def _places(rows: Table, name: str) -> Numbers:
    """Where the numbers of a column are on an axis: what is infinite is nowhere."""
    numbers = rows.numbers(name)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _off(rows: Table, plot: Plot) -> Numbers | None:
    """How far each y may be off; nothing where that is unknown."""
    return np.nan_to_num(_places(rows, plot.deviation)) if plot.deviation else None


def _finish(axes: Axes, plot: Plot, across: str, up: str, log: bool) -> None:
    """log: whether there is anything above 0, without which there is no logarithmic axis."""
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    if plot.log and log:
        axes.set_yscale("log")
    if plot.by and len(plot.table):
        axes.legend()


def _any_above_0(plot: Plot) -> bool:
    return bool((_places(plot.table, plot.y) > 0).any())


def _line(axes: Axes, plot: Plot) -> None:
    for value, rows in _series(plot):
        rows = sort(rows, [plot.x])
        x, y = _places(rows, plot.x), _places(rows, plot.y)
        (line,) = axes.plot(x, y, marker="o" if len(x) <= 50 else "", markersize=4, label=_label(plot, value))
        if (off := _off(rows, plot)) is not None:
            axes.fill_between(x, y - off, y + off, color=line.get_color(), alpha=0.2, linewidth=0)
    _finish(axes, plot, plot.x, plot.y, _any_above_0(plot))


def _scatter(axes: Axes, plot: Plot) -> None:
    for value, rows in _series(plot):
        x, y = _places(rows, plot.x), _places(rows, plot.y)
        axes.errorbar(x, y, _off(rows, plot), fmt="o", markersize=5, label=_label(plot, value))
    _finish(axes, plot, plot.x, plot.y, _any_above_0(plot))


def _bar(axes: Axes, plot: Plot) -> None:
    series = list(_series(plot))
    names = _labels(plot.table, plot.x)
    wide = 0.8 / max(len(series), 1)
    for i, (value, rows) in enumerate(series):
        places = [names.index(name) + (i + 0.5) * wide - 0.4 for name in rows.known(plot.x)]
        axes.bar(places, _places(rows, plot.y), wide, yerr=_off(rows, plot), capsize=3, label=_label(plot, value))
    axes.set_xticks(range(len(names)), [told(name) for name in names])
    axes.set_xlim(-0.5, max(len(names), 1) - 0.5)
    _finish(axes, plot, plot.x, plot.y, _any_above_0(plot))


def _heat_map(axes: Axes, plot: Plot) -> None:
    from matplotlib.colors import LogNorm

    across, up = (_labels(plot.table, name) for name in (plot.x, plot.y))
    cells = np.full((max(len(up), 1), max(len(across), 1)), math.nan)
    values = _places(plot.table, plot.value)
    for x, y, value in zip(plot.table.known(plot.x), plot.table.known(plot.y), values, strict=True):
        place = up.index(y), across.index(x)
        if not math.isnan(cells[place]):
            raise ValueError(
                f"two rows have {plot.x} {told(x)} and {plot.y} {told(y)}, and a heat map shows one number there; group the rows first"
            )
        cells[place] = value
    above = cells[cells > 0]
    norm = LogNorm(above.min(), above.max()) if plot.log and len(above) else None
    image = axes.imshow(cells, aspect="auto", norm=norm)
    axes.grid(visible=False)
    axes.set_xticks(range(len(across)), [told(name) for name in across])
    axes.set_yticks(range(len(up)), [told(name) for name in up])
    axes.figure.colorbar(image, ax=axes, label=plot.value)
    axes.set_xlabel(plot.x)
    axes.set_ylabel(plot.y)


def _histogram(axes: Axes, plot: Plot) -> None:
    series = [(value, rows.numbers(plot.x)) for value, rows in _series(plot)]
    known = [(value, numbers[np.isfinite(numbers)]) for value, numbers in series]
    # `by` shares its bins, so that series compare.
    edges = np.histogram_bin_edges(np.concatenate([numbers for _, numbers in known]) if known else [], plot.bins)
    for value, numbers in known:
        axes.hist(numbers, edges.tolist(), alpha=0.6 if plot.by else 1.0, label=_label(plot, value))
    _finish(axes, plot, plot.x, "count", any(len(numbers) for _, numbers in known))


_DRAW: Mapping[Kind, Callable[[Axes, Plot], None]] = {
    "line": _line, "scatter": _scatter, "bar": _bar, "heat map": _heat_map, "histogram": _histogram,
}  # fmt: skip
