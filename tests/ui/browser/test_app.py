"""The app view on the page: the canvas' fields and viewer without the canvas, for who wants to see no nodes."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.ui.browser.sheet import Sheet
from tests.ui.conftest import RunningServer, graph

FORM = {
    "a": {"type": "number", "params": {"value": 3}},
    "twice": {"type": "scale", "params": {"by": 2}, "wires": {"x": "a"}},
    "s": {"type": "save_picture", "wires": {"x": "twice"}},
}


def saved(server: RunningServer) -> str:
    exposed = {"params": {"start": "a.value", "how_much": "twice.by"}, "outputs": {"result": "twice"}}
    workflow = graph(FORM, title="An app", about="It *multiplies*.", exposed=exposed)
    return str(server.call("save", path="workflows/folder/an-app.json", workflow=workflow, overwrite=True)["path"])


def typed(app: Page, name: str, value: str, ends: str = "Enter") -> None:
    field = app.get_by_label(name, exact=True)
    field.press("Enter")
    field = app.get_by_label(name, exact=True)
    field.fill(value)
    field.press(ends)


def test_an_app_is_filled_in_run_and_compared(plain_sheet: Sheet, server: RunningServer) -> None:
    path, app = saved(server), plain_sheet.page
    app.goto(f"{server.url}/app/folder/an-app")
    expect(app).to_have_url(f"{server.url}/#app/{path}")
    expect(app.get_by_role("heading", name="An app")).to_be_visible()
    expect(app.locator(".app-about em")).to_have_text("multiplies")
    expect(app.locator(".react-flow, .topbar input")).to_have_count(0)

    picture = app.locator(".viewer-box img").first
    for value, result in ("4", "8"), ("5", "10"):
        typed(app, "start", value)
        app.get_by_role("button", name="Run", exact=True).click()
        expect(app.locator(".app-values")).to_have_text(f"result{result}", timeout=60_000)
        expect(app.get_by_role("status").first).to_contain_text("done")
    expect(picture).to_be_visible()

    # The same viewer: a picture is pinned, another comes under its slider.
    app.get_by_role("button", name="Compare others with this one").click()
    typed(app, "how much", "three", ends="Control+Enter")  # no number: told, and not run without it
    expect(app.get_by_label("how much", exact=True)).to_have_attribute("aria-invalid", "true")
    app.get_by_label("how much", exact=True).fill("3")
    app.get_by_label("how much", exact=True).press("Control+Enter")
    expect(app.locator(".app-values")).to_have_text("result15", timeout=60_000)
    with app.expect_response("**/api/submit"):
        app.get_by_label("how much", exact=True).press("Control+Enter")  # a field that has the focus runs as well
    expect(app.get_by_role("status").first).to_contain_text("done")
    app.get_by_role("button", name="Two pictures under a slider").click()
    expect(app.get_by_role("slider", name=re.compile("^How much of"))).to_be_visible()

    # What was typed in is nobody's draft, and the run is found again by the tab that began it.
    app.reload()
    expect(app.get_by_label("how much", exact=True)).to_have_attribute("aria-valuenow", "2")
    expect(app.locator(".app-values")).to_have_text("result15")
    app.get_by_role("link", name="Open on the canvas").click()
    expect(app.locator(".react-flow__node").first).to_be_attached()
    expect(plain_sheet.tab("An app").get_by_label("Unsaved changes")).to_have_count(0)


def test_an_app_says_what_it_cannot_do(plain_sheet: Sheet, server: RunningServer) -> None:
    wrong = {"a": {"type": "number", "params": {"value": 3}}, "s": {"type": "save_picture"}}
    exposed = {"params": {"start": "a.value"}, "outputs": {}}
    server.call(
        "save", path="workflows/stuck.json", workflow=graph(wrong, title="Stuck", exposed=exposed), overwrite=True
    )
    app = plain_sheet.page
    app.goto(f"{server.url}/#app/workflows/stuck.json")
    expect(app.get_by_role("alert")).to_contain_text("s")
    expect(app.get_by_role("button", name="Run", exact=True)).to_be_disabled()
    app.goto(f"{server.url}/#app/workflows/nowhere.json")
    expect(app.locator(".app-body")).to_contain_text("nowhere")


def test_the_canvas_leads_to_the_app_and_its_panel_has_the_same_fields(
    plain_sheet: Sheet, server: RunningServer
) -> None:
    sheet = plain_sheet
    sheet.open(saved(server))
    sheet.press("Escape")
    panel = sheet.page.get_by_role("complementary", name="Node")
    typed(sheet.page, "how much", "7")
    expect(sheet.field("twice", "by")).to_have_attribute("aria-valuenow", "7")
    panel.get_by_role("button", name="how much: go to its node (twice)").click()
    expect(sheet.node("twice")).to_have_class(re.compile(r"\bselected\b"))
    sheet.undo()
    with sheet.page.context.expect_page() as opened:
        sheet.page.get_by_role("link", name="App view", exact=True).click()
    expect(opened.value.get_by_label("how much", exact=True)).to_be_visible(timeout=60_000)
