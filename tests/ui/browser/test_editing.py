"""Editing: wires that fit and do not, zones, copies, undo."""

from __future__ import annotations

import json
import re
from pathlib import Path

from PIL import Image
from playwright.sync_api import BrowserContext, expect
from torch import zeros

from core.images import save_png
from graph_runner.format.png import KEYWORD
from tests.ui.browser.sheet import Sheet
from tests.ui.conftest import RunningServer

SAMPLE = "shipped/sample.json"


def test_a_wire_goes_only_where_it_fits_and_says_why_not(sheet: Sheet) -> None:
    sheet.open(SAMPLE)
    before = sheet.wires()

    def colour(wire: str) -> str:
        path = sheet.page.locator(f'.react-flow__edge[data-id="{wire}"] .react-flow__edge-path').first
        return str(path.evaluate("it => getComputedStyle(it).stroke"))

    assert colour("cond.condition") == colour("uncond.condition")
    kinds = ("cond.condition", "cond.model", "decoded.z", "grid.images")
    assert len({colour(wire) for wire in kinds}) == len(kinds)

    start = sheet.centre(sheet.socket("noise", "out:latent"))
    sheet.page.mouse.move(*start)
    sheet.page.mouse.down()
    sheet.page.mouse.move(start[0] + 40, start[1] + 10, steps=4)
    expect(sheet.socket("decoded", "z")).to_have_class(re.compile(r"\bfits\b"))
    expect(sheet.socket("grid", "images")).to_have_class(re.compile(r"\bunfit\b"))
    sheet.page.mouse.move(*sheet.centre(sheet.socket("grid", "images")), steps=4)
    sheet.page.mouse.up()
    expect(sheet.page.get_by_text("images takes image or list of image, and this is latent")).to_be_visible()
    sheet.wired(before)

    sheet.wire(("guide", "out:prediction"), ("decoded", "z"))
    expect(sheet.page.get_by_text("z takes latent, and this is prediction")).to_be_visible()
    sheet.wire(("sample", "inner:z"), ("decoded", "z"))
    expect(sheet.page.get_by_text('This port exists only inside the zone "sample"')).to_be_visible()
    sheet.wired(before)


def test_a_wire_dropped_on_the_sheet_offers_what_fits(sheet: Sheet) -> None:
    sheet.open(SAMPLE)
    sheet.drag(sheet.centre(sheet.socket("grid", "out:image")), (600, 860))
    options = sheet.page.get_by_role("option")
    expect(options.filter(has_text="preview image")).to_have_count(1)
    expect(options.filter(has_text="noise schedule")).to_have_count(0)
    sheet.page.keyboard.type("preview")
    sheet.press("Enter")
    expect(sheet.node("preview_image")).to_be_attached()
    expect(sheet.edge("preview_image.images")).to_be_attached()
    sheet.undo()
    expect(sheet.edge("preview_image.images")).to_have_count(0)


def test_a_moved_node_a_title_and_a_note_outlast_the_next_wire(sheet: Sheet) -> None:
    sheet.empty()
    sheet.add("shapes dataset", (300, 250))
    sheet.add("take images", (800, 250))
    title = sheet.page.get_by_label("Title of the workflow")
    title.fill("Kept")
    title.press("Enter")
    sheet.page.mouse.move(500, 700)
    sheet.press("n")
    start = sheet.centre(sheet.node("take_images").locator(".title").first)
    sheet.drag(start, (start[0] + 250, start[1] + 350))
    moved = sheet.box(sheet.node("take_images"))
    sheet.wire(("shapes_dataset", "out:dataset"), ("take_images", "data"))
    sheet.wired({"take_images.data"})
    assert sheet.box(sheet.node("take_images")) == moved
    expect(title).to_have_value("Kept")
    expect(sheet.node("note")).to_be_attached()


def test_a_lifted_wire_moves_or_comes_off(sheet: Sheet) -> None:
    sheet.open(SAMPLE)
    sheet.drag(sheet.centre(sheet.socket("guide", "cond")), (700, 880))
    expect(sheet.edge("guide.cond")).to_have_count(0)
    sheet.undo()
    expect(sheet.edge("guide.cond")).to_be_attached()


