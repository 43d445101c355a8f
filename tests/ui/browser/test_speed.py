"""Three hundred nodes. Frames a second depend on what else the machine does; the processor time of a step does not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.ui.browser.sheet import Sheet
from tests.ui.conftest import RunningServer, graph

MOVES = 60


def many(count: int) -> dict[str, Any]:
    kinds = ("enlarge", "degrade_images", "image_grid")
    nodes: dict[str, Any] = {"n0": {"type": "load_image", "params": {"path": "a.png"}}}
    for i in range(1, count):
        nodes[f"n{i}"] = {"type": kinds[i % 3], "wires": {"images": f"n{i - 1}"}}
    columns = int(1.3 * count**0.5)
    layout = {id: {"at": [i % columns * 280, i // columns * 260]} for i, id in enumerate(nodes)}
    return graph(nodes, title="Many", layout=layout)


def busy(browser: Browser, sheet: Sheet, start: tuple[float, float]) -> float:
    """Milliseconds of the page's main thread for one step of a drag from here."""
    mouse = sheet.page.mouse
    mouse.move(*start)
    mouse.down()
    mouse.move(start[0] + 10, start[1] + 10)
    browser.start_tracing(page=sheet.page, categories=["disabled-by-default-devtools.timeline"])
    for i in range(MOVES):
        mouse.move(start[0] + 10 + i * 4, start[1] + 10 + i * 2)
    trace = json.loads(browser.stop_tracing())
    mouse.up()
    tasks = [event for event in trace["traceEvents"] if event["name"] == "RunTask" and "tdur" in event]
    threads = {event["tid"] for event in tasks}
    return max(sum(e["tdur"] for e in tasks if e["tid"] == tid) for tid in threads) / 1000 / MOVES


@pytest.mark.slow
def test_three_hundred_nodes_stay_quick(browser: Browser, sheet: Sheet, real_server: RunningServer) -> None:
    real_server.call("save", path="workflows/many.json", workflow=many(300), overwrite=True)
    sheet.open("workflows/many.json")
    expect(sheet.page.locator(".react-flow__node")).to_have_count(300)
    paint = sheet.page.evaluate("() => performance.getEntriesByName('first-contentful-paint')[0].startTime")
    assert paint < 1500
    head = sheet.node("n100").locator(".head")
    assert busy(browser, sheet, sheet.centre(head)) < 33, "dragging a node falls below 30 frames a second"
    sheet.undo()
    assert busy(browser, sheet, (5, 940)) < 50, "panning falls below 20 frames a second"
