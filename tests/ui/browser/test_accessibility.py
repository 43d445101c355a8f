"""What a scan finds, and what a person without a mouse can do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.ui.browser.sheet import Sheet
from tests.ui.conftest import ROOT, RunningServer

AXE = ROOT / "ui/web/node_modules/axe-core/axe.min.js"
SETTLED = """() => document.getAnimations().every(
    (it) => it.playState !== "running" || it.effect.getComputedTiming().endTime === Infinity
)"""


def scan(sheet: Sheet) -> list[str]:
    """Serious and critical findings, each with the elements that it names, once what fades in is there."""
    sheet.page.wait_for_function(SETTLED)
    sheet.page.evaluate(Path(AXE).read_text())  # the page's policy lets no script in but its own
    found: list[dict[str, Any]] = sheet.page.evaluate("async () => (await axe.run()).violations")
    return [
        f"{finding['id']}: {[node['html'][:160] for node in finding['nodes'][:4]]}"
        for finding in found
        if finding["impact"] in ("serious", "critical")
    ]


@pytest.mark.skipif(not AXE.exists(), reason="axe-core comes with npm ci")
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_a_scan_finds_nothing_serious(sheet: Sheet, theme: str) -> None:
    sheet.open("shipped/sample.json")
    if theme == "light":
        sheet.press("Alt+t")
    sheet.page.get_by_label("Node and documentation").first.click()
    for panel, name in (("Runs", "Runs"), ("Gallery", "Gallery"), ("Node and documentation", "Node")):
        sheet.page.get_by_label(panel, exact=True).first.click()
        expect(sheet.page.get_by_role("complementary", name=name, exact=True)).to_be_visible()
        assert scan(sheet) == [], panel
    sheet.select("guide")
    assert scan(sheet) == [], "the node's documentation"
    sheet.page.locator(".react-flow__pane").click(position={"x": 20, "y": 20})
    sheet.press("Alt+6")
    expect(sheet.page.get_by_role("complementary", name="Plugins").get_by_role("listitem").first).to_be_visible()
    assert scan(sheet) == [], "plugins"
    for keys, role, name in (
        ("Space", "combobox", "Search nodes"),
        ("Control+f", "combobox", "Find a node"),
        ("Control+o", "dialog", "Open a workflow"),
        ("Control+,", "dialog", "Settings"),
        ("?", "dialog", "Shortcuts"),
    ):
        sheet.press(keys)
        opened = sheet.page.get_by_role(role, name=name)  # type: ignore[arg-type]
        expect(opened).to_be_visible()
        assert scan(sheet) == [], name
        sheet.press("Escape")
        expect(opened).to_have_count(0)


def test_the_theme_is_the_systems_until_one_is_chosen(sheet: Sheet) -> None:
    html = sheet.page.locator("html")
    sheet.page.emulate_media(color_scheme="light")
    sheet.empty()
    expect(html).to_have_attribute("data-theme", "light")
    sheet.press("Alt+t")
    expect(html).to_have_attribute("data-theme", "dark")
    sheet.page.reload()
    expect(html).to_have_attribute("data-theme", "dark")


@pytest.mark.skipif(not AXE.exists(), reason="axe-core comes with npm ci")
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_what_a_run_writes_on_nodes_can_be_read(sheet: Sheet, theme: str) -> None:
    """How each node fared, near and from afar, on the heads of every colour."""
    sheet.open("shipped/sample.json")
    if theme == "light":
        sheet.press("Alt+t")
    sheet.run()
    sheet.until_over()
    sheet.type_in("guide", "scale", "4.25" if theme == "light" else "4.5")  # as no other test has it
    sheet.run()
    sheet.fares("unet", "cached")
    sheet.fares("sample", "done")
    sheet.until_over()
    assert scan(sheet) == [], "near"
    runs = sheet.page.get_by_role("button", name="Runs", exact=True)
    runs.click()
    expect(sheet.page.locator(".run.shown")).to_be_visible()
    assert scan(sheet) == [], "the run that is shown, among others"
    runs.click()
    sheet.page.set_viewport_size({"width": 1100, "height": 760})
    sheet.press("Home")
    sheet.until_still(frames=10, ms=250)
    assert scan(sheet) == [], "from afar"


def test_a_graph_is_composed_without_a_mouse(sheet: Sheet) -> None:
    sheet.empty()
    for name in ("integers", "class names", "shapes dataset"):
        sheet.press("Space")
        sheet.page.keyboard.type(name)
        sheet.press("Enter")
    expect(sheet.node("shapes_dataset")).to_have_class(has("selected"))

    sheet.press("w")
    sheet.page.keyboard.type("class names data")
    sheet.press("Enter")
    expect(sheet.page.locator(".react-flow__edge")).to_have_count(1)
    sheet.wired({"class_names.data"})

    # Tab goes from node to node; a focused node is chosen by Enter and moved by arrows.
    place = sheet.node("shapes_dataset").get_attribute("style") or ""
    sheet.node("shapes_dataset").focus()
    sheet.press("Enter", "ArrowDown")
    expect(sheet.node("shapes_dataset")).not_to_have_attribute("style", place)
    sheet.undo()
    expect(sheet.node("shapes_dataset")).to_have_attribute("style", place)

    field = sheet.field("shapes_dataset", "size")
    field.focus()
    before = field.get_attribute("aria-valuenow") or ""
    sheet.press("ArrowUp")
    expect(field).not_to_have_attribute("aria-valuenow", before)

    sheet.node("class_names").focus()
    sheet.press("Enter", "Delete")
    expect(sheet.node("class_names")).to_have_count(0)


def test_opening_running_looking_and_saving_need_no_mouse(sheet: Sheet, real_server: RunningServer) -> None:
    sheet.open("shipped/quickstart.json")
    sheet.press("Control+o")
    sheet.example("Sample a trained model").focus()
    sheet.press("Enter")
    title = sheet.page.get_by_label("Title of the workflow")
    expect(title).to_have_value("Sample a trained model")
    title.focus()
    title.press("End")
    sheet.page.keyboard.type(" by keyboard")
    sheet.press("Enter")
    sheet.run()
    sheet.look()

    sheet.press("Control+s")
    sheet.page.keyboard.type("by_keyboard")
    sheet.press("Enter")
    expect(sheet.page.get_by_text("Saved workflows/by_keyboard.json")).to_be_visible()

    # A problem is found and gone to.
    sheet.find("guide")
    sheet.press("Delete")
    sheet.page.locator(".react-flow__pane").focus()
    sheet.press("Alt+1")
    problem = sheet.page.get_by_role("complementary", name="Problems").get_by_role("listitem").first
    expect(problem).to_be_visible()
    problem.get_by_role("button").focus()
    sheet.press("Enter")
    expect(sheet.page.locator(".react-flow__node.selected")).to_have_count(1)


def has(word: str) -> Any:
    return re.compile(rf"\b{word}\b")
