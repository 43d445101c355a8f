"""How quick the canvas is beside a bare React Flow page, in headless Chromium: `python -m benchmarks.canvas [--nodes 300 1000]`.

`--beside FOLDER` measures the page and server of another checkout as well, turn about with these; `--only drawn edited` leaves the rest.
The real server and the real page show a graph of many copies of the shipped sampling graph; the bare page (ui/web/tools/bare.tsx)
as many plain nodes and wires at the same places. Both are moved by the same mouse in the same run, turn about, so that a ratio tells
the canvas from the machine. A frame's cost is the CPU time of all of Chromium's processes by the frames that the page drew.
Goals: panning costs at most 1.3 times the bare page's CPU a frame with 300 nodes and 1.5 times with 1,000, dragging 1.3 times;
1,000 nodes are drawn within 1.5 times the bare page's time; the mark of an edit comes within 1.5 times the server's validation and
one round trip; 3,000 nodes open within 4 s.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Browser, CDPSession, Page, expect, sync_playwright

import hatch_build
from tests.ui.browser.conftest import FLAGS
from tests.ui.browser.sheet import Sheet
from tests.ui.conftest import RunningServer

STEPS, ROUNDS, EDITS = 90, 3, 9
ZOOMS = (0.2, 0.43, 1.0)
APART = (2560, 900)
FIGURES = ("drawn", "pan", "drag", "edited")

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


class Moved(NamedTuple):
    """How a page followed the mouse: frames a second, milliseconds that 95 % of them stayed within, CPU milliseconds a frame."""

    rate: float
    worst: float
    cost: float

    def __str__(self) -> str:
        return f"{self.rate:5.1f} fps, 95 % within {self.worst:4.0f} ms, {self.cost:4.0f} ms of CPU a frame"


def median(rounds: list[Moved]) -> Moved:
    """The median of each figure."""
    return Moved(*map(statistics.median, zip(*rounds, strict=True)))


class Watched:
    """A page with a graph, ours or the bare one: how soon it is drawn, and what moving it costs."""

    def __init__(self, browser: Browser, address: str, node: str, handle: str) -> None:
        """node, handle: selectors of what is drawn as a node, and of where the mouse takes hold of it."""
        self.address, self.node, self.handle = address, node, handle
        self.page: Page = browser.new_context(viewport={"width": 1600, "height": 950}).new_page()
        self.page.set_default_timeout(120_000)
        self.cdp: CDPSession = browser.new_browser_cdp_session()

    def spent(self) -> dict[int, float]:
        """CPU seconds of each of Chromium's processes so far."""
        processes = self.cdp.send("SystemInfo.getProcessInfo")["processInfo"]
        return {process["id"]: process["cpuTime"] for process in processes}

    def since(self, before: dict[int, float]) -> float:
        """CPU seconds of all processes since then; those of one that has ended meanwhile are not known."""
        return sum(seconds - before.get(id, 0) for id, seconds in self.spent().items())

    def open(self) -> tuple[float, float]:
        """Milliseconds until its nodes are drawn, and CPU seconds."""
        before = self.spent()
        self.page.goto("about:blank")
        self.page.goto(self.address)
        self.page.wait_for_function(f"() => document.querySelectorAll('{self.node}').length > 3")
        frames = (
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"
        )
        return float(self.page.evaluate(f"() => {frames}")), self.since(before)

    def zoom(self, wanted: float) -> None:
        """Turn the wheel until a pixel of the sheet is about so many of the screen."""
        self.page.mouse.move(800, 500)
        for _ in range(90):
            viewport = "document.querySelector('.react-flow__viewport')"
            now = self.page.evaluate(f"() => new DOMMatrix(getComputedStyle({viewport}).transform).a")
            if abs(now / wanted - 1) < 0.05:
                break
            self.page.mouse.wheel(0, -60 if now < wanted else 25)
            self.page.wait_for_timeout(40)
        self.page.wait_for_timeout(600)

    def pan(self) -> Moved:
        """Take hold of the empty sheet and move it."""
        return self.moving(free_spot(self.page))

    def drag(self) -> Moved | None:
        """Take hold of a node and move it; None where none is in view."""
        handles = self.page.locator(self.handle)
        boxes = (handles.nth(i).bounding_box() for i in range(handles.count()))
        box = next((box for box in boxes if box and inside(box)), None)
        return self.moving((box["x"] + box["width"] / 3, box["y"] + box["height"] / 3)) if box else None

    def moving(self, start: tuple[float, float]) -> Moved:
        """Hold the button and move there and back."""
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
        spent = self.since(began)
        times: list[float] = self.page.evaluate(
            "() => { const times = window.frames; window.frames = null; return times }"
        )
        mouse.up()
        gaps = [after - before for before, after in pairwise(times)]
        return Moved(1000 * len(gaps) / sum(gaps), sorted(gaps)[int(len(gaps) * 0.95)], 1000 * spent / len(gaps))


