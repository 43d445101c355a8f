"""Edits that one makes without thinking: lined up, bypassed, dragged numbers, another type, a line of text."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.ui.browser.sheet import Sheet


def test_nodes_are_lined_up_bypassed_and_have_another_type(sheet: Sheet) -> None:
    sheet.open("shipped/sample.json")
    sheet.find("embedder")
    sheet.node("prompt").locator(".title").first.click(modifiers=["Shift"])
    sheet.press("Alt+ArrowUp")
    tops = [sheet.box(sheet.node(id))["y"] for id in ("embedder", "prompt")]
    assert abs(tops[0] - tops[1]) < 1
    sheet.undo()

    sheet.find("decoded")
    sheet.press("b")
    expect(sheet.node("decoded").locator(".card")).to_have_class(re.compile(r"\bbypass\b"))
    sheet.undo()
    expect(sheet.node("decoded").locator(".card")).not_to_have_class(re.compile(r"\bbypass\b"))

    sheet.find("save")
    sheet.press("Shift+s")
    search = sheet.page.get_by_role("combobox")
    search.fill("preview image")
    search.press("Enter")
    expect(sheet.node("save")).to_contain_text("preview")
    assert "save.images" in sheet.wires()


def test_a_number_is_dragged_and_a_text_is_written(sheet: Sheet) -> None:
    sheet.open("shipped/sample.json", whole=False)
    sheet.find("guide")
    field = sheet.field("guide", "scale")
    box = sheet.box(field)
    middle = box["y"] + box["height"] / 2
    sheet.drag((box["x"] + box["width"] / 2, middle), (box["x"] + box["width"] / 2 + 40, middle))
    dragged = float(field.get_attribute("aria-valuenow") or "3")
    assert dragged > 3
    assert len(f"{dragged:g}") <= 4, "no more digits than a pixel is worth"
    sheet.undo()
    expect(field).to_have_attribute("aria-valuenow", "3")

    about = sheet.page.get_by_label("About")
    sheet.press("Escape")
    about.fill("One line\nand another")
    about.press("Control+Enter")
    expect(about).to_have_value("One line\nand another")


def test_the_app_view_is_a_form_of_what_the_workflow_exposes(sheet: Sheet) -> None:
    sheet.open("shipped/sample.json")
    sheet.press("Escape")
    with sheet.page.context.expect_page() as opened:
        sheet.page.get_by_role("link", name="Open the app view").click()
    app = opened.value
    for name in ("scale", "steps", "solver"):
        expect(app.get_by_label(name).first).to_be_visible(timeout=60_000)
