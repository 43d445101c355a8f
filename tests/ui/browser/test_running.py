"""Running as people run: options of a run, how often, the queue, seeds after a run, a sweep, and what a page opened anew shows."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import expect

from tests.ui.browser.conftest import shortened
from tests.ui.browser.sheet import Sheet, graph_of
from tests.ui.conftest import RunningServer, graph, looping


def saved(server: RunningServer, name: str, nodes: dict[str, Any]) -> str:
    path = f"workflows/{name}.json"
    server.call("save", path=path, workflow=graph(nodes, title=name), overwrite=True)
    return path


def newest(server: RunningServer) -> dict[str, Any]:
    [run] = server.call("history", limit=1)
    return dict(run)


def test_a_run_is_asked_for_by_its_menu_and_its_queue_is_put_in_order(sheet: Sheet, real_server: RunningServer) -> None:
    page = sheet.page
    sheet.open(saved(real_server, "asked", looping(10_000, 0.01)))
    menu = page.get_by_role("button", name="Options of a run")
    menu.press("Enter")
    page.get_by_label("dtype of the run").select_option("bfloat16")
    page.get_by_label("Seed of the run").fill("5")
    page.get_by_label("How many runs").fill("3")
    page.get_by_text("More", exact=True).click()
    page.get_by_label("threads of the run").fill("1")
    page.keyboard.press("Escape")
    expect(page.get_by_role("group", name="Options of a run")).to_have_count(0)
    expect(menu).to_be_focused()
    sheet.run()
    expect(page.get_by_role("progressbar", name="Share of the run that is done").first).to_be_visible()
    expect(page).to_have_title(re.compile(r"\d+ % · asked"))
    expect(page.locator('link[rel="icon"]')).to_have_attribute("href", re.compile("stroke-dasharray"))
    expect(page.get_by_text("2 waiting")).to_be_visible()
    waiting = real_server.call("queue")["queued"]
    assert [(run["seed"], run["options"]) for run in waiting] == [
        (seed, {"dtype": "bfloat16", "threads": 1}) for seed in (6, 7)
    ]

    page.keyboard.press("Alt+2")
    memory = page.get_by_role("region", name="Memory now")
    expect(memory.get_by_text(re.compile("worker"))).to_be_visible()
    rows = page.locator(".run.queued")
    expect(rows.first.get_by_text("seed 5 → 6")).to_be_visible()
    rows.last.locator(".run-row").click()
    later = waiting[1]["run"]
    page.get_by_role("button", name=f"Sooner: run {later}").click()
    expect(rows.first.get_by_text("seed 6 → 7")).to_be_visible()
    page.get_by_role("button", name="Clear what waits").click()
    expect(rows).to_have_count(0)
    page.get_by_role("button", name="Stop", exact=True).first.click()
    sheet.until_over()
    menu.click()
    page.get_by_role("button", name="As the server was started").click()
    expect(page.get_by_label("Seed of the run")).to_have_value("0")


def test_a_seed_counts_on_and_a_sweep_ends_in_a_grid_that_a_page_opened_anew_shows(
    sheet: Sheet, real_server: RunningServer
) -> None:
    page = sheet.page
    trained = shortened("quickstart", autoencoder=2, diffusion=2)
    path = "workflows/swept.json"
    real_server.call("save", path=path, workflow={**trained, "title": "swept"}, overwrite=True)
    seed = trained["nodes"]["noise"]["params"].get("seed", 0)  # type: ignore[index]
    sheet.open(path)
    sheet.find("noise")
    field = sheet.field("noise", "seed")
    sheet.node("noise").get_by_role("button", name="One more: seed of noise").click()
    expect(field).to_have_value(str(seed + 1))
    sheet.node("noise").get_by_role("button", name="Draw another: seed of noise").click()
    expect(field).not_to_have_value(str(seed + 1))
    sheet.type_in("noise", "seed", str(seed))
    sheet.node("noise").get_by_role("button", name="After a run it stays: seed of noise").click()
    sheet.run()
    expect(field).to_have_value(str(seed + 1))
    sheet.until_over()
    sheet.undo()
    expect(field).to_have_value(str(seed))

    field.click(button="right")
    page.get_by_role("menuitem", name="Sweep over it…").click()
    dialog = page.get_by_role("dialog", name="Sweep over seed")
    dialog.get_by_label("From").fill("1")
    dialog.get_by_label("To").fill("3")
    dialog.get_by_label("Values", exact=True).fill("3")
    expect(dialog.get_by_text("1, 2, 3", exact=True)).to_be_visible()
    dialog.get_by_role("button", name="Draw the sweep").click()
    expect(sheet.node("sweep")).to_be_attached()
    sheet.undo()
    expect(sheet.node("sweep")).to_have_count(0)
    sheet.press("Control+Shift+z")
    expect(sheet.node("sweep")).to_be_attached()
    sheet.press("Control+s")
    expect(page.get_by_text(f"Saved {path}")).to_be_visible()
    sheet.run()
    sheet.until_over()
    assert newest(real_server)["status"] == "done", newest(real_server)
    found = graph_of(real_server.workspace / path)
    assert found["noise"]["wires"] == {"seed": "sweep.item.seed"}
    assert found["sweep"]["params"] == {"over": {"seed": [1, 2, 3]}}
    assert found["labelled_grid"]["params"] == {"column_name": "seed"}
    assert found["labelled_grid"]["wires"] == {"images": "sweep.image", "columns": "sweep.seed"}

    page.evaluate("sessionStorage.clear()")
    sheet.open(path)
    sheet.find("preview image")
    expect(sheet.picture("preview_image")).to_be_visible()
    page.get_by_role("button", name="cost?").click()
    expect(page.get_by_role("button", name="What a run will cost")).to_be_visible(timeout=60_000)
