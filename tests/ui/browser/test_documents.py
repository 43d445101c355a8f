"""Nothing is lost: whatever is opened, closed, reloaded, crashed, or changed by others meanwhile."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, expect

from tests.ui.browser.conftest import FLAGS
from tests.ui.browser.sheet import Sheet
from tests.ui.conftest import ROOT, RunningServer, graph

SAMPLE = "shipped/sample.json"
NODES = {"noise": {"type": "gaussian_noise", "params": {"shape": [2, 4, 8, 8]}}}


def own_file(server: RunningServer, name: str) -> str:
    """A file of the user's, whose title is its name."""
    path = f"workflows/{name}.json"
    server.call("save", path=path, workflow=graph(NODES, title=name), overwrite=True)
    return path


def new(sheet: Sheet) -> None:
    sheet.press("Alt+n")


def empty_sheet(sheet: Sheet) -> None:
    sheet.press("Control+o")
    sheet.start_page.get_by_role("button", name="Empty sheet").click()


def an_entry(sheet: Sheet) -> None:
    sheet.press("Control+o")
    sheet.example("Annealed Langevin").click()


def a_dropped_file(sheet: Sheet) -> None:
    sheet.drop("langevin.json", (ROOT / "workflows/langevin.json").read_bytes())


def a_restored_run(sheet: Sheet) -> None:
    sheet.page.get_by_role("button", name="Runs", exact=True).click()
    runs = sheet.page.get_by_role("complementary", name="Runs")
    runs.locator("li.run.done .run-row").last.click()
    runs.get_by_role("button", name="Restore graph").click()


def a_pictures_workflow(sheet: Sheet) -> None:
    sheet.page.get_by_role("button", name="Gallery", exact=True).click()
    sheet.page.locator(".gallery-grid .gallery-picture").last.click()
    sheet.page.get_by_role("button", name="Open its workflow").click()


def a_pasted_address(sheet: Sheet) -> None:
    sheet.page.evaluate("location.hash = 'shipped/langevin.json'")


