"""Plots drawn by matplotlib: as a picture, or into a file that carries the numbers that it shows."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from core.files import atomic_file
from core.plots.carried import carried
from core.plots.marks import Marks, marks
from core.plots.plot import Kind, Plot
from core.tables.table import Numbers

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


def save_plots(plots: Sequence[Plot], path: Path, width: int = 640, height: int = 440) -> None:
    """Draw plots beside each other into a file, PNG or SVG by its suffix; of `width` × `height` pixels each.

    An SVG carries its numbers as its description (`core.plots.carried`).
    Raises ValueError where matplotlib is not installed, or there is nothing to draw. The file is whole, or not there.
    """
    told = {"Date": None, "Description": carried(plots)} if path.suffix == ".svg" else {}
    with _drawn(plots, width, height) as figure, atomic_file(path) as temporary:
        figure.savefig(temporary, format=path.suffix.removeprefix("."), metadata=told)


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
            _DRAW[plot.kind](axes, plot, marks(plot))
            axes.set_title(plot.title)
        yield figure


def _finish(axes: Axes, plot: Plot, up: str, log: bool) -> None:
    """log: whether there is anything above 0, without which there is no logarithmic axis."""
    axes.set_xlabel(plot.x)
    axes.set_ylabel(up)
    if plot.log and log:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(_powers())
        axes.yaxis.set_minor_formatter(_powers())
    if plot.by and len(plot.table):
        axes.legend()


def _powers() -> Any:
    """Writes a logarithmic axis' numbers plainly: matplotlib's own are formulas, which texts here are not."""
    from matplotlib.ticker import LogFormatter

    return LogFormatter(minor_thresholds=(2, 0.5))


def _any_above_0(drawn: Marks) -> bool:
    return any(bool((series.y > 0).any()) for series in drawn.series)


def _line(axes: Axes, plot: Plot, drawn: Marks) -> None:
    for series in drawn.series:
        x, y = series.x, series.y
        (line,) = axes.plot(x, y, marker="o" if len(x) <= 50 else "", markersize=4, label=series.label or None)
        if series.off is not None:
            axes.fill_between(x, y - series.off, y + series.off, color=line.get_color(), alpha=0.2, linewidth=0)
    _finish(axes, plot, plot.y, _any_above_0(drawn))


def _scatter(axes: Axes, plot: Plot, drawn: Marks) -> None:
    for series in drawn.series:
        axes.errorbar(series.x, series.y, series.off, fmt="o", markersize=5, label=series.label or None)
    _finish(axes, plot, plot.y, _any_above_0(drawn))


def _bar(axes: Axes, plot: Plot, drawn: Marks) -> None:
    for series in drawn.series:
        axes.bar(series.x, series.y, drawn.wide, yerr=series.off, capsize=3, label=series.label or None)
    names = drawn.across or ()
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.5, max(len(names), 1) - 0.5)
    _finish(axes, plot, plot.y, _any_above_0(drawn))


def _heat_map(axes: Axes, plot: Plot, drawn: Marks) -> None:
    from matplotlib.colors import LogNorm

    across, up = drawn.across or (), drawn.up or ()
    cells: Numbers = np.full((max(len(up), 1), max(len(across), 1)), np.nan)
    (series,) = drawn.series
    cells[series.y.astype(int), series.x.astype(int)] = series.value
    above = cells[cells > 0]
    norm = LogNorm(above.min(), above.max()) if plot.log and len(above) else None
    image = axes.imshow(cells, aspect="auto", norm=norm)
    axes.grid(visible=False)
    axes.set_xticks(range(len(across)), across)
    axes.set_yticks(range(len(up)), up)
    bar = axes.figure.colorbar(image, ax=axes, label=plot.value)
    if norm is not None:
        bar.ax.yaxis.set_major_formatter(_powers())
        bar.ax.yaxis.set_minor_formatter(_powers())
    axes.set_xlabel(plot.x)
    axes.set_ylabel(plot.y)


def _histogram(axes: Axes, plot: Plot, drawn: Marks) -> None:
    for series in drawn.series:
        axes.bar(series.x, series.y, drawn.wide, alpha=0.6 if plot.by else 1.0, label=series.label or None)
    _finish(axes, plot, "count", _any_above_0(drawn))


_DRAW: Mapping[Kind, Callable[[Axes, Plot, Marks], None]] = {
    "line": _line, "scatter": _scatter, "bar": _bar, "heat map": _heat_map, "histogram": _histogram,
}  # fmt: skip
