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


def progress(server: RunningServer) -> list[int]:
    """The turns that the newest run told of its training."""
    [run] = server.call("history", limit=1)
    events = server.call("events", run=run["run"], limit=10_000)
    return [event["done"] for event in events if event["event"] == "progress" and event["node"] == "diffusion"]


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
    expect(sheet.page.locator(".panel-curves li").first).to_be_visible()
    expect(sheet.picture("diffusion")).to_be_visible()  # its card shows the newest of what runs inside
    sheet.page.get_by_role("button", name="Open the chart", exact=True).click()
    expect(sheet.page.locator(".plot canvas")).to_be_visible()
    sheet.page.get_by_label("log scale").check()
    sheet.press("Escape")

    # The loss moves on, and there is a preview for every ten steps, each kept to be looked at again.
    loss = sheet.page.locator(".panel-curves li b").first
    before = loss.inner_text()
    expect(loss).not_to_have_text(before)
    until_turn(sheet, 45)
    sheet.find("show samples")
    pager = sheet.node("show_samples").get_by_label(re.compile("Which of"))
    # The checkpoint of the two steps before brought its two previews along.
    for at, turn_shown in enumerate((1, 2, 10, 20, 30)):
        pager.fill(str(at))
        expect(sheet.node("show_samples").get_by_text(f"step {turn_shown}", exact=True)).to_be_visible()
    sheet.press("Home")
    reached = until_turn(sheet, reached)

    sheet.page.close()
    again = Sheet(context.new_page(), real_server.url).open("workflows/short.json")
    reached = until_turn(again, reached + 5)
    again.page.get_by_role("button", name="Stop").click()
    again.until_over()
    expect(again.page.get_by_text("Stopped. Run again to go on from there.")).to_be_visible()
    stopped = progress(real_server)[-1]
    assert reached <= stopped < STEPS

    again.run()
    expect(again.page.get_by_role("button", name="Stop")).to_be_visible()  # what is told from here on is of the new run
    until_turn(again, stopped + 1)
    assert progress(real_server)[0] > stopped, "it began anew"
    again.page.get_by_role("button", name="Stop").click()
    again.until_over()
    assert again.errors == []


def test_a_changed_guidance_scale_only_samples_anew(sheet: Sheet, real_server: RunningServer) -> None:
    """The whole quickstart, trained before: nothing runs again but what the scale reaches."""
    trained = shortened("quickstart", autoencoder=2, diffusion=2)
    real_server.call("save", path="workflows/trained.json", workflow=trained, overwrite=True)
    sheet.open("workflows/trained.json")
    sheet.run()
    expect(sheet.node("diffusion").get_by_label("cached")).to_be_attached(timeout=30_000)
    sheet.until_over()

    sheet.find("guide")
    sheet.type_in("guide", "scale", "4.5")
    sheet.run()
    sheet.until_over()
    [run] = real_server.call("history", limit=1)
    planned = real_server.call("events", run=run["run"])[0]
    # Noise is drawn again where a run before found what it leads to in the cache.
    assert set(planned["nodes"]) - {"noise"} == {"sample", "decoded", "grid", "save", "keep"}
    assert {"diffusion", "first_stage"} <= set(planned["cached"])
    sheet.press("Home")
    for id in ("sample", "decoded", "grid"):
        expect(sheet.node(id).locator(".done").first).to_be_attached()
    expect(sheet.node("diffusion").locator(".cached").first).to_be_attached()
