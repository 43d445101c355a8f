"""The plots that a picture carries: where its marks lie, and the rows that they are of, so that the page can draw them anew.

Whoever draws plots puts them in as JSON, a PNG's text under "plots" or an SVG's description. A picture may be anybody's: what
does not hold to the form of `Plot` is no plot.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, FiniteFloat, TypeAdapter, ValidationError, model_validator

from graph_runner.base.problems import WorkflowError
from graph_runner.format.carried import carried_texts
from graph_runner.format.png import is_picture
from ui.schemas import Answer

KEYWORD = "plots"
MOST = 2**23
"""Bytes at the head of an SVG in which its description is looked for, and characters of the JSON."""
_DESCRIPTION = re.compile(rb"<dc:description>([^<]*)</dc:description>")

Places = list[FiniteFloat | None]
"""On an axis; null for what has no place."""


class PlotSeries(Answer):
    """Marks of one colour. rows: the number of each mark's row in the plot's columns; none of a histogram, whose bars are of many.

    off: how far y may be off. value: of a heat map, that of the cell at x, y.
    """

    label: str
    rows: list[Annotated[int, Field(ge=0)]]
    x: Places
    y: Places
    off: Places | None
    value: Places | None

    @model_validator(mode="after")
    def _is_even(self) -> Self:
        columns = [self.y, self.rows or self.x, self.off or self.x, self.value or self.x]
        if any(len(column) != len(self.x) for column in columns):
            raise ValueError("the columns of a series have different lengths")
        return self


class Plot(Answer):
    """A plot: names of its columns, "" for those that it has not, and its marks.

    marks: how many there are in the picture; in `series` of very many only some. across, up: names of the places 0, 1, 2 … on
    an axis of names. wide: of a bar. columns: the rows that marks are of, as people read them.
    """

    kind: Literal["line", "scatter", "bar", "heat map", "histogram"]
    title: str
    x: str
    y: str
    value: str
    by: str
    deviation: str
    log: bool
    marks: int
    across: list[str] | None
    up: list[str] | None
    wide: Annotated[FiniteFloat, Field(ge=0)]
    series: list[PlotSeries]
    columns: dict[str, list[str]]


class _Carried(BaseModel):
    version: Literal[1]
    plots: Annotated[list[Plot], Field(max_length=100)]


_READ = TypeAdapter(_Carried)


def plots_in(path: Path) -> list[Plot]:
    """The plots that a picture carries, from left to right; none where it carries none, or is none."""
    text = _of_png(path) if is_picture(path) else _of_svg(path)
    try:
        return _READ.validate_json(text).plots if len(text) <= MOST else []
    except ValidationError:
        return []


def _of_png(path: Path) -> str:
    try:
        return carried_texts(path).get(KEYWORD, "")
    except WorkflowError:
        return ""


def _of_svg(path: Path) -> str:
    with path.open("rb") as file:
        found = _DESCRIPTION.search(file.read(MOST))
    return html.unescape(found[1].decode(errors="replace")) if found else ""