def test_a_parameter_becomes_a_port_and_back(sheet: Sheet) -> None:
    sheet.open(SAMPLE)
    sheet.field("guide", "scale").click(button="right")
    sheet.page.get_by_role("menuitem", name="Turn into a port").click()
    expect(sheet.field("guide", "scale")).to_have_count(0)
    sheet.node("guide").locator(".port-name", has_text="scale").click(button="right")
    sheet.page.get_by_role("menuitem", name="Turn back into a parameter").click()
    expect(sheet.field("guide", "scale")).to_be_visible()


def test_nodes_move_into_zones_and_out(sheet: Sheet, real_server: RunningServer) -> None:
    sheet.open(SAMPLE)
    zone = sheet.box(sheet.node("sample"))
    head = sheet.node("autoencoder").locator(".title")
    start = sheet.centre(head)
    sheet.drag(start, (zone["x"] + zone["width"] * 0.72, zone["y"] + zone["height"] - 30))
    expect(sheet.page.get_by_text("could not follow")).to_be_visible()
    expect(sheet.edge("decoded.autoencoder")).to_have_count(0)
    sheet.undo()
    expect(sheet.edge("decoded.autoencoder")).to_be_attached()

    sheet.drag(
        sheet.centre(sheet.node("unet").locator(".title")),
        (zone["x"] + zone["width"] * 0.72, zone["y"] + zone["height"] - 30),
    )
    expect(sheet.edge("cond.model")).to_be_attached()
    expect(sheet.edge("uncond.model")).to_be_attached()
    sheet.save_as("moved_in")
    saved = real_server.call("open", path="workflows/moved_in.json")["workflow"]
    assert "unet" in saved["nodes"]["sample"]["body"]["nodes"]

    sheet.press("Home")
    zone = sheet.box(sheet.node("sample"))
    below = (zone["x"] + zone["width"] / 2, zone["y"] + zone["height"] + 60)
    sheet.drag(sheet.centre(sheet.node("unet").locator(".title")), below)
    expect(sheet.edge("cond.model")).to_be_attached()
    expect(sheet.edge("uncond.model")).to_be_attached()
    sheet.save_as("moved_out")
    saved = real_server.call("open", path="workflows/moved_out.json")["workflow"]
    assert "unet" in saved["nodes"]


def test_copies_go_from_page_to_page(context: BrowserContext, sheet: Sheet, real_server: RunningServer) -> None:
    sheet.open(SAMPLE)
    sheet.select("sample")
    sheet.press("Control+c")
    text = sheet.page.evaluate("() => navigator.clipboard.readText()")
    assert set(json.loads(text)["nodes"]) == {"sample"}

    other = Sheet(context.new_page(), real_server.url).empty()
    other.page.mouse.move(300, 300)
    other.press("Control+v")
    expect(other.node("guide")).to_be_attached()
    other.wired({
        "cond.z", "cond.t", "uncond.z", "uncond.t", "guide.cond", "guide.uncond", "sample.results.prediction",
    })  # fmt: skip
    other.page.close()

    sheet.page.bring_to_front()
    sheet.page.locator(".react-flow__pane").hover(position={"x": 300, "y": 800})
    sheet.press("Control+Shift+v")
    expect(sheet.node("guide2")).to_be_attached()
    expect(sheet.edge("sample2.noise")).to_be_attached()
    expect(sheet.edge("sample2.schedule")).to_be_attached()
    expect(sheet.edge("cond2.model")).to_be_attached()


def test_everything_is_undone_and_done_again(sheet: Sheet, real_server: RunningServer) -> None:
    sheet.open(SAMPLE)
    untouched = sheet.wires()
    sheet.select("grid")
    sheet.press("m", "h", "Control+d")
    expect(sheet.node("grid2")).to_be_attached()
    sheet.press("Control+g")
    expect(sheet.page.locator(".react-flow__node-frame")).to_have_count(1)
    sheet.press("Delete")
    sheet.select("decoded")
    sheet.press("Delete")
    sheet.press("Control+a", "Control+l")
    changed = sheet.wires()
    assert "decoded.z" not in changed
    for _ in range(12):
        sheet.undo()
    sheet.wired(untouched)
    expect(sheet.page.get_by_label("Unsaved changes")).to_have_count(0)
    for _ in range(12):
        sheet.press("Control+Shift+z")
    sheet.wired(changed)


