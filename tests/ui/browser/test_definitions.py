"""Definitions on the canvas: made of a selection, opened, changed there, used twice, kept as a blueprint, unpacked."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.ui.browser.sheet import Sheet, graph_of
from tests.ui.conftest import RunningServer

TWICE = {
    "loom": 1,
    "title": "Twice",
    "nodes": {
        "n": {"type": "number", "params": {"value": 2}},
        "low": {"type": "scale", "wires": {"x": "n"}, "params": {"by": 3}},
        "high": {"type": "add", "wires": {"a": "low", "b": "n"}},
        "seen": {"type": "show_pixel", "wires": {"x": "high"}},
    },
    "layout": {
        "n": {"at": [0, 0]},
        "low": {"at": [300, 0]},
        "high": {"at": [600, 0]},
        "seen": {"at": [900, 0]},
    },
}


@pytest.fixture
def twice(context: BrowserContext, server: RunningServer) -> Iterator[Sheet]:
    """The graph above, on a page of the server that the other tests ask; no model is trained for it."""
    server.call("save", path="workflows/twice.json", workflow=TWICE, overwrite=True)
    made = Sheet(context.new_page(), server.url)
    yield made.open("workflows/twice.json")
    assert made.errors == []


def menu(sheet: Sheet, id: str, item: str) -> None:
    sheet.node(id).locator(".title").first.click(button="right")
    sheet.page.get_by_role("menuitem", name=item).click()


def test_from_a_selection_to_a_blueprint_and_back(twice: Sheet, server: RunningServer) -> None:
    sheet, page = twice, twice.page
    way = page.get_by_role("navigation", name="Way into the definition")

    # Made of two nodes: a wire goes in, one comes out.
    sheet.select("low")
    sheet.node("high").locator(".title").first.click(modifiers=["Control"])
    sheet.press("Control+Alt+g")
    expect(sheet.node("low")).to_have_count(0)
    sheet.wired({"definition.n", "seen.x"})

    # Opened by the keyboard: its inside, with what goes in and what comes out, and the way back.
    sheet.select("definition")
    sheet.press("Enter")
    expect(way).to_contain_text("Twice")
    expect(sheet.node("low")).to_be_visible()
    expect(sheet.node("inputs")).to_be_visible()
    expect(sheet.node("results")).to_be_visible()

    # A parameter is shown on the definition, and each use has its own.
    sheet.field("low", "by").click(button="right")
    page.get_by_role("menuitem", name="Show on the definition").click()
    page.get_by_role("button", name="Definitions and blueprints").click()
    panel = page.get_by_role("complementary", name="Definitions")
    panel.get_by_label("Name of by", exact=True).fill("factor")
    panel.get_by_label("Name of by", exact=True).press("Enter")
    expect(panel.get_by_label("Name of factor", exact=True)).to_be_visible()
    panel.get_by_role("button", name="Move factor up").click()
    way.get_by_role("button", name="Leave").click()
    expect(way).to_have_count(0)
    sheet.type_in("definition", "factor", "5")

    # A run's events reach the node inside.
    sheet.run()
    sheet.fares("definition", "done")
    sheet.node("definition").locator(".fare").dblclick()
    sheet.fares("low", "done")

    # Undo inside is a step of the same document; what is wrong is marked there.
    sheet.select("low")
    sheet.press("Delete")
    expect(sheet.node("high").locator(".card")).to_have_class(re.compile(r"\bbad\b"))
    sheet.undo()
    expect(sheet.node("high").locator(".card")).not_to_have_class(re.compile(r"\bbad\b"))
    sheet.press("Escape", "Escape")
    expect(way).to_have_count(0)

    # Named, kept for other workflows, and put into another one from the palette.
    name = panel.get_by_label("Name of the definition definition")
    name.fill("weighted total")
    name.press("Enter")
    expect(panel.get_by_text("used once")).to_be_visible()
    panel.get_by_role("button", name="Save weighted_total as a blueprint").click()
    expect(page.get_by_text("Saved the blueprint")).to_be_visible()
    sheet.press("Control+s")
    expect(page.get_by_text("Saved workflows/twice.json")).to_be_visible()
    nodes = graph_of(server.workspace / "workflows" / "twice.json")
    assert nodes["definition"]["type"] == "weighted_total"
    assert nodes["definition"]["params"] == {"factor": 5}

    sheet.press("Alt+n")
    sheet.add("weighted total", (400, 300), "weighted_total")
    expect(sheet.field("weighted_total", "factor")).to_be_visible()
    menu(sheet, "weighted_total", "Unpack the definition")
    expect(sheet.node("low")).to_be_visible()
    sheet.undo()
    expect(sheet.node("weighted_total")).to_be_visible()
