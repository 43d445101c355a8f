"""Finding things, going without a mouse, fingers, settings, plugins."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, expect

from tests.ui.browser.sheet import Sheet


def options(sheet: Sheet) -> Locator:
    return sheet.page.get_by_role("listbox").get_by_role("option")


def test_nodes_are_found_by_the_words_of_other_programs_and_by_choices(sheet: Sheet) -> None:
    sheet.empty()
    sheet.page.mouse.dblclick(800, 500)
    search = sheet.page.get_by_role("combobox", name="Search nodes")
    search.fill("noise schedule")
    expect(options(sheet).first).to_contain_text("noise schedule")
    search.fill("ksampler")
    expect(options(sheet).first).to_contain_text("sample")
    search.fill("vae")
    expect(options(sheet).filter(has_text="decode").first).to_be_visible()
    search.fill("euler")
    expect(options(sheet).first).to_contain_text("solver: euler")
    search.press("Enter")
    expect(sheet.field("sample", "solver")).to_contain_text("euler")
    sheet.undo()

    # A node with the zone that it is made for is one step.
    sheet.press("Space")
    search.fill("unet denoise")
    inside = options(sheet).filter(has_text="inside a new sample")
    inside.first.click()
    sheet.wired({"denoise.z", "denoise.t", "sample.results.prediction"})
    sheet.undo()
    expect(sheet.page.locator(".react-flow__node")).to_have_count(0)

    # So is a template of several nodes.
    sheet.press("Space")
    search.fill("image to image")
    options(sheet).filter(has_text="noised by a strength").click()
    expect(sheet.node("start")).to_be_attached()
    sheet.undo()
    expect(sheet.page.locator(".react-flow__node")).to_have_count(0)

    # What usually follows comes first.
    sheet.press("Space")
    search.fill("gaussian noise")
    search.press("Enter")
    expect(sheet.node("gaussian_noise")).to_have_class(re.compile(r"\bselected\b"))
    sheet.press("Space")
    expect(options(sheet).first).to_contain_text("sample")
    sheet.press("Escape")


def test_guidance_is_changed_and_run_without_a_mouse(sheet: Sheet) -> None:
    sheet.open("shipped/sample.json")
    # The first stop of Tab leads to the first node; wires are no stops.
    sheet.press("Tab")
    expect(sheet.page.locator(".skip")).to_be_focused()
    sheet.press("Enter")
    expect(sheet.page.locator(".react-flow__node:focus")).to_have_count(1)
    expect(sheet.page.locator(".react-flow__edge[tabindex='0']")).to_have_count(0)

    sheet.press("Control+f")
    search = sheet.page.get_by_role("combobox", name="Find a node")
    search.fill("ddim")
    expect(options(sheet).first).to_contain_text("solver: ddim")
    search.fill("guide scale")
    expect(options(sheet).first).to_contain_text("scale: 3")
    search.press("Enter")
    field = sheet.field("guide", "scale")
    expect(field).to_be_focused()
    sheet.type_in("guide", "scale", "5")
    sheet.run()
    sheet.look()

    # The wires of a node are listed, and one is taken out.
    before = sheet.wires()
    sheet.find("guide")
    sheet.press("Shift+W")
    sheet.page.get_by_role("combobox", name="Wires of guide").fill("uncond")
    sheet.press("Enter", "Delete")
    expect(sheet.page.locator('.react-flow__edge[data-id="guide.uncond"]')).to_have_count(0)
    sheet.wired(before - {"guide.uncond"})
    sheet.undo()


VIEW = "document.querySelector('.react-flow__viewport').style.transform"


def test_the_sheet_is_moved_by_two_fingers_by_space_and_by_the_middle_button(sheet: Sheet) -> None:
    sheet.open("shipped/sample.json")

    def at() -> tuple[float, ...]:
        return tuple(float(each) for each in re.findall(r"-?[\d.]+(?=px|\))", sheet.page.evaluate(VIEW)))

    x, y, zoom = at()
    sheet.page.mouse.move(800, 500)
    sheet.page.mouse.wheel(30, 12)
    sheet.until_still()
    assert at() == pytest.approx((x - 30, y - 12, zoom), abs=1)
    x, y, _ = at()
    start = sheet.centre(sheet.node("sample"))
    sheet.page.keyboard.down("Space")
    sheet.drag(start, (900, 620))
    sheet.page.keyboard.up("Space")
    sheet.until_still()
    assert at() == pytest.approx((x + 900 - start[0], y + 620 - start[1], zoom), abs=1)
    expect(sheet.page.get_by_role("combobox", name="Search nodes")).to_have_count(0)
    assert "selected" not in (sheet.node("sample").get_attribute("class") or "")
    x, y, _ = at()
    sheet.page.mouse.move(900, 620)
    sheet.page.mouse.down(button="middle")
    sheet.page.mouse.move(860, 650, steps=4)
    sheet.page.mouse.up(button="middle")
    sheet.until_still()
    assert at() == pytest.approx((x - 40, y + 30, zoom), abs=1)


def test_settings_are_kept(sheet: Sheet) -> None:
    sheet.open("shipped/sample.json")
    sheet.press("Control+,")
    dialog = sheet.page.get_by_role("dialog")
    dialog.get_by_role("button", name="Change the keys of Minimap").click()
    sheet.press("Control+m")
    dialog.get_by_label("Wires", exact=True).select_option("straight")
    dialog.get_by_label("Theme", exact=True).select_option("light")
    dialog.get_by_label("Language", exact=True).select_option("de")
    expect(sheet.page.get_by_role("dialog", name="Einstellungen")).to_be_visible()
    sheet.press("Escape")
    sheet.page.reload()
    expect(sheet.page.get_by_role("button", name="Läufe")).to_be_visible()
    expect(sheet.page.locator("html")).to_have_attribute("lang", "de")
    expect(sheet.page.locator("html")).to_have_attribute("data-theme", "light")
    minimap = sheet.page.locator(".react-flow__minimap")
    expect(minimap).to_be_visible()
    sheet.press("Control+m")
    expect(minimap).to_have_count(0)
    path = sheet.page.locator(".react-flow__edge-path").first.get_attribute("d") or ""
    assert "C" not in path


def test_plugins_are_listed_and_loaded_anew(sheet: Sheet) -> None:
    sheet.open("shipped/sample.json")
    sheet.press("Alt+6")
    panel = sheet.page.get_by_role("complementary", name="Plugins")
    expect(panel.get_by_role("listitem").filter(has_text="tests.ui.slow_toys")).to_contain_text("not installed")
    panel.get_by_role("button", name="Load edited packages").click()
    expect(sheet.page.get_by_text("Node packages were loaded anew")).to_be_visible(timeout=60_000)


def test_a_phone_draws_wires_changes_the_guidance_runs_and_looks(phone: Sheet) -> None:
    phone.open("shipped/sample.json")
    more = phone.page.get_by_role("button", name="More")
    for name in ("Problems", "Runs", "Gallery", "Plugins", "Node and documentation"):
        more.tap()
        phone.page.get_by_role("menuitem", name=name, exact=True).tap()
        panel = phone.page.get_by_role("complementary")
        expect(panel).to_be_visible()
        panel.get_by_role("button", name="Close the panel").tap()
    more.tap()
    phone.page.get_by_role("menuitem", name="Find a node").tap()
    phone.page.get_by_role("combobox", name="Find a node").fill("guide scale")
    options(phone).first.tap()
    field = phone.field("guide", "scale")
    expect(field).to_be_focused()

    # From a port to a port: two taps. First the wire is taken out by its port's menu, a long press.
    port = phone.node("guide").locator('.line[data-handle="uncond"] .port').first
    port.dispatch_event("contextmenu")
    phone.page.get_by_role("menuitem", name="Disconnect").tap()
    wire = phone.page.locator('.react-flow__edge[data-id="guide.uncond"]')
    expect(wire).to_have_count(0)
    tap(phone, phone.socket("guide", "uncond"))
    expect(phone.page.get_by_text("Tap the port where the wire goes")).to_be_visible()
    phone.page.get_by_role("button", name="Cancel").tap()
    phone.page.get_by_role("button", name="Cancel").wait_for(state="detached")

    # And drawn again, from its other end.
    phone.press("-", "-")
    tap(phone, phone.socket("uncond", "out:prediction"))
    tap(phone, phone.socket("guide", "uncond"))
    expect(wire).to_be_attached()

    with phone.page.expect_response("**/api/submit"):
        phone.page.get_by_role("button", name=re.compile("^(Run|Queue)$")).tap()
    picture = phone.page.get_by_role("button", name=re.compile("Look at the picture of")).first
    phone.find("save")
    expect(picture).to_be_visible(timeout=60_000)
    picture.tap()
    expect(phone.page.get_by_role("button", name="Open its workflow")).to_be_visible()


def test_two_fingers_pinch_a_long_press_opens_the_palette_and_a_selection_becomes_a_template(phone: Sheet) -> None:
    phone.empty()
    touch = phone.page.context.new_cdp_session(phone.page)
    before = phone.page.evaluate(VIEW)
    for apart in (40, 60, 80, 100):
        fingers = [{"x": 195 - apart, "y": 450, "id": 0}, {"x": 195 + apart, "y": 450, "id": 1}]
        kind = "touchStart" if apart == 40 else "touchMove"
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    phone.until_still()
    near, far = (float(re.findall(r"scale\(([\d.]+)", each)[0]) for each in (phone.page.evaluate(VIEW), before))
    assert near > 1.5 * far
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": 200, "y": 500}]})
    search = phone.page.get_by_role("combobox", name="Search nodes")
    expect(search).to_be_visible()
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    search.fill("noise schedule")
    options(phone).first.tap()
    node = phone.node("noise_schedule")
    expect(node).to_be_attached()
    node.locator(".title").first.dispatch_event("contextmenu")
    phone.page.get_by_role("menuitem", name="Save as a template").tap()
    expect(phone.page.get_by_text("Saved as the template noise_schedule")).to_be_visible()


def tap(sheet: Sheet, thing: Locator) -> None:
    """What a finger on a thing does, whether or not that is within the window."""
    thing.evaluate("it => it.dispatchEvent(new PointerEvent('click', {bubbles: true, pointerType: 'touch'}))")