def test_what_was_not_saved_comes_back(sheet: Sheet) -> None:
    sheet.open(SAMPLE)
    sheet.type_in("guide", "scale", "9")
    expect(sheet.page.get_by_label("Unsaved changes")).to_be_visible()
    sheet.page.wait_for_timeout(600)
    sheet.page.reload()
    expect(sheet.page.get_by_text("Your unsaved changes are back")).to_be_visible()
    expect(sheet.field("guide", "scale")).to_have_attribute("aria-valuenow", "9")


def test_zones_collapse_with_their_wires(sheet: Sheet) -> None:
    sheet.open(SAMPLE)
    sheet.select("sample")
    sheet.press("h")
    expect(sheet.node("guide")).to_have_count(0)
    expect(sheet.node("sample").get_by_text("3 inside")).to_be_visible()
    expect(sheet.edge("sample.noise")).to_be_attached()
    expect(sheet.edge("cond.model")).to_be_attached()
    expect(sheet.edge("decoded.z")).to_be_attached()
    sheet.press("h")
    expect(sheet.node("guide")).to_be_attached()


def test_a_picture_and_a_file_open_where_they_are_dropped(
    sheet: Sheet, real_server: RunningServer, tmp_path: Path
) -> None:
    text = real_server.call("open", path="shipped/langevin.json")["text"]
    sheet.open(SAMPLE)
    sheet.drop("langevin.json", text.encode())
    expect(sheet.title).to_have_value(re.compile("Langevin"))

    picture = tmp_path / "langevin.png"
    save_png(picture, zeros(3, 8, 8), {KEYWORD: text.replace("Langevin", "Langevin in a picture")})
    sheet.drop("langevin.png", picture.read_bytes())
    expect(sheet.title).to_have_value(re.compile("Langevin in a picture"))


def test_a_click_means_one_node_of_several(sheet: Sheet) -> None:
    sheet.open(SAMPLE)
    selected = sheet.page.locator(".react-flow__node.selected")
    zone = sheet.box(sheet.node("sample"))
    sheet.page.keyboard.down("Shift")  # a box around much
    sheet.drag((zone["x"] + 10, zone["y"] - 60), (zone["x"] + zone["width"] + 300, zone["y"] + zone["height"] + 10))
    sheet.page.keyboard.up("Shift")
    expect(selected.nth(2)).to_be_attached()
    sheet.select("grid")
    expect(selected).to_have_count(1)
    sheet.press("h")
    expect(sheet.node("grid").locator(".type")).to_have_count(0)
    sheet.press("Control+a")
    expect(selected.nth(2)).to_be_attached()
    sheet.press("Escape")
    expect(selected).to_have_count(0)


def test_running_to_a_node_runs_nothing_else(sheet: Sheet, real_server: RunningServer) -> None:
    sheet.open(SAMPLE)
    sheet.find("guide")  # inside the zone: the zone is what can be run
    with sheet.page.expect_response("**/api/submit"):
        sheet.press("Control+Shift+Enter")
    sheet.until_over()
    [run] = real_server.call("history", limit=1)
    assert run["targets"] == ["sample"]
    planned = real_server.call("events", run=run["run"])[0]
    assert "sample" in planned["nodes"] + planned["cached"]
    assert not {"decoded", "grid", "save"} & {*planned["nodes"], *planned["cached"]}
    expect(sheet.node("sample").get_by_text("float32 16×4×8×8")).to_be_visible()
    expect(sheet.picture("sample")).to_be_visible()  # its latents, projected to colours; the zone grows with them
    text = sheet.node("sample").locator(".text-preview")
    bottom = sheet.box(sheet.node("sample"))["y"] + sheet.box(sheet.node("sample"))["height"]
    assert sheet.box(text)["y"] + sheet.box(text)["height"] < bottom
    with Image.open(real_server.workspace / real_server.call("outputs", run=run["run"])[0]["path"]) as picture:
        assert picture.size == (32, 32)


def test_a_turning_loop_shows_the_latents_it_is_at(sheet: Sheet) -> None:
    sheet.open(SAMPLE)
    sheet.type_in("sample", "steps", "1000")
    sheet.run()
    expect(sheet.picture("sample")).to_be_visible(timeout=60_000)
    sheet.fares("sample", "running")
    expect(sheet.node("sample").locator(".pager-turn")).to_contain_text("step")
    sheet.page.get_by_role("button", name="Stop").click()
    sheet.until_over()
