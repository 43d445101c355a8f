"""What a picture of plots carries: the marks that it shows, and no more of them than can be looked at."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.plots.carried import LONGEST, MOST, MOST_TEXT, carried
from core.plots.marks import marks
from core.plots.picture import save_plots
from core.plots.plot import Kind, Plot
from core.tables.table import Table
from tests.core.test_plots import ODD, PLOTS, TABLE

NAN, INFINITE = float("nan"), float("inf")


def told(plot: Plot) -> dict[str, Any]:
    (found,) = json.loads(carried([plot]))["plots"]
    return dict(found)


@pytest.mark.parametrize("kind", PLOTS)
def test_marks_are_the_tables_own_numbers_and_name_their_rows(kind: Kind) -> None:
    plot = PLOTS[kind]
    found = told(plot)
    if kind == "histogram":
        counts = [
            np.histogram([4.0, 9.0, 6.0], np.linspace(3, 9, 5))[0],
            np.histogram([8.0, 3.0], np.linspace(3, 9, 5))[0],
        ]
        assert [series["y"] for series in found["series"]] == [count.tolist() for count in counts]
        assert found["wide"] == 1.5
        return
    for series in found["series"]:
        for n, row in enumerate(series["rows"]):
            cells = {name: column[row] for name, column in found["columns"].items()}
            number = series["value" if kind == "heat map" else "y"][n]
            assert cells["fid"] == ("" if number is None else f"{number:.6g}")
            across = found["across"][round(series["x"][n])] if found["across"] else f"{series['x'][n]:g}"
            assert cells["scale"] == across, "where it lies and what is told of it are one"
    assert sum(len(series["rows"]) for series in found["series"]) == (5 if kind == "heat map" else len(TABLE))


def test_a_line_is_in_the_order_of_x_and_its_band_as_wide_as_the_table_says() -> None:
    table = Table({"x": (3, 1, 2), "y": (30.0, 10.0, None), "off": (3.0, None, 2.0)})
    (series,) = told(Plot("line", table, "x", "y", deviation="off"))["series"]
    assert (series["x"], series["y"], series["off"]) == ([1, 2, 3], [10, None, 30], [0, 2, 3])


def test_what_matplotlib_draws_lies_where_the_carried_numbers_say(tmp_path: Path) -> None:
    """The picture's pixels against the numbers that it carries: one affine map of each axis takes all of one to the other."""
    plot = Plot("line", Table({"x": (3, 1, 2, 7), "y": (30.0, 10.0, 25.0, -4.0)}), "x", "y")
    save_plots([plot], tmp_path / "line.svg")
    svg = (tmp_path / "line.svg").read_text()
    (line,) = [path for path in re.findall(r'<path d="([^"]*)" clip-path', svg) if path.count("L") == 3]
    drawn = np.array([float(number) for number in re.findall(r"-?[\d.]+", line)]).reshape(4, 2)
    (series,) = told(plot)["series"]
    for axis, numbers in enumerate((series["x"], series["y"])):
        slope, start = np.polyfit(numbers, drawn[:, axis], 1)
        assert np.abs(slope * np.array(numbers) + start - drawn[:, axis]).max() < 1e-3


@pytest.mark.parametrize("name", ODD)
def test_what_has_no_place_is_null(name: str) -> None:
    plots = [
        Plot("line", ODD[name], "x", "y", by="by"),
        Plot("bar", ODD[name], "by", "y", by="x"),
        Plot("heat map", ODD[name], "x", "by", "y"),
        Plot("histogram", ODD[name], "x", by="by"),
    ]
    found = json.loads(carried(plots), parse_constant=pytest.fail)  # NaN and Infinity are no JSON
    assert len(found["plots"]) == 4


def many(rows: int) -> dict[str, Plot]:
    y = np.random.default_rng(0).normal(size=rows).tolist()
    y[rows // 3], y[rows // 2] = 99.0, NAN
    names = tuple(f"{n} " + "long " * 100 for n in range(rows))
    table = Table({"x": tuple(range(rows)), "y": tuple(y), "name": names, "three": tuple(n % 3 for n in range(rows))})
    return {
        "line": Plot("line", table, "x", "y", by="three"),
        "scatter": Plot("scatter", table, "x", "y"),
        "bar": Plot("bar", table, "name", "y", by="three"),
        "heat map": Plot("heat map", table, "name", "three", "y"),
        "histogram": Plot("histogram", table, "y", bins=30),
    }


def bounded(plot: Plot) -> dict[str, Any]:
    text = carried([plot])
    found = told(plot)
    assert len(text) < 2**22
    assert sum(len(series["x"]) for series in found["series"]) <= MOST + 3
    assert all(len(cell) <= LONGEST for column in found["columns"].values() for cell in column)
    return found


@pytest.mark.parametrize("kind", many(4))
def test_very_many_rows_are_thinned_and_it_is_told_how_many_there_are(kind: str) -> None:
    rows = 20_000
    found = bounded(many(rows)[kind])
    if kind == "histogram":
        assert sum(found["series"][0]["y"]) == rows - 1, "bars count all"
        return
    assert found["marks"] == sum(len(series.x) for series in marks(many(rows)[kind]).series)
    for series in found["series"]:
        for n, row in enumerate(series["rows"]):
            cell = found["columns"]["y"][row]
            number = series["value" if kind == "heat map" else "y"][n]
            assert cell == ("nan" if number is None else f"{number:.6g}")
            if found["across"]:
                assert found["across"][round(series["x"][n])] == found["columns"]["name"][row]
    if kind == "line":
        assert 99.0 in found["series"][rows // 3 % 3]["y"], "a peak is not thinned away"


def test_a_million_rows_are_bounded() -> None:
    rows = 10**6
    table = Table({"x": tuple(range(rows)), "y": tuple(n % 17 for n in range(rows))})
    assert bounded(Plot("scatter", table, "x", "y"))["marks"] == rows


def test_several_plots_share_what_a_picture_may_carry() -> None:
    table = Table({"x": tuple(range(MOST)), "y": tuple(range(MOST))})
    found = json.loads(carried([Plot("scatter", table, "x", "y")] * 4))["plots"]
    assert sum(len(series["x"]) for plot in found for series in plot["series"]) <= MOST


def test_many_plots_of_long_texts_stay_within_what_a_picture_may_hold() -> None:
    texts = {f"column {n}": tuple("a word or two " * 6 + str(row) for row in range(500)) for n in range(10)}
    table = Table({"x": tuple(range(500)), "y": tuple(range(500)), **texts})
    assert len(carried([Plot("scatter", table, "x", "y")] * 20)) < 2 * MOST_TEXT


def test_what_is_left_of_a_heat_map_moves_together() -> None:
    side = 100
    cells = [(x, y) for x in range(side) for y in range(side)]
    columns = {"x": tuple(x for x, _ in cells), "y": tuple(y for _, y in cells), "v": tuple(range(side**2))}
    found = told(Plot("heat map", Table(columns), "x", "y", "v"))
    (series,) = found["series"]
    assert found["marks"] == side**2
    assert len(series["x"]) < side**2
    for places, names in ((series["x"], found["across"]), (series["y"], found["up"])):
        assert sorted(set(places)) == list(range(len(names)))
