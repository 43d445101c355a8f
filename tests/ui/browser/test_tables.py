"""Tables and plots on the sheet: sorted by a click, copied as CSV, drawn as a sharp picture."""

from __future__ import annotations

import csv

import pytest
from playwright.sync_api import expect

from tests.ui.browser.sheet import Sheet
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
