"""The plots that pictures carry, as the server hands them out: those of any graph, and of no picture that is something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from core.images import save_png
from core.plots.carried import KEYWORD, carried
from core.plots.picture import save_plots
from core.plots.plot import Plot
from core.tables.table import Table
from tests.core.test_plots import ODD, PLOTS
from ui.plots import plots_in

pytest.importorskip("matplotlib")
HOSTILE = '<img src=x onerror="alert(1)">&amp;</dc:description>\x00中\u2028'


def png(path: Path, text: str) -> Path:
    import torch

    save_png(path, torch.zeros(3, 8, 8), {"workflow": "{}", KEYWORD: text})
    return path


def test_each_kind_comes_back_from_a_png_and_an_svg_as_it_was_carried(tmp_path: Path) -> None:
    plots = [*PLOTS.values(), Plot("line", ODD["infinite"], "x", "y", by="by", log=True)]
    wanted = json.loads(carried(plots))["plots"]
    save_plots(plots, tmp_path / "a.svg")
    for found in (plots_in(png(tmp_path / "a.png", carried(plots))), plots_in(tmp_path / "a.svg")):
        assert [plot.model_dump() for plot in found] == wanted


def test_names_that_are_html_stay_the_texts_that_they_are(tmp_path: Path) -> None:
    table = Table({HOSTILE: (1.0, 2.0), "y": (float("inf"), float("nan")), "by": (HOSTILE, "b")})
    plot = Plot("line", table, HOSTILE, "y", by="by", title=HOSTILE)
    save_plots([plot], tmp_path / "a.svg")
    for found in (plots_in(png(tmp_path / "a.png", carried([plot]))), plots_in(tmp_path / "a.svg")):
        assert (found[0].title, found[0].x, found[0].series[0].label) == (HOSTILE, HOSTILE, f"by {HOSTILE}")
        assert found[0].series[0].y == [None]
        assert found[0].columns["y"] == ["inf", "nan"]


def changed(**values: Any) -> str:
    told = json.loads(carried([PLOTS["line"]]))
    told["plots"][0].update(values)
    return json.dumps(told)


@pytest.mark.parametrize(
    "text",
    [
        "", "rubbish", "[]", '{"version": 2, "plots": []}', '{"version": 1, "plots": 3}', changed(kind="pie"), changed(wide=-1),
        changed(series=[{"label": "", "rows": [0], "x": [1, 2], "y": [1], "off": None, "value": None}]),
        changed(series=[{"label": "", "rows": [-1], "x": [1], "y": [1], "off": None, "value": None}]),
        changed(wide=1).replace('"wide": 1', '"wide": NaN'), changed(title=["x"]), "[" * 10**5, changed(title="x" * 2**23),
    ],
)  # fmt: skip
def test_what_is_no_plot_is_none(text: str, tmp_path: Path) -> None:
    assert plots_in(png(tmp_path / "a.png", text)) == []


def test_other_pictures_and_other_files_carry_none(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    info = PngImagePlugin.PngInfo()
    info.add_text(KEYWORD, carried([PLOTS["bar"]]), zip=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "packed.png", pnginfo=info)
    (tmp_path / "b.svg").write_text("<svg><dc:description>a drawing</dc:description></svg>")
    (tmp_path / "c.bin").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    (tmp_path / "empty").touch()
    assert [len(plots_in(tmp_path / name)) for name in ("a.png", "b.svg", "c.bin", "empty", "packed.png")] == [
        0,
        0,
        0,
        0,
        1,
    ]
