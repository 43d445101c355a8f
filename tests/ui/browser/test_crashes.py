"""The worker killed, the server killed: what the page says, and that work goes on."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.ui.browser.sheet import Sheet
from tests.ui.conftest import RunningServer, graph, looping


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    running = RunningServer(tmp_path_factory.mktemp("crashes"), "--grace", "2")
    yield running
    running.stop()


def opened(context: BrowserContext, server: RunningServer, turns: int, seconds: float) -> Sheet:
    """A loop of so many turns on the page."""
    server.call("save", path="workflows/loop.json", workflow=graph(looping(turns, seconds), title="A loop"))
    return Sheet(context.new_page(), server.url).open("workflows/loop.json")


def test_a_killed_worker_is_told_on_its_node_and_the_next_run_works(
    context: BrowserContext, own: RunningServer
) -> None:
    sheet = opened(context, own, 60, 0.03)
    sheet.run()
    expect(sheet.node("loop").locator(".fare.running b")).to_have_text(re.compile(r"[1-9]"), timeout=180_000)
    os.kill(own.call("about")["workers"][0]["pid"], signal.SIGKILL)

    failure = sheet.node("loop").get_by_role("alert")
    expect(failure).to_contain_text("the worker process was killed")
    expect(failure).to_contain_text("The next run gets a fresh one")
    sheet.fares("loop", "failed")
    sheet.until_over()

    sheet.run()
    expect(sheet.node("loop").get_by_label("done")).to_be_visible(timeout=180_000)
    expect(failure).to_have_count(0)
    assert sheet.errors == []


@pytest.mark.slow
def test_a_killed_server_is_told_and_its_queue_and_history_come_back(
    context: BrowserContext, own: RunningServer
) -> None:
    sheet = opened(context, own, 100, 0.03)
    sheet.run()
    sheet.until_over(180)
    sheet.type_in("loop", "n", "100000")
    sheet.run()
    expect(sheet.node("loop").locator(".fare.running b")).to_have_text(re.compile(r"[1-9]"), timeout=180_000)
    sheet.type_in("loop", "n", "90")
    sheet.run()
    expect(sheet.page.get_by_text("1 waiting")).to_be_visible()
    sheet.press("Alt+2")
    runs = sheet.page.get_by_role("complementary", name="Runs")
    expect(runs.locator("li.run")).to_have_count(3)

    own.kill()
    expect(sheet.page.get_by_role("alert").filter(has_text="The server does not answer")).to_be_visible()
    expect(sheet.page.get_by_role("button", name="Queue", exact=True)).to_be_disabled()
    sheet.type_in("loop", "n", "80")  # the sheet can be edited meanwhile

    own.start()
    expect(sheet.page.get_by_role("alert").filter(has_text="The server does not answer")).to_have_count(
        0, timeout=30_000
    )
    expect(sheet.page.get_by_text("The server ended during run 2")).to_be_visible()
    expect(runs.locator("li.run")).to_have_count(3)
    expect(runs.locator("li.run.interrupted")).to_contain_text("#2")
    expect(runs.locator("li.run.done")).to_have_count(2, timeout=180_000)  # the first, and the one that had waited
    assert [run["status"] for run in own.call("history")] == ["done", "interrupted", "done"]

    sheet.run()
    expect(sheet.node("loop").locator(".fare.running b")).to_have_text(re.compile(r"[1-9]"), timeout=180_000)
    sheet.until_over(180)
    sheet.fares("loop", "done")
    assert [error for error in sheet.errors if "WebSocket" not in error] == []
