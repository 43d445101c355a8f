"""A training watched from the canvas: live curves and pictures, a closed tab, a stop, and going on."""

from __future__ import annotations

import re

from playwright.sync_api import BrowserContext, expect

from tests.ui.browser.conftest import shortened
from tests.ui.browser.sheet import Sheet
from tests.ui.conftest import RunningServer

STEPS = 400


def turn(sheet: Sheet) -> int:
    """The turn that the zone says it is at."""
    shown = sheet.node("diffusion").locator(".fare.running b")
    return int(shown.inner_text()) if shown.count() else 0


def until_turn(sheet: Sheet, least: int) -> int:
    reached = sheet.node("diffusion").locator(".fare.running b")
    expect(reached).to_have_text(re.compile(r"\d+"), timeout=60_000)
    sheet.page.wait_for_function(
        f"""() => Number(document.querySelector('[data-id="diffusion"] .fare b')?.textContent ?? 0) >= {least}""",
        timeout=60_000,
    )
    return turn(sheet)


def test_a_training_lives_on_without_the_page(
    context: BrowserContext, sheet: Sheet, real_server: RunningServer
) -> None:
    short = shortened("quickstart", every=10, autoencoder=2, diffusion=STEPS)
    short["title"] = "A short training"
    real_server.call("save", path="workflows/short.json", workflow=short, overwrite=True)

    sheet.open("workflows/short.json")
    sheet.run()
    reached = until_turn(sheet, 20)
    sheet.select("diffusion")
    sheet.press("f")
    expect(sheet.page.locator(".panel-curves li").first).to_be_visible()
    expect(sheet.picture("show_samples")).to_be_visible()
    sheet.page.get_by_role("button", name="Open the chart", exact=True).click()
    expect(sheet.page.locator(".plot canvas")).to_be_visible()
    sheet.page.get_by_label("log scale").check()
    sheet.press("Escape")

    sheet.page.close()
    again = Sheet(context.new_page(), real_server.url).open("workflows/short.json")
    reached = until_turn(again, reached + 5)
    again.page.get_by_role("button", name="Stop").click()
    again.until_over()
    expect(again.page.get_by_text("Stopped. Run again to go on from there.")).to_be_visible()

    again.run()
    goes_on = until_turn(again, 1)
    assert goes_on >= reached, "it began anew"
    again.page.get_by_role("button", name="Stop").click()
    again.until_over()
    assert again.errors == []