def plain(workflow: dict[str, Any]) -> dict[str, Any]:
    """What the bare page draws: a box for each node, and a line for each wire."""
    nodes: dict[str, list[float]] = {}
    wires: list[list[str]] = []

    def add(inside: dict[str, Any], x: float, y: float) -> None:
        for id, node in inside.items():
            dx, dy = workflow["layout"][id]["at"]
            nodes[id] = [x + dx, y + dy, 240, 120]
            if body := node.get("body"):
                add(body["nodes"], x + dx, y + dy)
            sources = [text for value in node.get("wires", {}).values() for text in listed(value)]
            wires.extend([text.partition(".")[0], id] for text in sources)

    add(workflow["nodes"], 0, 0)
    return {"nodes": nodes, "wires": wires}


def listed(value: Any) -> list[str]:
    """The references in a wire's value."""
    if isinstance(value, str):
        return [value]
    return [text for item in (value.values() if isinstance(value, dict) else value) for text in listed(item)]


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The files of a folder at an address of this machine."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def measure(
    browser: Browser,
    servers: dict[str, RunningServer],
    bare: Path,
    workflow: dict[str, Any],
    nodes: int,
    only: list[str],
) -> None:
    """All figures of one size: those of each server's page, the bare page's, and how many times as much the former are."""
    path, graph = f"workflows/bench{nodes}.json", copies(workflow, nodes)
    for server in servers.values():
        server.call("save", path=path, workflow=graph, overwrite=True)
    (bare / "graph.json").write_text(json.dumps(plain(graph)))
    print(f"\n{nodes} nodes  (load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)")
    with serving(bare) as address:
        pages = {
            name: Watched(browser, f"{server.url}/#{path}", ".react-flow__node .title", ".react-flow__node-card .head")
            for name, server in servers.items()
        }
        pages["bare"] = Watched(browser, f"{address}/bare.html", ".react-flow__node", ".react-flow__node")
        told_drawn(pages)
        sheets = {name: Sheet(pages[name].page, server.url) for name, server in servers.items()}
        for sheet in sheets.values():
            sheet.page.wait_for_timeout(1500)
            sheet.press("Alt+2", "Alt+2", "Home")  # no side panel, and all in view as on the bare page
        told_moved(pages, [what for what in ("pan", "drag") if what in only])
        if "edited" in only:
            told_edited(sheets, servers, graph)
        for page in pages.values():
            page.page.context.close()


def told_drawn(pages: dict[str, Watched]) -> None:
    """How soon a graph is drawn."""
    opened: dict[str, list[tuple[float, float]]] = {name: [] for name in pages}
    for _ in range(ROUNDS):
        for name, page in pages.items():
            opened[name].append(page.open())
    drawn = {name: [statistics.median(column) for column in zip(*times, strict=True)] for name, times in opened.items()}
    for name, (milliseconds, seconds) in drawn.items():
        by = f"× {milliseconds / drawn['bare'][0]:.2f}, CPU × {seconds / drawn['bare'][1]:.2f}"
        print(f"  drawn     {name:<7}{milliseconds:5.0f} ms, {seconds:.2f} s of CPU  {by}", flush=True)


