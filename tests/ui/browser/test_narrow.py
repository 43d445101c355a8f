"""The page on a telephone."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.ui.browser.sheet import Sheet


def test_the_panel_waits_to_be_asked_for_where_it_lies_over_the_sheet(sheet: Sheet) -> None:
    sheet.page.set_viewport_size({"width": 390, "height": 844})
    sheet.open("shipped/quickstart.json")
    panel = sheet.page.get_by_role("complementary", name="Node")
    expect(panel).to_have_count(0)
    sheet.page.get_by_role("button", name="More").click()
    sheet.page.get_by_role("menuitem", name="Node and documentation").click()
    expect(panel).to_be_visible()
    panel.get_by_role("button", name="Close the panel").click()
    expect(panel).to_have_count(0)


def test_the_palette_is_no_wider_than_the_window(sheet: Sheet) -> None:
    sheet.page.set_viewport_size({"width": 390, "height": 844})
    sheet.empty()
    sheet.page.mouse.dblclick(195, 400)
    box = sheet.box(sheet.page.locator(".palette"))
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    sheet.press("Escape", "Control+f")
    box = sheet.box(sheet.page.locator(".palette"))
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
