"""How quick the canvas is, in headless Chromium with software rendering: `python -m benchmarks.canvas [--nodes 300 1000]`.

The real server, the real page, and a graph of many copies of the shipped sampling graph. Frames are counted in the page
while the mouse moves. On a busy machine frames measure the machine; so each figure has the CPU time that all of
Chromium's processes spent on a frame beside it, and the load is printed. Goals, on an idle machine: load at most 2 s,
first paint 1.5 s, dragging above 30 frames a second and panning above 20 with 300 nodes, a changed parameter validated and
marked within 100 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, CDPSession, Page, expect, sync_playwright

import hatch_build
from tests.ui.browser.conftest import FLAGS
from tests.ui.browser.sheet import Sheet
from tests.ui.conftest import RunningServer

STEPS = 90
APART = (2560, 900)

FRAMES = """() => {
    window.frames = [];
    const tick = (time) => { window.frames?.push(time); if (window.frames) requestAnimationFrame(tick); };
    requestAnimationFrame(tick);
}"""


def copies(workflow: dict[str, Any], nodes: int) -> dict[str, Any]:
    """So many nodes: copies of a laid-out workflow, side by side."""
    every = len(workflow["layout"])
    result: dict[str, Any] = {"loom": 1, "title": f"{nodes} nodes", "nodes": {}, "layout": {}}
    top, number = workflow["nodes"], nodes // every
    row = round((number * APART[1] / APART[0] * 1.7) ** 0.5)  # as wide as a screen
    for n in range(number):
        result["nodes"] |= renamed(top, f"_{n}")
        for id, place in workflow["layout"].items():
            x, y = place["at"]
            shift = (n % row * APART[0], n // row * APART[1]) if id in top else (0, 0)
            result["layout"][f"{id}_{n}"] = {**place, "at": [x + shift[0], y + shift[1]]}
    return result


def renamed(nodes: dict[str, Any], suffix: str) -> dict[str, Any]:
    """Nodes under other ids, and the wires between them."""

    def wired(value: Any) -> Any:
        if isinstance(value, list):
            return [wired(item) for item in value]
        id, dot, port = value.partition(".")
        return f"{id}{suffix}{dot}{port}"

    made: dict[str, Any] = {}
    for id, node in nodes.items():
        made[id + suffix] = {**node, "wires": {name: wired(value) for name, value in node.get("wires", {}).items()}}
        if body := node.get("body"):
            results = {name: wired(value) for name, value in body["results"].items()}
            made[id + suffix]["body"] = {"nodes": renamed(body["nodes"], suffix), "results": results}
    return made


class Watch:
    """Frames a second of a page, and what a frame costs all of Chromium's processes."""

    def __init__(self, browser: Browser, page: Page) -> None:
        self.page = page
        self.cdp: CDPSession = browser.new_browser_cdp_session()

    def spent(self) -> float:
        """CPU seconds of all processes so far."""
        return float(sum(process["cpuTime"] for process in self.cdp.send("SystemInfo.getProcessInfo")["processInfo"]))

    def moving(self, start: tuple[float, float]) -> str:
        """Hold the button and move in circles."""
        mouse = self.page.mouse
        mouse.move(*start)
        mouse.down()
        mouse.move(start[0] + 5, start[1] + 5)
        self.page.wait_for_timeout(200)
        self.page.evaluate(FRAMES)
        began = self.spent()
        for step in range(STEPS):
            ahead = step if step < STEPS / 2 else STEPS - step
            mouse.move(start[0] + 4 * ahead, start[1] + 2 * ahead)
            self.page.wait_for_timeout(12)
        spent = self.spent() - began
        times: list[float] = self.page.evaluate(
            "() => { const times = window.frames; window.frames = null; return times }"
        )
        mouse.up()
        gaps = [b - a for a, b in pairwise(times)]
        rate = 1000 * len(gaps) / sum(gaps)
        worst = sorted(gaps)[int(len(gaps) * 0.95)]
        return f"{rate:5.1f} fps, 95 % within {worst:4.0f} ms, {1000 * spent / len(gaps):4.0f} ms of CPU a frame"


