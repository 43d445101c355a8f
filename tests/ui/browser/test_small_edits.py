"""Edits that one makes without thinking: lined up, bypassed, dragged numbers, another type, a line of text."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.ui.browser.sheet import Sheet


def test_nodes_are_lined_up_laid_out_muted_bypassed_and_have_another_type(sheet: Sheet) -> None:
    sheet.open("shipped/sample.json")

    def apart() -> float:
        return abs(sheet.box(sheet.node("embedder"))["y"] - sheet.box(sheet.node("null"))["y"])

    sheet.find("embedder")
    sheet.press("Home")
    assert apart() > 10
    sheet.node("null").locator(".title").first.click(modifiers=["Shift"])
    sheet.press("Alt+ArrowUp")
    assert apart() < 1

    # It lies on another node now: laid out anew, it does not.
    aligned = sheet.node("null").get_attribute("style") or ""
    sheet.press("Control+l")
    expect(sheet.node("null")).not_to_have_attribute("style", aligned)
    upper, lower = sorted((sheet.box(sheet.node(id)) for id in ("prompt", "null")), key=lambda box: box["y"])
    beside = upper["x"] + upper["width"] <= lower["x"] or lower["x"] + lower["width"] <= upper["x"]
    assert beside or upper["y"] + upper["height"] <= lower["y"]
    sheet.undo()
    sheet.undo()
    assert apart() > 10

    sheet.find("decoded")
    for key, mode in (("b", r"\bbypass\b"), ("m", r"\bmute\b")):
        sheet.press(key)
        expect(sheet.node("decoded").locator(".card")).to_have_class(re.compile(mode))
        sheet.undo()
        expect(sheet.node("decoded").locator(".card")).not_to_have_class(re.compile(mode))

    sheet.find("save")
    sheet.press("Shift+s")
    search = sheet.page.get_by_role("combobox")
    search.fill("preview image")
    search.press("Enter")
    expect(sheet.node("save")).to_contain_text("preview")
    expect(sheet.edge("save.images")).to_be_attached()


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

    sheet.press("Alt+n")
    expect(sheet.node("guide")).to_have_count(0)
    text = sheet.add("text context", (500, 300)).get_by_label("prompts of text_context, one on each line")
    text.focus()
    sheet.page.keyboard.type("a cat")
    sheet.press("Enter")
    sheet.page.keyboard.type("a dog")
    sheet.press("Escape")
    expect(text).not_to_be_focused()
    expect(text).to_have_value("a cat\na dog")