def told_moved(pages: dict[str, Watched], ways: list[str]) -> None:
    """What panning and dragging cost at each zoom."""
    for zoom in ZOOMS if ways else ():
        for page in pages.values():
            page.zoom(zoom)
        for what in ways:
            rounds: dict[str, list[Moved | None]] = {name: [] for name in pages}
            for _ in range(ROUNDS):
                for name, page in pages.items():
                    rounds[name].append(getattr(page, what)())
            found = {name: [each for each in own if each] for name, own in rounds.items()}
            if not all(found.values()):
                continue
            moved = {name: median(own) for name, own in found.items()}
            for name, figures in moved.items():
                by = f"× {figures.cost / moved['bare'].cost:.2f}"
                print(f"  zoom {zoom:.2f} {what:<5}{name:<7}{figures}  {by}", flush=True)


def told_edited(sheets: dict[str, Sheet], servers: dict[str, RunningServer], graph: dict[str, Any]) -> None:
    """How soon an edit is marked, beside what the server needs to find what is wrong."""
    asked: dict[str, list[float]] = {name: [] for name in servers}
    marks: dict[str, list[float]] = {name: [] for name in sheets}
    for sheet in sheets.values():
        sheet.find("grid 0")
        sheet.page.wait_for_timeout(800)
    for i in range(EDITS):
        for name, sheet in sheets.items():
            sheet.page.bring_to_front()
            began = time.perf_counter()
            servers[name].call("validate", workflow=graph)
            asked[name].append(1000 * (time.perf_counter() - began))
            marks[name].append(edited(sheet, i))
    for name, own in marks.items():
        check = statistics.median(asked[name])
        told = f"median {statistics.median(own):.0f} ms, longest {max(own):.0f} ms"
        print(
            f"  a changed parameter, until its mark: {name:<7}{told}; {statistics.median(own) / check:.2f} × a validation's {check:.0f} ms"
        )


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


def edited(sheet: Sheet, i: int) -> float:
    """Milliseconds from the key that enters a wrong value to its mark on the page, as the page saw both."""
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
    took = float(sheet.page.evaluate("() => window.marked - window.entered"))
    sheet.type_in("grid_0", "zoom", "2")
    expect(sheet.node("grid_0").locator(".line.error")).to_have_count(0)
    sheet.page.wait_for_timeout(300)
    return took


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[300, 1000])
    parser.add_argument("--only", nargs="+", choices=FIGURES, default=FIGURES)
    parser.add_argument("--beside", type=Path, help="another checkout, whose page is built")
    arguments = parser.parse_args()
    hatch_build.build()
    print(hatch_build.size())
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory() as bare,
        sync_playwright() as playwright,
    ):
        hatch_build.npm("run", "--silent", "bare", "--", "--outDir", bare, "--logLevel", "error")
        servers = {"ours": RunningServer(Path(folder) / "ours")}
        if arguments.beside:
            servers["beside"] = RunningServer(Path(folder) / "beside", root=arguments.beside)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        try:
            # The page itself lays the graph out, once.
            sheet = Sheet(browser.new_page(), servers["ours"].url).open("shipped/sample.json")
            sheet.press("Control+a", "Control+l")
            sheet.save_as("one")
            workflow = json.loads((Path(folder) / "ours/workflows/one.json").read_text())
            sheet.page.close()
            for nodes in arguments.nodes:
                measure(browser, servers, Path(bare), workflow, nodes, arguments.only)
        finally:
            browser.close()
            for server in servers.values():
                server.stop()


if __name__ == "__main__":
    main()
