"""Plots: what is drawn is what the table holds, the same file each time, and what cannot be drawn is told by column."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from core.plots.picture import picture_of, save_plots
from core.plots.plot import Kind, Plot
from core.tables.operations import group
from core.tables.table import Table, table_of

pytest.importorskip("matplotlib")

SCALES, SEEDS = (1, 3, 5), (0, 1)
TABLE = table_of(
    {
        "scale": [s for s in SCALES for _ in SEEDS],
        "seed": [seed for _ in SCALES for seed in SEEDS],
        "fid": [9.0, 8.0, 4.0, 3.0, 6.0, None],
        "cost in $": ["low"] * 6,
    }
)
PLOTS: dict[Kind, Plot] = {
    "line": Plot("line", TABLE, "scale", "fid", by="seed", title="FID of $ and _"),
    "scatter": Plot("scatter", TABLE, "scale", "fid", by="seed", log=True),
    "bar": Plot("bar", TABLE, "scale", "fid", by="seed"),
    "heat map": Plot("heat map", TABLE, "scale", "seed", "fid"),
    "histogram": Plot("histogram", TABLE, "fid", by="seed", bins=4),
}


def texts(svg: str) -> set[str]:
    return {re.sub(r"<[^>]*>", "", found) for found in re.findall(r"<text.*?</text>", svg, re.DOTALL)}


@pytest.mark.parametrize("kind", PLOTS)
def test_each_kind_tells_its_columns_and_series(kind: Kind, tmp_path: Path) -> None:
    plot = PLOTS[kind]
    save_plots([plot], tmp_path / "plot.svg")
    told = texts((tmp_path / "plot.svg").read_text())
    assert {plot.x, *filter(None, (plot.y, plot.value, plot.title))} <= told
    assert not plot.by or {"seed 0", "seed 1"} <= told
    assert Plot.from_tree(plot.to_tree()) == plot


@pytest.mark.parametrize("kind", ["line", "heat map"])
def test_a_logarithmic_axis_tells_plain_numbers(kind: Kind, tmp_path: Path) -> None:
    table = table_of({"steps": [1, 2, 3], "arm": ["a"] * 3, "distance": [9.0, 40.0, 300.0]})
    over = ("steps", "distance") if kind == "line" else ("steps", "arm", "distance")
    save_plots([Plot(kind, table, *over, log=True)], tmp_path / "plot.svg")
    told = texts((tmp_path / "plot.svg").read_text())
    assert {"10", "100"} <= told
    assert not [text for text in told if "$" in text]


ODD = {
    "nothing": table_of({"x": [], "y": [], "by": []}),
    "unknown": table_of({"x": [float("nan"), None], "y": [None, float("nan")], "by": [None, float("nan")]}),
    "infinite": table_of({"x": [1.0, float("inf")], "y": [float("inf"), float("-inf")], "by": ["a", "b"]}),
    "not above 0": table_of({"x": [0, -1], "y": [0, -1], "by": ["中", "$"]}),
}


@pytest.mark.parametrize("name", ODD)
def test_what_has_no_place_is_left_out_and_nothing_is_warned_of(name: str) -> None:
    plots = [
        Plot("line", ODD[name], "x", "y", by="by", log=True),
        Plot("scatter", ODD[name], "x", "y", by="by", log=True),
        Plot("bar", ODD[name], "by", "y", by="x", log=True),
        Plot("heat map", ODD[name], "x", "by", "y", log=True),
        Plot("histogram", ODD[name], "x", by="by", log=True),
    ]
    assert picture_of(plots, 200, 200).size == (1000, 200)


def test_a_deviation_is_a_size_and_an_infinite_one_is_not_drawn() -> None:
    table = table_of({"x": [1, 2], "y": [1, 2], "off": [0.1, float("inf")], "below": [-1, 0]})
    plots = [Plot(kind, table, "x", "y", deviation="off") for kind in ("line", "scatter", "bar")]
    assert picture_of(plots, 200, 200).size == (600, 200)
    with pytest.raises(ValueError, match="'below' says how far y may be off, and holds -1"):
        Plot("bar", table, "x", "y", deviation="below")


def test_equal_plots_are_equal_files(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        save_plots([PLOTS["bar"]], tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_line_is_drawn_where_its_numbers_are(tmp_path: Path) -> None:
    """y goes up as the numbers do, the rows in order of x whatever their order in the table."""
    table = table_of({"x": [3, 1, 2], "y": [30.0, 10.0, 20.0]})
    save_plots([Plot("line", table, "x", "y")], tmp_path / "line.svg")
    svg = (tmp_path / "line.svg").read_text()
    lines = [found for found in re.findall(r'<path d="([^"]*)" clip-path', svg) if found.count("L") == 2]
    points = np.array([[float(n) for n in re.findall(r"[\d.]+", found)] for found in lines])[0].reshape(3, 2)
    assert np.allclose(np.diff(points[:, 0]), np.diff(points[:, 0])[0]), "equal steps across"
    assert (np.diff(points[:, 0]) > 0).all()
    assert (np.diff(points[:, 1]) < 0).all(), "upwards, as SVG counts"


def test_plots_beside_each_other_are_one_picture_of_the_asked_size() -> None:
    picture = picture_of([PLOTS["line"], PLOTS["heat map"]], width=300, height=200)
    assert picture.size == (600, 200)
    assert picture.mode == "RGB"
    assert len(np.unique(np.asarray(picture))) > 20


def test_a_deviation_is_drawn_as_a_band_and_one_that_is_unknown_is_none() -> None:
    grouped = group(TABLE, ["scale"], ["fid"])
    assert grouped.columns["fid_deviation"][-1] is None
    with_band = picture_of([Plot("line", grouped, "scale", "fid_mean", deviation="fid_deviation")])
    without = picture_of([Plot("line", grouped, "scale", "fid_mean")])
    assert with_band.tobytes() != without.tobytes()


def test_what_cannot_be_drawn_is_told_by_column() -> None:
    with pytest.raises(ValueError, match="no column 'fd'; it has scale, seed, fid"):
        Plot("line", TABLE, "scale", "fd")
    with pytest.raises(ValueError, match="'cost in \\$' holds the text 'low'"):
        Plot("scatter", TABLE, "scale", "cost in $")
    with pytest.raises(ValueError, match=r"two rows have scale 1 and cost in \$ low.*group the rows first"):
        picture_of([Plot("heat map", TABLE, "scale", "cost in $", "fid")])
    with pytest.raises(ValueError, match="no plot to draw"):
        picture_of([])


@pytest.mark.parametrize("kind", PLOTS)
def test_tables_without_rows_and_of_the_unknown_alone_are_drawn(kind: Kind) -> None:
    for rows in ((), (None, None)):
        table = Table(dict.fromkeys(TABLE.columns, rows))
        picture_of([Plot.from_tree({**PLOTS[kind].to_tree(), "table": table.columns})])
