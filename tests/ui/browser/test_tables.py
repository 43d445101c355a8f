"""Tables and plots on the sheet: sorted by a click, copied as CSV, drawn as a sharp picture."""

from __future__ import annotations

import csv

import pytest
from playwright.sync_api import expect

from tests.ui.browser.sheet import Sheet
from tests.ui.browser.test_accessibility import AXE, scan
from tests.ui.conftest import RunningServer, graph


def test_a_table_is_sorted_and_copied_and_a_plot_is_seen(sheet: Sheet, real_server: RunningServer) -> None:
    pytest.importorskip("matplotlib")
    columns = {"solver": ["heun", 'a "fast", new one', "ddim"], "fid": [10.5, 9.25, None]}
    nodes = {
        "results": {"type": "table", "params": {"columns": columns}},
        "kept": {"type": "save_table", "wires": {"table": "results"}},
        "bars": {"type": "bar_plot", "params": {"x": "solver", "y": "fid"}, "wires": {"table": "results"}},
        "drawn": {"type": "save_plot", "params": {"format": "svg"}, "wires": {"plots": ["bars"]}},
    }
    path = "workflows/table.json"
    real_server.call("save", path=path, workflow=graph(nodes, title="table"), overwrite=True)
    sheet.open(path)
    sheet.run()
    sheet.until_over()
    picture = sheet.picture("drawn")
    expect(picture).to_be_attached()
    sheet.page.wait_for_function("image => image.complete && image.naturalWidth > 100", arg=picture.element_handle())

    sheet.find("kept")
    table = sheet.node("kept").get_by_role("table")
    first = table.locator("tbody td:first-child")
    assert first.all_text_contents() == columns["solver"]
    fid = table.get_by_role("button", name="fid")
    for order, wanted in (
        ("ascending", ['a "fast", new one', "heun", "ddim"]),
        ("descending", ["heun", 'a "fast", new one', "ddim"]),
        ("none", columns["solver"]),
        ("ascending", ['a "fast", new one', "heun", "ddim"]),
    ):
        fid.click()
        expect(table.get_by_role("columnheader", name="fid")).to_have_attribute("aria-sort", order)
        assert first.all_text_contents() == wanted
    sheet.node("kept").get_by_role("button", name="Copy the table as CSV").click()
    expect(sheet.page.get_by_text("Copied")).to_be_visible()
    copied = sheet.page.evaluate("() => navigator.clipboard.readText()")
    assert list(csv.reader(copied.splitlines())) == [
        ["solver", "fid"],
        ['a "fast", new one', "9.25"],
        ["heun", "10.5"],
        ["ddim", ""],
    ]


COLUMNS = {"scale": [1, 3, 1, 3], "seed": [0, 0, 1, 1], "fid": [9.25, 4.5, 8.0, 3.125], "<b>cost</b>": ["<i>low</i>", "b", "c", "d"]}  # fmt: skip


def told(sheet: Sheet) -> dict[str, str]:
    """What is told of the mark that is meant."""
    cells = sheet.page.locator(".plot-told:visible > div")
    expect(cells.first).to_be_visible()
    return dict(text.split("\n") for text in cells.evaluate_all("all => all.map(it => it.innerText)"))


def test_a_plot_is_looked_into(sheet: Sheet, real_server: RunningServer) -> None:
    """Values under the pointer and by keys, series on and off, zoom and back; the same again once the page is opened anew."""
    pytest.importorskip("matplotlib")
    axes = {"x": "scale", "y": "fid", "by": "seed"}
    nodes = {
        "results": {"type": "table", "params": {"columns": COLUMNS}},
        "line": {"type": "line_plot", "params": {**axes, "title": "<u>Lines</u>"}, "wires": {"table": "results"}},
        "bars": {"type": "bar_plot", "params": {**axes, "title": "Bars"}, "wires": {"table": "results"}},
        "drawn": {"type": "save_plot", "wires": {"plots": ["line", "bars"]}},
    }
    path = "workflows/plots.json"
    real_server.call("save", path=path, workflow=graph(nodes, title="plots"), overwrite=True)
    sheet.open(path)
    rows = [{name: str(column[i]).removesuffix(".0") for name, column in COLUMNS.items()} for i in range(4)]
    loaded = "() => performance.getEntriesByType('resource').filter(it => /Plots-|axes-/.test(it.name)).length"
    sheet.run()
    sheet.until_over()
    assert sheet.page.evaluate(loaded) == 0, "what draws plots comes when one is looked into"
    sheet.page.get_by_role("button", name="Viewer", exact=True).click()
    lines = sheet.page.get_by_role("region", name="<u>Lines</u>")
    bars = sheet.page.get_by_role("region", name="Bars")
    expect(lines.locator("canvas")).to_be_visible()
    expect(bars.locator("canvas")).to_be_visible()
    assert sheet.page.evaluate(loaded) > 0

    # A pointer tells the row that it is at: of a line the nearest, of bars the one that it is in.
    over = sheet.box(lines.locator(".u-over"))
    sheet.page.mouse.move(over["x"] + 0.1 * over["width"], over["y"] + 0.1 * over["height"])
    assert told(sheet) == rows[0]
    sheet.page.mouse.move(over["x"] + 0.9 * over["width"], over["y"] + 0.95 * over["height"])
    assert told(sheet) == rows[3]
    over = sheet.box(bars.locator(".u-over"))
    for share, row in ((0.15, 0), (0.35, 2), (0.65, 1), (0.85, 3)):
        sheet.page.mouse.move(over["x"] + share * over["width"], over["y"] + 0.9 * over["height"])
        assert told(sheet) == rows[row]

    # A series that is off is not met, and the axis goes only as far as what is left.
    chip = lines.get_by_role("button", name="seed 0")
    chip.click()
    expect(chip).to_have_attribute("aria-pressed", "false")
    box = lines.get_by_role("group", name="The plot")
    box.focus()
    sheet.press("ArrowRight")
    expect(lines.get_by_role("status")).to_have_text("scale 1, fid 8, seed 1, <b>cost</b> c")
    sheet.press("ArrowRight")
    expect(lines.get_by_role("status")).to_have_text("scale 3, fid 3.125, seed 1, <b>cost</b> d")
    chip.click()
    box.focus()
    sheet.press("ArrowRight", "ArrowDown")
    expect(lines.get_by_role("status")).to_have_text("scale 1, fid 8, seed 1, <b>cost</b> c")
    expect(lines.get_by_role("heading")).to_have_text("<u>Lines</u>")

    # Zoomed by keys and by the wheel, and back.
    back = lines.get_by_role("button", name="See all of the plot (0)")
    expect(back).to_be_disabled()
    sheet.press("+")
    expect(back).to_be_enabled()
    sheet.press("0")
    expect(back).to_be_disabled()
    box.hover()
    sheet.page.mouse.wheel(0, -200)
    expect(back).to_be_enabled()
    back.click()
    expect(back).to_be_disabled()

    if AXE.exists():
        for _ in ("one theme", "the other"):
            sheet.press("Alt+t")
            assert scan(sheet) == []
    assert sheet.page.locator(".plots b, .plots u, .plots script").count() == 0, "names are texts"

    sheet.open(path)
    expect(lines.locator("canvas")).to_be_visible()
    sheet.page.get_by_role("button", name="The plot to look into").click()
    expect(sheet.page.locator(".viewer-content img")).to_be_visible()
    expect(lines).to_have_count(0)
