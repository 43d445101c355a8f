"""Five things that somebody wants on the first day, done from the page alone, each click and key counted (docs/interactions.md)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from PIL import Image
from playwright.sync_api import Locator, expect

from tests.ui.browser.conftest import shortened
from tests.ui.browser.sheet import Sheet
from tests.ui.conftest import ROOT, RunningServer, graph

TITLE = "First day"
TABLE = (ROOT / "docs/interactions.md").read_text(encoding="utf-8")


class Hand:
    """Does what a person does, and counts it: a drag is a click, a combination of keys a key, and each typed letter one."""

    def __init__(self, sheet: Sheet) -> None:
        self.sheet, self.clicks, self.keys = sheet, 0, 0

    def click(self, thing: Locator, **how: object) -> None:
        thing.click(**how)  # type: ignore[arg-type]
        self.clicks += 1

    def press(self, *keys: str) -> None:
        self.sheet.press(*keys)
        self.keys += len(keys)

    def type(self, text: str) -> None:
        self.sheet.page.keyboard.type(text)
        self.keys += len(text)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.sheet.drag(start, end)
        self.clicks += 1

    def runs(self) -> None:
        """Press Run, and wait until that is over."""
        with self.sheet.page.expect_response("**/api/submit") as sent:
            self.click(self.sheet.page.get_by_role("button", name="Run", exact=True))
        assert sent.value.ok, sent.value.text()
        self.sheet.until_over(120)
        expect(self.sheet.page.locator(".last-run")).to_have_class(re.compile(r"\bdone\b"))

    def told(self, task: str) -> None:
        """Hold the table to what was counted."""
        assert f"| {task} | {self.clicks} | {self.keys} |" in TABLE, (task, self.clicks, self.keys)


@pytest.fixture
def hand(plain_sheet: Sheet, server: RunningServer) -> Iterator[Hand]:
    """A hand on the page as it opens; what it does is tried on the sampling example in two steps."""
    workflow = {**shortened("sample"), "title": TITLE}
    server.call("save", path="workflows/first-day.json", workflow=workflow, overwrite=True)
    plain_sheet.open("workflows/first-day.json", whole=False)
    yield Hand(plain_sheet)
    server.call("discard", path="workflows/first-day.json")


def test_another_class_is_sampled(hand: Hand, server: RunningServer) -> None:
    sheet, page = hand.sheet, hand.sheet.page
    sheet.press("Alt+w")  # closed, so that it is opened as one who comes does
    hand.click(page.get_by_role("button", name="Latent Loom: open a workflow"))
    hand.click(sheet.start_page.locator("button.entry").filter(has_text=TITLE))
    hand.click(page.get_by_label("classes", exact=True))
    hand.press("Control+a")
    hand.type("7")
    hand.press("Enter")
    hand.runs()
    hand.told("open an example, sample another class")
    [run] = server.call("history", limit=1)
    assert server.call("run", run=run["run"])["workflow"]["nodes"]["labels_to_sample"]["params"]["values"] == [7]


def test_a_second_sampler_is_compared(hand: Hand, server: RunningServer) -> None:
    sheet, page = hand.sheet, hand.sheet.page
    sheet.press("Home")
    hand.press("Home")
    sheet.until_still()
    for n, id in enumerate(("sample", "decoded", "grid", "save")):
        hand.click(sheet.node(id).locator(".title").first, modifiers=["Shift"] if n else [])
    hand.press("Control+d")
    expect(sheet.node("save2")).to_be_attached()
    hand.click(sheet.node("sample2").locator(".title").first)
    solver = page.get_by_role("complementary", name="Node").get_by_label("solver of sample2")
    solver.select_option("euler")
    hand.clicks += 2  # the list, and one of it
    hand.runs()
    hand.click(page.get_by_role("button", name="Viewer", exact=True))
    hand.click(page.get_by_role("button", name="Two pictures under a slider"))
    expect(page.get_by_role("slider", name=re.compile("^How much of"))).to_be_visible()
    hand.told("add a second sampler and compare the two")
    [run] = server.call("history", limit=1)
    nodes = server.call("run", run=run["run"])["workflow"]["nodes"]
    assert (nodes["sample"]["params"]["solver"], nodes["sample2"]["params"]["solver"]) == ("ddim", "euler")
    assert nodes["sample2"]["wires"] == nodes["sample"]["wires"]


def test_the_solver_is_another(hand: Hand, server: RunningServer) -> None:
    page = hand.sheet.page
    page.get_by_label("solver", exact=True).select_option("heun")
    hand.clicks += 2
    hand.runs()
    hand.told("sample with another solver")
    [run] = server.call("history", limit=1)
    assert server.call("run", run=run["run"])["workflow"]["nodes"]["sample"]["params"]["solver"] == "heun"


def test_the_guidance_is_swept(hand: Hand, server: RunningServer) -> None:
    sheet, page = hand.sheet, hand.sheet.page
    hand.click(sheet.field("guide", "scale"), button="right")
    hand.click(page.get_by_role("menuitem", name="Sweep over it…"))
    dialog = page.get_by_role("dialog", name="Sweep over scale")
    for name, value in ("From", "1"), ("To", "5"), ("Values", "3"):
        hand.click(dialog.get_by_label(name, exact=True))
        hand.press("Control+a")
        hand.type(value)
    expect(dialog.get_by_text("1, 3, 5", exact=True)).to_be_visible()
    hand.click(dialog.get_by_role("button", name="Draw the sweep"))
    expect(sheet.node("sweep")).to_be_attached()
    hand.runs()
    hand.told("sweep the guidance, and read the grid")
    [run] = server.call("history", limit=1)
    assert any(output["media"].startswith("image/") for output in server.call("outputs", run=run["run"]))


def test_a_mask_is_painted_and_used(hand: Hand, server: RunningServer) -> None:
    sheet, page = hand.sheet, hand.sheet.page
    Image.new("RGB", (64, 48), "teal").save(server.workspace / "first.png")
    nodes = {
        "photo": {"type": "load_image", "params": {"path": "first.png"}},
        "hidden": {"type": "mask_image", "wires": {"images": "photo"}},
        "save": {"type": "save_image", "wires": {"images": "hidden"}},
    }
    server.call("save", path="workflows/hole.json", workflow=graph(nodes, title="A hole"), overwrite=True)
    sheet.open("workflows/hole.json")
    hand.click(page.get_by_role("button", name="Paint a mask on the picture of photo"))
    painter = page.get_by_role("dialog", name="Paint a mask")
    x, y = sheet.centre(painter.get_by_role("application"))
    hand.drag((x - 60, y), (x + 60, y))
    hand.click(painter.get_by_role("button", name="Save the mask"))
    expect(page.get_by_text("The mask goes to hidden")).to_be_visible()
    hand.runs()
    hand.told("paint a mask where a picture is made anew")
    [run] = server.call("history", limit=1)
    assert server.call("run", run=run["run"])["workflow"]["nodes"]["hidden"]["wires"]["mask"].startswith(
        "load_mask_image"
    )
