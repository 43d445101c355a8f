"""Edits on the sheet: nodes that go into wires and out of them, other types, zones on and off, colours, notes, calculations."""

from __future__ import annotations

import json
import re

from PIL import Image
from playwright.sync_api import expect

from tests.ui.browser.sheet import Sheet
from tests.ui.conftest import RunningServer

SAMPLE = "shipped/sample.json"


def chosen(sheet: Sheet, name: str, query: str) -> None:
    """Choose from a list that is open."""
    box = sheet.page.get_by_role("combobox", name=name)
    box.fill(query)
    box.press("Enter")


def wires_of(sheet: Sheet) -> set[str]:
    """All wires: those out of view are not drawn."""
    sheet.press("Home")
    return sheet.wires()


def wired(sheet: Sheet, wires: set[str]) -> None:
    sheet.press("Home")
    sheet.wired(wires)


def emptied(sheet: Sheet) -> None:
    """A new document, opened beside an example: one that is opened first is not taken for it."""
    sheet.open(SAMPLE)
    sheet.press("Alt+n")
    expect(sheet.page.locator(".react-flow__node")).to_have_count(0)


def test_nodes_leave_their_wires_get_other_types_and_zones(sheet: Sheet) -> None:
    sheet.open(SAMPLE)
    before = wires_of(sheet)
    sheet.find("guide")
    sheet.press("Control+Delete")
    expect(sheet.node("guide")).to_have_count(0)
    sheet.press("Home")
    expect(sheet.edge("sample.results.prediction")).to_be_attached()
    sheet.undo()
    wired(sheet, before)

    sheet.find("noise")
    sheet.press("Shift+s")
    expect(sheet.page.locator(".palette-item").first).to_contain_text("keeps all wires")
    sheet.press("Escape")

    sheet.find("noise")
    sheet.press("z")
    chosen(sheet, "A zone around the selection", "group")
    expect(sheet.node("group")).to_have_class(re.compile(r"\bselected\b"))
    wired(sheet, before | {"group.results.noise"})
    sheet.press("Shift+z")
    expect(sheet.node("group")).to_have_count(0)
    wired(sheet, before)
    sheet.undo()
    expect(sheet.node("group")).to_be_attached()
    sheet.undo()
    wired(sheet, before)

    sheet.press("Control+a", "Escape")
    expect(sheet.page.locator(".react-flow__node.selected")).to_have_count(0)


def test_a_node_dropped_on_a_wire_goes_between_its_ends(sheet: Sheet) -> None:
    emptied(sheet)
    sheet.add("load image", (250, 250))
    sheet.add("preview image", (1050, 250))
    sheet.wire(("load_image", "out:image"), ("preview_image", "images"))
    sheet.add("upscale", (600, 650))
    start = sheet.centre(sheet.node("upscale").locator(".title").first)
    here = sheet.centre(sheet.socket("load_image", "out:image"))
    there = sheet.centre(sheet.socket("preview_image", "images"))
    mouse = sheet.page.mouse
    mouse.move(*start)
    mouse.down()
    mouse.move(start[0] + 10, start[1] - 10, steps=2)
    mouse.move((here[0] + there[0]) / 2, (here[1] + there[1]) / 2 - 4, steps=5)
    expect(sheet.page.locator(".wire.takes")).to_have_count(1)
    mouse.up()
    wires = wires_of(sheet)
    assert any(wire.startswith("upscale.") for wire in wires), wires
    assert any(wire.startswith("preview_image.") for wire in wires), wires
    expect(sheet.page.locator(".wire.takes")).to_have_count(0)
    sheet.undo()
    assert not any(wire.startswith("upscale.") for wire in wires_of(sheet))


def test_numbers_colours_notes_and_what_is_saved_of_them(sheet: Sheet, real_server: RunningServer) -> None:
    sheet.open(SAMPLE)
    sheet.type_in("guide", "scale", "2*3 + 1/2")
    expect(sheet.field("guide", "scale")).to_have_attribute("aria-valuenow", "6.5")
    sheet.type_in("sample", "steps", "100/3")
    expect(sheet.page.get_by_text("steps: Whole numbers only, and 100/3 is 33.3333")).to_be_visible()
    expect(sheet.field("sample", "steps")).to_have_attribute("aria-invalid", "true")
    sheet.press("Escape")

    sheet.find("guide")
    sheet.press("Shift+c")
    sheet.page.get_by_role("menuitem", name="Green").click()
    expect(sheet.node("guide").locator(".card")).to_have_attribute("style", re.compile("--own: oklch"))

    sheet.page.locator(".react-flow__pane").hover(position={"x": 300, "y": 820})
    sheet.press("n")
    note = sheet.node("note")
    note.get_by_role("textbox", name="Note").fill("# Why\n\n**strong** <b onclick=alert(1)>text</b>")
    sheet.press("Escape")
    expect(note.get_by_role("heading", name="Why")).to_be_visible()
    expect(note.locator("strong")).to_have_text("strong")
    expect(note.locator("b")).to_have_count(0)

    sheet.save_as("edited")
    saved = json.loads(real_server.call("open", path="workflows/edited.json")["text"])
    assert saved["layout"]["guide"]["colour"] == "green"
    assert saved["layout"]["note"]["text"].startswith("# Why")
    assert saved["nodes"]["sample"]["body"]["nodes"]["guide"]["params"]["scale"] == 6.5


