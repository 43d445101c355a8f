"""What a person does on the canvas, as a test says it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from playwright.sync_api import FloatRect, Locator, Page, TimeoutError, expect

# Resolves when what is drawn, and where, has stayed the same for so many frames and so long.
STILL = """([frames, ms]) => new Promise((resolve) => {
    let last = "", same = 0, since = performance.now();
    const look = () => {
        const drawn = document.querySelectorAll(".react-flow__viewport, .react-flow__node, .react-flow__edge");
        const now = [...drawn].map((it) => it.dataset.id + it.style.transform + it.offsetHeight).join();
        if (now !== last) [last, same, since] = [now, 0, performance.now()];
        if (++same > frames && performance.now() - since >= ms) resolve();
        else requestAnimationFrame(look);
    };
    look();
})"""

WIRED = """(wires) => {
    const drawn = [...document.querySelectorAll(".react-flow__edge")].map((it) => it.dataset.id);
    return [...new Set(drawn)].sort().join() === wires.join();
}"""


class Sheet:
    """One open page, and the hand on its mouse and keyboard."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open(self, path: str = "", whole: bool = True) -> Sheet:
        """Load the page with a workflow of the server, and wait until it is drawn; `whole`: then look at all of it."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}/#{path}")
        expect(self.page.locator(".react-flow__pane")).to_be_visible()
        if path:
            expect(self.page.locator(".react-flow__node").first).to_be_attached()
        self.until_still(frames=10, ms=250)
        if path and whole:
            self.press("Home")
            self.until_still(frames=3, ms=100)
        return self

    def until_still(self, frames: int = 3, ms: int = 50) -> None:
        """Wait until nothing on the sheet comes, goes or moves."""
        self.page.evaluate(STILL, [frames, ms])

    def empty(self) -> Sheet:
        """An empty sheet in its usual size."""
        self.open()
        self.page.locator(".react-flow__node, .empty-sheet").first.wait_for(state="attached")
        self.press("Alt+n")
        expect(self.page.locator(".react-flow__node")).to_have_count(0)
        return self

    # keyboard and mouse

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def undo(self) -> None:
        self.press("Control+z")

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        mouse = self.page.mouse
        mouse.move(*start)
        mouse.down()
        mouse.move(start[0] + 6, start[1] + 6, steps=2)
        mouse.move(*end, steps=6)
        mouse.up()

    # nodes

    def node(self, id: str) -> Locator:
        return self.page.locator(f'.react-flow__node[data-id="{id}"]')

    def add(self, name: str, at: tuple[float, float], id: str = "") -> Locator:
        """Find a node in the palette and put it at a point of the screen."""
        self.page.mouse.dblclick(*at)
        search = self.page.get_by_role("combobox", name="Search nodes")
        search.fill(name)
        search.press("Enter")
        added = self.node(id or name.replace(" ", "_"))
        expect(added).to_be_attached()
        return added

    def select(self, id: str) -> None:
        self.node(id).locator(".title").first.click()

    def find(self, name: str) -> None:
        """Select a node and bring it into view, by keyboard."""
        self.press("Control+f")
        search = self.page.get_by_role("combobox", name="Find a node")
        search.fill(name)
        search.press("Enter")
        expect(self.node(name.replace(" ", "_"))).to_have_class(re.compile(r"\bselected\b"))

    def field(self, id: str, name: str) -> Locator:
        return self.node(id).get_by_label(f"{name} of {id}", exact=True)

    def type_in(self, id: str, name: str, value: str) -> None:
        """Type a value into a field of any kind."""
        field = self.field(id, name)
        if field.get_attribute("role") in ("spinbutton", "slider"):
            field.press("Enter")
            field = self.field(id, name)
        field.fill(value)
        field.press("Enter")

    # wires

    def socket(self, id: str, handle: str) -> Locator:
        return self.node(id).locator(f'.socket[data-handleid="{handle}"]')

    def centre(self, thing: Locator) -> tuple[float, float]:
        box = self.box(thing)
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def box(self, thing: Locator) -> FloatRect:
        """Where a thing is on the screen, once it stays there."""
        expect(thing).to_be_attached()
        self.until_still()
        box = thing.bounding_box()
        assert box is not None, thing
        return box

    def wire(self, source: tuple[str, str], target: tuple[str, str]) -> None:
        """Draw a wire with the mouse."""
        self.drag(self.centre(self.socket(*source)), self.centre(self.socket(*target)))

    def wires(self) -> set[str]:
        """All wires that are drawn, by the port that each goes into: for keeping. What they should be is asked of `wired`."""
        self.until_still(frames=10, ms=250)
        found = self.page.locator(".react-flow__edge").evaluate_all("all => all.map(edge => edge.dataset.id)")
        return set(found)

    def wired(self, wires: set[str]) -> None:
        """Wait until these wires are drawn and no others: a wire is drawn once both of its ends are measured and in view."""
        try:
            self.page.wait_for_function(WIRED, arg=sorted(wires))
        except TimeoutError:
            assert self.wires() == wires

    def edge(self, wire: str) -> Locator:
        """A wire as it is drawn, by the port that it goes into."""
        return self.page.locator(f'.react-flow__edge[data-id="{wire}"]')

    # runs

    def run(self) -> None:
        """Send the sheet off to run, and wait for the server's answer."""
        with self.page.expect_response("**/api/submit"):
            self.press("Control+Enter")

    def fares(self, id: str, state: str) -> None:
        """Wait until a node shows how it fares: waiting, running, cached, done or failed."""
        expect(self.node(id).locator(".card, .zone").first).to_have_class(re.compile(rf"\b{state}\b"))

    def picture(self, id: str) -> Locator:
        return self.node(id).locator(".picture img")

    def look(self) -> None:
        """Look at the first picture that a run shows, by keyboard, and close it."""
        picture = self.page.get_by_role("button", name=re.compile("Look at the picture of")).first
        expect(picture).to_be_attached(timeout=60_000)
        picture.focus()
        self.press("Enter")
        opened = self.page.get_by_role("button", name="Open its workflow")
        expect(opened).to_be_visible()
        self.press("Escape")
        expect(opened).to_have_count(0)

    def until_over(self, seconds: float = 60) -> None:
        """Wait for the run that is shown to end."""
        expect(self.page.get_by_role("button", name="Run", exact=True)).to_be_visible(timeout=seconds * 1000)

    # documents and files

    @property
    def title(self) -> Locator:
        return self.page.get_by_label("Title of the workflow")

    def tab(self, name: str) -> Locator:
        """The tab of an open document."""
        return self.page.get_by_role("navigation", name="Open workflows").get_by_role("listitem").filter(has_text=name)

    def show(self, name: str) -> None:
        """Show an open document."""
        self.tab(name).locator(".tab-name").click()
        expect(self.tab(name)).to_have_class(re.compile(r"\bon\b"))

    def shown(self, title: str) -> None:
        """Wait until the document of this title is shown."""
        expect(self.title).to_have_value(title)

    def named(self, title: str) -> None:
        """Change the title."""
        self.title.fill(title)
        self.title.press("Enter")

    @property
    def start_page(self) -> Locator:
        return self.page.get_by_role("dialog", name="Open a workflow")

    def example(self, title: str) -> Locator:
        """A shipped workflow on the start page; the user's may have its title."""
        heading = self.page.get_by_role("heading", name="Examples")
        examples = self.start_page.locator("section").filter(has=heading)
        return examples.locator("button.entry").filter(has_text=title)

    def drop(self, name: str, content: bytes) -> None:
        """Drop a file on the sheet."""
        script = """([name, content]) => {
            const data = new DataTransfer();
            data.items.add(new File([Uint8Array.from(content)], name));
            return data;
        }"""
        transfer = self.page.evaluate_handle(script, [name, list(content)])
        self.page.dispatch_event(".react-flow__pane", "drop", {"dataTransfer": transfer})

    def save_as(self, name: str) -> None:
        self.press("Control+Shift+s")
        self.page.get_by_label("File name").fill(name)
        self.page.get_by_role("button", name="Save", exact=True).last.click()
        expect(self.page.get_by_text(f"Saved workflows/{name}.json")).to_be_visible()


def graph_of(path: Path) -> dict[str, Any]:
    """Every node of a workflow file, of every depth, by its id."""
    import json

    found: dict[str, Any] = {}

    def walk(nodes: dict[str, Any]) -> None:
        for id, node in nodes.items():
            found[id] = node
            walk(node.get("body", {}).get("nodes", {}))

    walk(json.loads(path.read_text())["nodes"])
    return found