WAYS: list[Callable[[Sheet], None]] = [
    new, empty_sheet, an_entry, a_dropped_file, a_restored_run, a_pictures_workflow, a_pasted_address,
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_opening_leaves_unsaved_work_where_it_is(sheet: Sheet, way: Callable[[Sheet], None]) -> None:
    sheet.open(SAMPLE)
    sheet.type_in("guide", "scale", "4.5")
    sheet.named("Mine")
    way(sheet)
    expect(sheet.tab("Mine")).not_to_have_class(re.compile(r"\bon\b"))
    expect(sheet.tab("Mine").get_by_label("Unsaved changes")).to_be_visible()
    sheet.show("Mine")
    expect(sheet.field("guide", "scale")).to_contain_text("4.5")
    sheet.page.locator(".react-flow__pane").focus()
    sheet.undo()  # its history is there as well
    sheet.shown("Sample a trained model")
    sheet.undo()
    expect(sheet.tab("Sample a trained model").get_by_label("Unsaved changes")).to_have_count(0)


def test_the_address_and_the_page_agree(sheet: Sheet, real_server: RunningServer) -> None:
    own_file(real_server, "addressed")
    sheet.open(SAMPLE)
    new(sheet)
    sheet.named("A draft")
    an_entry(sheet)
    sheet.page.wait_for_url(re.compile("#shipped/langevin"))
    sheet.page.go_back()
    sheet.shown("A draft")
    sheet.page.go_back()
    sheet.shown("Sample a trained model")
    sheet.page.wait_for_url(re.compile("#shipped/sample.json"))
    sheet.page.go_forward()
    sheet.shown("A draft")
    expect(sheet.page).to_have_title(re.compile("A draft"))

    address = sheet.page.url
    sheet.press("Alt+w")  # closed, it is opened again by its address
    expect(sheet.tab("A draft")).to_have_count(0)
    sheet.page.evaluate("address => location.assign(address)", address)
    sheet.shown("A draft")
    sheet.page.evaluate("location.hash = 'workflows/addressed.json'")
    sheet.shown("addressed")
    sheet.page.evaluate("location.hash = 'workflows/nothing.json'")
    expect(sheet.page.get_by_text("nothing.json")).to_be_visible()
    sheet.page.wait_for_url(re.compile("#workflows/addressed.json"))


def test_tabs_are_closed_and_come_back(sheet: Sheet, real_server: RunningServer) -> None:
    sheet.open(own_file(real_server, "first"))
    sheet.named("First, changed")
    new(sheet)
    sheet.named("Second")
    sheet.press("Alt+PageUp")
    sheet.shown("First, changed")
    sheet.press("Alt+PageDown")
    sheet.shown("Second")
    sheet.tab("First, changed").click(button="middle")
    expect(sheet.tab("First, changed")).to_have_count(0)
    toast = sheet.page.locator(".toast").filter(has_text="its unsaved changes are kept")
    toast.get_by_role("button", name="Undo").click()
    sheet.shown("First, changed")
    sheet.page.locator(".react-flow__pane").focus()
    sheet.undo()
    sheet.shown("first")
    sheet.press("Control+Shift+z")

    # Closed by its button, it is on the start page; so is what is open.
    sheet.page.get_by_role("button", name="Close First, changed").click()
    expect(sheet.tab("First, changed")).to_have_count(0)
    sheet.press("Control+o")
    drafts = sheet.start_page.locator(".draft-list li")
    expect(drafts.filter(has_text="Second")).to_contain_text("open here")
    drafts.filter(has_text="First, changed").get_by_role("button", name="First, changed").first.click()
    sheet.shown("First, changed")
    sheet.press("Alt+w", "Alt+w", "Alt+w")
    expect(sheet.page.locator(".empty-sheet")).to_be_visible()

    # What is forgotten can be had back, while the list is open.
    sheet.press("Control+o")
    second = drafts.filter(has_text="Second")
    second.get_by_role("button", name="Forget").click()
    second.get_by_role("button", name="Undo").click()
    second.get_by_role("button", name="Second").first.click()
    sheet.shown("Second")
    sheet.press("Alt+w", "Control+o")
    second.get_by_role("button", name="Forget").click()
    expect(second.get_by_role("button", name="Undo")).to_be_visible()
    sheet.press("Escape", "Control+o")
    expect(drafts.filter(has_text="First, changed")).to_be_visible()
    expect(second).to_have_count(0)


def test_a_reload_finds_every_document(sheet: Sheet) -> None:
    sheet.open(SAMPLE)
    sheet.named("Changed")
    new(sheet)
    sheet.named("Just now")
    sheet.page.reload()  # at once: what is not in the storage yet is left for the next page
    sheet.shown("Just now")
    expect(sheet.page.locator(".tab")).to_have_count(2)
    sheet.show("Changed")
    expect(sheet.node("guide")).to_be_attached()


def test_two_pages_on_one_file_lose_nothing(context: BrowserContext, real_server: RunningServer) -> None:
    path = own_file(real_server, "shared")
    one = Sheet(context.new_page(), real_server.url).open(path)
    two = Sheet(context.new_page(), real_server.url).open(path)
    one.named("Ours")
    two.named("Theirs")
    two.press("Control+s")
    expect(two.page.get_by_text(f"Saved {path}")).to_be_visible()
    notice = one.page.get_by_role("alert").filter(has_text="changed elsewhere, and changed here too")
    expect(notice).to_be_visible()
    expect(one.tab("Ours").get_by_label("Changed elsewhere")).to_be_visible()

    one.press("Control+s")
    expect(one.page.get_by_text("Not saved: the file was changed elsewhere")).to_be_visible()
    assert json.loads((real_server.workspace / path).read_text())["title"] == "Theirs"
    notice.get_by_role("button", name="Open the other version").click()
    one.shown("Theirs (the other version)")
    one.show("Ours")
    notice.get_by_role("button", name="Save as…").click()
    one.page.get_by_label("File name").fill("shared")
    one.page.get_by_label("File name").press("Enter")
    dialog = one.page.get_by_role("dialog", name="Save the workflow")
    expect(dialog.get_by_text("exists already")).to_be_visible()
    dialog.get_by_label("File name").fill("ours")
    dialog.get_by_label("File name").press("Enter")
    expect(one.page.get_by_text("Saved workflows/ours.json")).to_be_visible()
    expect(notice).to_have_count(0)
    assert one.errors == two.errors == []


def test_a_file_changed_on_the_disk_is_told_and_overwritten_on_demand_only(
    sheet: Sheet, real_server: RunningServer
) -> None:
    path = own_file(real_server, "edited")
    file = real_server.workspace / path
    sheet.open(path)
    file.write_text(file.read_text().replace('"edited"', '"By an editor"'))
    notice = sheet.page.get_by_role("alert").filter(has_text="changed elsewhere")
    notice.get_by_role("button", name="Show the new version").click()
    sheet.shown("By an editor")
    sheet.page.locator(".react-flow__pane").focus()
    sheet.undo()
    sheet.shown("edited")
    file.write_text(file.read_text().replace("By an editor", "Again"))
    expect(notice).to_be_visible()
    notice.get_by_role("button", name="Overwrite").click()
    expect(sheet.page.get_by_text(f"Saved {path}")).to_be_visible()
    assert json.loads(file.read_text())["title"] == "edited"
    file.unlink()
    expect(sheet.page.get_by_role("alert").filter(has_text="was deleted elsewhere")).to_be_visible()


def test_two_pages_do_not_write_over_each_others_drafts(context: BrowserContext, real_server: RunningServer) -> None:
    one = Sheet(context.new_page(), real_server.url).empty()
    one.named("Of one")
    one.press("Control+o")
    expect(one.start_page.locator(".draft-list")).to_contain_text("Of one")  # and so is kept
    one.press("Escape")
    two = Sheet(context.new_page(), real_server.url)
    two.page.goto(one.page.url)
    two.shown("Of one")
    two.named("Of two")
    two.press("Control+o")
    expect(two.start_page.locator(".draft-list")).to_contain_text("Of two")
    one.page.bring_to_front()
    one.named("Of one, again")
    expect(one.page.get_by_text("was changed in another tab too")).to_be_visible()
    one.press("Control+o")
    drafts = one.start_page.locator(".draft-list")
    expect(drafts).to_contain_text("Of two")
    expect(drafts).to_contain_text("Of one, again")


def test_a_killed_browser_loses_nothing(browser: Browser, real_server: RunningServer, tmp_path: Path) -> None:
    def start() -> tuple[BrowserContext, Sheet]:
        path = os.environ.get("CHROMIUM") or "/usr/bin/chromium"
        made = browser.browser_type.launch_persistent_context(str(tmp_path), executable_path=path, args=FLAGS)
        made.set_default_timeout(20_000)
        return made, Sheet(made.pages[0], real_server.url)

    context, sheet = start()
    sheet.empty()
    sheet.named("Before the crash")
    sheet.press("Control+o")
    expect(sheet.start_page.locator(".draft-list")).to_contain_text("Before the crash")
    # The whole browser, by the id in the lock that it holds on its profile.
    os.kill(int(str((tmp_path / "SingletonLock").readlink()).rpartition("-")[2]), signal.SIGKILL)
    with suppress(Error):  # it may be known by now that it is gone
        context.close()

    context, sheet = start()
    sheet.page.goto(real_server.url)
    drafts = sheet.start_page.locator(".draft-list")  # the page begins with what was not saved
    drafts.get_by_role("button", name="Before the crash").first.click()
    sheet.shown("Before the crash")
    context.close()


def test_a_full_storage_is_told(context: BrowserContext, sheet: Sheet, real_server: RunningServer) -> None:
    sheet.empty()
    session = context.new_cdp_session(sheet.page)
    session.send("Storage.overrideQuotaForOrigin", {"origin": real_server.url, "quotaSize": 1})
    sheet.named("No room")
    notice = sheet.page.get_by_role("alert").filter(has_text="storage is full")
    expect(notice).to_be_visible()
    session.send("Storage.overrideQuotaForOrigin", {"origin": real_server.url})
    sheet.named("Room")
    expect(notice).to_have_count(0)
    sheet.page.reload()
    sheet.shown("Room")


def test_every_button_of_the_bar_can_be_reached_in_a_narrow_window(sheet: Sheet) -> None:
    sheet.open(SAMPLE)
    sheet.page.set_viewport_size({"width": 390, "height": 844})
    for name in ("Runs", "Gallery", "Before the run: shapes and cost", "Node and documentation"):
        sheet.page.get_by_role("button", name="More", exact=True).click()
        sheet.page.get_by_role("menuitem", name=name, exact=True).click()
    sheet.page.get_by_role("button", name="Close the panel").click()
    new(sheet)
    expect(sheet.page.locator(".tab")).to_have_count(2)
    sheet.show("Sample a trained model")
    sheet.page.get_by_role("button", name="More", exact=True).click()
    sheet.page.get_by_role("menuitem", name="Save", exact=True).click()
    expect(sheet.page.get_by_role("dialog", name="Save the workflow")).to_be_visible()
    sheet.press("Escape")
    assert sheet.page.evaluate("document.documentElement.scrollWidth") <= 390
    # Each takes the click in its middle: nothing lies over it.
    covered = sheet.page.locator(".topbar :is(button, a, input), .tabs > button").evaluate_all("""all => all.filter(one => {
        const { x, y, width, height } = one.getBoundingClientRect();
        return width > 0 && !one.contains(document.elementFromPoint(x + width / 2, y + height / 2));
    }).map(one => one.outerHTML)""")
    assert covered == []


def test_a_large_file_without_places_is_laid_out_beside_the_page(sheet: Sheet, real_server: RunningServer) -> None:
    nodes: dict[str, object] = {}
    for i in range(110):
        nodes |= {f"noise_{i}": NODES["noise"], f"decode_{i}": {"type": "decode", "wires": {"z": f"noise_{i}"}}}
    path = "workflows/crowd.json"
    real_server.call("save", path=path, workflow=graph(nodes), overwrite=True)
    workers: list[str] = []
    sheet.page.on("worker", lambda worker: workers.append(worker.url))
    sheet.open(path)
    assert any("layout.worker" in url for url in workers)
    places = sheet.page.locator(".react-flow__node").evaluate_all(
        "drawn => drawn.map(it => [it.dataset.id, it.style.transform])"
    )
    assert len({transform for _, transform in places}) == len(places) > 3
    real_server.call("discard", path=path)  # what it wires would count as usual
