"""Plots of tables, and images in rows and columns: figures as values, drawn where they are shown or saved."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from core import images as pictures
from core import labelled_grid as cells
from core.plots import picture as drawing
from core.plots.carried import KEYWORD, carried
from core.plots.plot import Plot as _Plot
from core.tables.table import told
from graph_runner.context import Outputs
from graph_runner.contract import Name, node
from nodes.wires import Image, Plot, Table

CARRIES = "carries=plots"
"""Said in the media type of a picture that carries its numbers (`core.plots.carried`), which the canvas draws anew."""
Pixels = Annotated[int, Field(ge=100, le=8192)]
Labels = list[int | float | str]


@node(category="plots", words=("curve", "chart", "graph", "matplotlib", "loss curve"))
def line_plot(
    table: Table, x: str, y: str, by: str = "", deviation: str = "", title: str = "", log: bool = False
) -> Plot:
    """A line through the rows of a table, in the order of x; a line for each value of another column.

    x: the column across.
    y: the column up.
    by: a column whose values are lines of their own; empty for one line.
    deviation: a column of how far y may be off, drawn as a band; empty for none.
    title: above the plot.
    log: whether the axis of y is logarithmic.
    """
    return _Plot("line", table, x, y, by=by, deviation=deviation, title=title, log=log)


@node(category="plots", words=("chart", "points", "trade-off", "pareto"))
def scatter_plot(
    table: Table, x: str, y: str, by: str = "", deviation: str = "", title: str = "", log: bool = False
) -> Plot:
    """A point for each row of a table.

    x: the column across.
    y: the column up.
    by: a column whose values have colours of their own; empty for one colour.
    deviation: a column of how far y may be off, drawn as bars; empty for none.
    title: above the plot.
    log: whether the axis of y is logarithmic.
    """
    return _Plot("scatter", table, x, y, by=by, deviation=deviation, title=title, log=log)


@node(category="plots", words=("chart", "histogram of categories"))
def bar_plot(
    table: Table, x: str, y: str, by: str = "", deviation: str = "", title: str = "", log: bool = False
) -> Plot:
    """A bar for each row of a table.

    x: the column of the names beneath.
    y: the column of the heights.
    by: a column whose values stand side by side in colours of their own; empty for one colour.
    deviation: a column of how far y may be off, drawn on the bars; empty for none.
    title: above the plot.
    log: whether the axis of y is logarithmic.
    """
    return _Plot("bar", table, x, y, by=by, deviation=deviation, title=title, log=log)


@node(category="plots", words=("chart", "matrix", "colour map"))
def heat_map_plot(table: Table, x: str, y: str, value: str, title: str = "", log: bool = False) -> Plot:
    """The numbers of a table as colours, in rows and columns: what a sweep over two parameters gives.

    x: the column whose values stand across.
    y: the column whose values stand down.
    value: the column of the colours; one row for each place.
    title: above the plot.
    log: whether the colours are logarithmic.
    """
    return _Plot("heat map", table, x, y, value, title=title, log=log)


@node(category="plots", words=("distribution", "chart"))
def histogram_plot(
    table: Table,
    x: str,
    by: str = "",
    bins: Annotated[int, Field(ge=1, le=1000)] = 20,
    title: str = "",
    log: bool = False,
) -> Plot:
    """How often a column has which numbers.

    x: the column.
    by: a column whose values have histograms of their own, over the same bins; empty for one.
    bins: how many.
    title: above the plot.
    log: whether the counts' axis is logarithmic.
    """
    return _Plot("histogram", table, x, by=by, bins=bins, title=title, log=log)


def _picture_shape(plots: list[_Plot], width: int, height: int) -> Image:
    drawing.require_matplotlib()
    return torch.empty(1, 3, height, width * len(plots))


@node(category="plots", version=2, dry=_picture_shape, words=("rasterize", "figure to image"))
def plot_image(plots: list[Plot], width: Pixels = 640, height: Pixels = 440) -> Image:
    """Plots beside each other as an image, for grids and wherever images go.

    plots: from left to right.
    width: of each plot.
    height: of the image.
    """
    return pictures.from_pil(drawing.picture_of(plots, width, height))[None]


def _could_save(**_: Any) -> None:
    drawing.require_matplotlib()


@node(
    category="plots",
    effect=True,
    version=3,
    dry=_could_save,
    words=("show", "figure", "svg", "png", "export", "preview"),
)
def save_plot(
    plots: list[Plot],
    outputs: Outputs,
    name: Name = "plot",
    format: Literal["png", "svg"] = "png",
    width: Pixels = 640,
    height: Pixels = 440,
) -> None:
    """Save plots beside each other as one figure, and show it on the node.

    plots: from left to right.
    name: of the file in the run's folder.
    format: a PNG carries its workflow; an SVG stays sharp at any size. Both carry the numbers that they show.
    width: of each plot.
    height: of the figure.
    """
    if format == "svg":
        write = partial(drawing.save_plots, plots, width=width, height=height)
        outputs.file(f"{name}.svg", write, media=f"image/svg+xml;{CARRIES}")
        return
    picture = pictures.from_pil(drawing.picture_of(plots, width, height))
    text = {"workflow": outputs.workflow, KEYWORD: carried(plots)}
    outputs.file(f"{name}.png", partial(pictures.save_png, image=picture, text=text), media=f"image/png;{CARRIES}")


def _grid_shape(**_: Any) -> Image:
    raise NotImplementedError("how many rows and columns there are shows when the labels are there")


@node(category="plots", dry=_grid_shape, words=("xy plot", "xyz plot", "contact sheet", "matrix", "image grid"))
def labelled_grid(
    images: Image | list[Image],
    columns: Labels,
    rows: Labels = [],  # noqa: B006
    column_name: str = "",
    row_name: str = "",
    zoom: Annotated[int, Field(ge=0, le=64)] = 0,
) -> Image:
    """Images in rows and columns by their labels: let the sweep give what it swept beside its images, and wire that in.

    images: each one a cell; of a list, such as `for_each` collects, each batch.
    columns: a label for each cell, which says in which column it stands; equal labels are one column.
    rows: a label for each cell, which says in which row it stands; none for cells one after the other, each with its label beneath.
    column_name: what the columns' labels are of, written before each.
    row_name: what the rows' labels are of, written before each.
    zoom: enlarge each pixel so many times; 0 to enlarge only cells too small for their labels.
    """
    each = images if isinstance(images, list) else list(torch.split(images, 1))
    across, down = _texts(column_name, columns), _texts(row_name, rows)
    return cells.labelled_grid(each, across, down or None, zoom or None)[None]


def _texts(name: str, labels: list[Any]) -> list[str]:
    """What is swept may be numbers, texts, tensors of one number or lists."""
    plain = [label.tolist() if isinstance(label, Tensor) else label for label in labels]
    return [f"{name} {label if isinstance(label, list) else told(label)}".strip() for label in plain]
