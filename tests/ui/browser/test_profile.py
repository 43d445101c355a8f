"""What each node of a run took, as the canvas shows it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from tests.ui.browser.conftest import shortened
from tests.ui.browser.sheet import Sheet
from tests.ui.conftest import RunningServer


def measured_run(workspace: Path) -> None:
    """A run of the quickstart as the command line leaves it, with a profile whose seconds are made up."""
    workflow = shortened("quickstart", autoencoder=2, diffusion=2)
    workflow["title"] = "A measured run"
    seconds = 40.0
    nodes: dict[str, Any] = {}

    def take(found: dict[str, Any], left: float) -> None:
        for i, (id, node) in enumerate(found.items()):
            own = left / 2 ** (i + 2)
            inside = node.get("body", {}).get("nodes", {})
            if inside:
                take(inside, own * 0.9)
            nodes[id] = {
                **{"type": node["type"], "calls": 1 if left == seconds else 200, "seconds": own},
                **{"own_seconds": own * (0.1 if inside else 1), "device_seconds": None, "memory": int(own * 2**22)},
            }

    take(workflow["nodes"], seconds)  # type: ignore[arg-type]
    folder = workspace / "runs" / "20260101-000000-measured"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {
        "events.jsonl": json.dumps({"event": "ended", "time": 1e9 + seconds, "status": "done", "seconds": seconds}),
        "workflow.json": json.dumps(workflow),
        "environment.json": "{}",
        "profile.json": json.dumps({"seconds": seconds, "nodes": nodes}),
        "trace.json": '{"traceEvents": []}',
    }.items():
        (folder / name).write_text(text)
        os.utime(folder / name, (1, 1))


def test_what_each_node_took_is_a_table_and_a_mark_on_the_node(sheet: Sheet, real_server: RunningServer) -> None:
    measured_run(real_server.workspace)
    sheet.open("shipped/quickstart.json")
    sheet.page.get_by_role("button", name="Runs", exact=True).click()
    sheet.page.locator(".run", has_text="A measured run").locator(".run-row").click()
    sheet.page.get_by_role("button", name="Profile", exact=True).click()
    panel = sheet.page.get_by_role("complementary", name="After the run")
    rows = panel.locator(".cost-list li")
    expect(panel.locator(".profile-sum")).to_contain_text("40 s")
    first = rows.first.locator(".cost-name").inner_text()
    panel.get_by_role("button", name="With its inside", exact=True).click()
    expect(rows.first.locator(".cost-flops")).to_contain_text("10 s")
    expect(sheet.page.locator(".react-flow__node .heat").first).to_be_attached()
    panel.get_by_role("button", name="Own time", exact=True).click()
    expect(rows.first.locator(".cost-name")).to_have_text(first)
    rows.first.locator("button").click()
    expect(sheet.page.locator(".react-flow__node.selected")).to_have_count(1)
    expect(sheet.page.locator(".react-flow__node.selected .share")).to_be_visible()
    with sheet.page.expect_download() as download:
        panel.get_by_role("link", name="Trace for Perfetto").click()
    assert json.loads(download.value.path().read_text()) == {"traceEvents": []}


def test_a_run_is_asked_to_measure_by_a_shortcut(sheet: Sheet) -> None:
    sheet.open("shipped/quickstart.json")
    sheet.page.route("**/api/submit", lambda route: route.abort())  # what it would compute is for others to test
    with sheet.page.expect_request("**/api/submit") as sent:
        sheet.press("Control+Alt+p")
    assert json.loads(sent.value.post_data or "")["profile"] is True
    expect(sheet.page.get_by_role("complementary", name="After the run")).to_be_visible()