def measure(browser: Browser, server: RunningServer, workflow: dict[str, Any], nodes: int) -> None:
    """All figures of one size."""
    path = f"workflows/bench{nodes}.json"
    server.call("save", path=path, workflow=copies(workflow, nodes), overwrite=True)
    context = browser.new_context(viewport={"width": 1600, "height": 950})
    page = context.new_page()
    page.set_default_timeout(60_000)
    watch, sheet = Watch(browser, page), Sheet(page, server.url)
    before = watch.spent()
    page.goto(f"{server.url}/#{path}")
    page.wait_for_function("() => document.querySelectorAll('.react-flow__node .title').length > 20")
    drawn = page.evaluate(
        "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"
    )
    paint = page.evaluate("() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0")
    print(f"\n{nodes} nodes  (load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)")
    print(f"  first paint {paint:.0f} ms, drawn {drawn:.0f} ms, {watch.spent() - before:.1f} s of CPU")
    page.wait_for_timeout(1500)

    sheet.press("Alt+2", "Alt+2")  # no side panel
    page.wait_for_timeout(500)
    print("  the whole in view   pan ", watch.moving((20, 70)))
    page.mouse.move(700, 450)
    head = page.locator(".react-flow__node-card").nth(nodes // 2 - 20)
    print("                      drag", watch.moving(sheet.centre(head)))
    sheet.undo()
    for zoom in (0.43, 1.0):
        page.mouse.move(800, 500)
        for _ in range(60):
            now = page.evaluate(
                "() => new DOMMatrix(getComputedStyle(document.querySelector('.react-flow__viewport')).transform).a"
            )
            if abs(now / zoom - 1) < 0.05:
                break
            page.mouse.wheel(0, -60 if now < zoom else 25)
            page.wait_for_timeout(40)
        page.wait_for_timeout(600)
        print(f"  zoom {now:.2f}           pan ", watch.moving(free_spot(page)))
        shown = page.locator(".react-flow__node-card .head")
        boxes = [box for i in range(shown.count()) if (box := shown.nth(i).bounding_box()) and inside(box)]
        if boxes:
            print("                      drag", watch.moving((boxes[0]["x"] + 60 * now, boxes[0]["y"] + 10 * now)))
            sheet.undo()
    print("  a changed parameter, until its mark:", edited(sheet))
    context.close()


def inside(box: Any) -> bool:
    """Whether there is room to drag it."""
    return bool(100 < box["x"] < 1000 and 100 < box["y"] < 700)


def free_spot(page: Page) -> tuple[float, float]:
    """A point of the sheet where nothing is."""
    x, y = page.evaluate(
        """() => {
            for (let y = 80; y < 800; y += 23) for (let x = 30; x < 1100; x += 31)
                if (document.elementFromPoint(x, y)?.classList.contains("react-flow__pane")) return [x, y];
            return [30, 80];
        }"""
    )
    return float(x), float(y)


def edited(sheet: Sheet, times: int = 7) -> str:
    """Milliseconds from the key that enters a wrong value to its mark on the page, as the page saw both."""
    sheet.find("grid 0")
    sheet.page.wait_for_timeout(800)
    took = []
    for i in range(times):
        sheet.page.evaluate(
            """() => {
                const line = document.querySelector('[data-id="grid_0"] [data-handle="zoom"]');
                delete window.marked;
                new MutationObserver((_, own) => {
                    if (line.classList.contains("error")) { window.marked = performance.now(); own.disconnect(); }
                }).observe(line, { attributes: true });
                addEventListener("keydown", (event) => {
                    if (event.key === "Enter") window.entered = performance.now();
                }, true);
            }"""
        )
        sheet.type_in("grid_0", "zoom", f"-{i + 1}")
        sheet.page.wait_for_function("() => window.marked !== undefined")
        took.append(sheet.page.evaluate("() => window.marked - window.entered"))
        sheet.type_in("grid_0", "zoom", "2")
        expect(sheet.node("grid_0").locator(".line.error")).to_have_count(0)
        sheet.page.wait_for_timeout(300)
    return f"median {statistics.median(took):.0f} ms, longest {max(took):.0f} ms"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[300, 1000])
    sizes = parser.parse_args().nodes
    hatch_build.build()
    print(hatch_build.size())
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = RunningServer(Path(folder))
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        try:
            # The page itself lays the graph out, once.
            sheet = Sheet(browser.new_page(), server.url).open("shipped/sample.json")
            sheet.press("Control+a", "Control+l")
            sheet.save_as("one")
            workflow = json.loads((Path(folder) / "workflows/one.json").read_text())
            sheet.page.close()
            for nodes in sizes:
                measure(browser, server, workflow, nodes)
        finally:
            browser.close()
            server.stop()


if __name__ == "__main__":
    main()