def test_dragging_selects_and_a_reroute_branches(sheet: Sheet, real_server: RunningServer) -> None:
    sheet.open(SAMPLE)
    zone = sheet.box(sheet.node("sample"))
    ends = (zone["x"] + 10, zone["y"] - 60), (zone["x"] + zone["width"] + 300, zone["y"] + zone["height"] + 10)
    selected = sheet.page.locator(".react-flow__node.selected")
    sheet.page.keyboard.down("Control")
    sheet.drag(*ends)
    sheet.page.keyboard.up("Control")
    expect(selected.nth(1)).to_be_attached()
    sheet.press("Escape")
    expect(selected).to_have_count(0)
    sheet.press("s")
    expect(sheet.page.get_by_role("button", name="Drag to select")).to_have_attribute("aria-pressed", "true")
    sheet.drag(*ends)
    expect(selected.nth(1)).to_be_attached()
    sheet.press("Escape", "s")

    sheet.find("unet")
    sheet.page.locator('.react-flow__edge[data-id="cond.model"] .react-flow__edge-interaction').dispatch_event(
        "dblclick", {"clientX": 700, "clientY": 500}
    )
    reroute = sheet.page.locator(".react-flow__node-reroute")
    expect(reroute).to_have_count(1)
    reroute.click()
    sheet.press("w")
    box = sheet.page.get_by_role("combobox", name=re.compile("Connect reroute"))
    box.fill("uncond model")
    box.press("Enter")
    sheet.save_as("branched")
    saved = real_server.call("open", path="workflows/branched.json")["workflow"]
    assert saved["layout"]["reroute"]["wire"] == ["cond.model", "uncond.model"]


def test_the_graph_is_taken_away_as_a_file_and_on_the_clipboard(sheet: Sheet, real_server: RunningServer) -> None:
    sheet.open(SAMPLE)
    sheet.press("Control+Shift+e")
    dialog = sheet.page.get_by_role("dialog", name="Export the graph")
    with sheet.page.expect_download() as found:
        dialog.get_by_role("button", name="Save as JSON").click()
    assert found.value.suggested_filename.endswith(".json")
    exported = json.loads(found.value.path().read_text())
    assert exported == real_server.call("open", path=SAMPLE)["workflow"]
    with sheet.page.expect_download() as found:
        dialog.get_by_role("button", name="Save as Python").click()
    assert found.value.suggested_filename.endswith(".py")
    assert "def run(*, " in found.value.path().read_text() or "def run(\n" in found.value.path().read_text()
    with sheet.page.expect_download() as found:
        dialog.get_by_role("button", name="Save as PNG").click()
    with Image.open(found.value.path()) as picture:
        assert picture.width > 1000
        colours = picture.convert("RGB").getcolors(2**24)
        assert colours is not None
        assert len(colours) > 20
    dialog.get_by_role("button", name="Copy as SVG").click()
    expect(sheet.page.get_by_text("Copied")).to_be_attached()
    assert sheet.page.evaluate("() => navigator.clipboard.readText()").startswith("<svg ")


def test_files_are_renamed_copied_deleted_and_put_back(sheet: Sheet, real_server: RunningServer) -> None:
    sheet.open(SAMPLE)
    sheet.named("My study")
    sheet.save_as("study")
    sheet.press("Control+o")
    page = sheet.start_page
    page.get_by_role("button", name="Rename My study").click()
    box = page.get_by_label("New name of study")
    box.fill("papers/second")
    box.press("Enter")
    expect(page.get_by_role("group", name="papers")).to_contain_text("My study")
    page.get_by_role("group", name="papers").get_by_role("button", name="Duplicate My study").click()
    expect(page.get_by_role("button", name="Delete My study")).to_have_count(2)
    page.get_by_role("button", name="Delete My study").first.click()
    expect(page.get_by_role("button", name="Delete My study")).to_have_count(1)
    page.get_by_role("button", name="Put back").first.click()
    expect(page.get_by_role("button", name="Delete My study")).to_have_count(2)
    page.get_by_role("button", name="Close", exact=True).click()
    expect(sheet.page.locator(".file-path")).to_have_text("papers/second.json")  # the open document followed


def test_a_node_that_holds_a_text_is_made_larger(sheet: Sheet, real_server: RunningServer) -> None:
    emptied(sheet)
    sheet.add("text context", (500, 300))
    node = sheet.page.locator(".react-flow__node-card").first
    id = node.get_attribute("data-id")
    assert id is not None
    sheet.select(id)
    before = sheet.box(node)
    corner = sheet.centre(node.locator(".resize"))
    sheet.drag(corner, (corner[0] + 160, corner[1] + 120))
    after = sheet.box(node)
    assert after["width"] > before["width"] + 100
    assert after["height"] > before["height"] + 60
    sheet.save_as("large")
    saved = real_server.call("open", path="workflows/large.json")["workflow"]
    assert saved["layout"][id]["size"][0] > 300
    sheet.undo()
    assert abs(sheet.box(node)["width"] - before["width"]) < 2
