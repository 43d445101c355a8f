"""Fingers alone, on a telephone and on a tablet. Only what is typed comes from a keyboard, as from the one on the screen."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from tests.ui.browser.sheet import Sheet
from tests.ui.browser.test_tables import told
from tests.ui.conftest import RunningServer, graph


def test_an_example_is_opened_its_guidance_changed_run_stopped_and_looked_at(phone: Sheet) -> None:
    page = phone.open().page
    page.get_by_role("button", name="Latent Loom: open a workflow").tap()
    page.get_by_role("dialog").get_by_text("Sample a trained model").first.tap()
    expect(phone.node("noise")).to_be_visible()

    finger = Finger(phone)
    choose(phone, "Node and documentation")
    panel = page.get_by_role("complementary", name="Node")
    scale = panel.get_by_role("slider", name="scale")
    scale.tap()
    panel.get_by_role("textbox", name="scale").fill("5")
    panel.get_by_role("heading", name="The workflow").tap()
    expect(scale).to_have_attribute("aria-valuetext", "5")
    x, y = phone.centre(scale)
    finger.swipe((x, y), (x + 4, y - 150))
    expect(scale).to_have_attribute("aria-valuetext", "5")  # a finger that scrolls turns nothing
    finger.swipe((x, y), (x + 60, y))
    expect(scale).not_to_have_attribute("aria-valuetext", "5")
    steps = panel.get_by_role("spinbutton", name="steps")
    steps.tap()
    panel.get_by_role("textbox", name="steps").fill("1000")  # long enough to be stopped on any machine
    panel.get_by_role("heading", name="The workflow").tap()
    panel.get_by_role("button", name="Close the panel").tap()

    bar = phone.box(page.locator(".topbar"))
    page.get_by_role("button", name="Run", exact=True).tap()
    stop = page.get_by_role("button", name="Stop", exact=True)
    expect(stop).to_be_in_viewport(ratio=1)
    assert phone.box(page.locator(".topbar"))["height"] == bar["height"]  # nothing jumps below the finger
    stop.tap()
    status = page.locator(".run-status")
    expect(status).to_contain_text("stopped")
    choose(phone, "Undo")
    choose(phone, "Undo")
    page.get_by_role("button", name="Run", exact=True).tap()
    expect(status).to_contain_text("done")
    choose(phone, "Node and documentation")
    expect(scale).to_have_attribute("aria-valuetext", "5")
    choose(phone, "Viewer beside the sheet")
    expect(panel).to_have_count(0)  # it would lie over the viewer
    expect(page.get_by_role("region", name="Viewer").locator("img").first).to_be_visible()


def test_a_long_press_opens_the_menu_of_what_is_under_the_finger(phone: Sheet) -> None:
    phone.open("shipped/sample.json", whole=False)
    finger = Finger(phone)
    items = phone.page.get_by_role("menuitem")
    finger.hold(phone.node("prompt").locator(".title"), items.filter(has_text="Duplicate"))
    phone.page.touchscreen.tap(20, 300)
    expect(items).to_have_count(0)
    finger.hold(phone.field("noise", "first_row"), items.filter(has_text="Sweep over it"))
    phone.page.touchscreen.tap(20, 300)
    expect(items).to_have_count(0)
    wire = phone.page.locator('.react-flow__edge[data-id="prompt.classes"]')
    expect(wire).to_be_attached()
    finger.hold(phone.socket("prompt", "classes"), items.filter(has_text="Disconnect"))
    items.filter(has_text="Disconnect").tap()
    expect(wire).to_have_count(0)
    for port in (phone.socket("labels_to_sample", "out:values"), phone.socket("prompt", "classes")):
        phone.page.touchscreen.tap(*phone.centre(port))
    expect(wire).to_be_attached()


def test_a_tap_tells_what_a_mark_of_a_plot_stands_for_and_a_swipe_goes_past_it(
    phone: Sheet, real_server: RunningServer
) -> None:
    pytest.importorskip("matplotlib")
    columns = {"scale": [1, 3], "fid": [9.25, 4.5]}
    nodes: dict[str, dict[str, Any]] = {
        "results": {"type": "table", "params": {"columns": columns}},
        "drawn": {"type": "save_plot", "wires": {"plots": [f"line{n}" for n in range(4)]}},
    }
    for n in range(4):
        params = {"x": "scale", "y": "fid", "title": f"Line {n}"}
        nodes[f"line{n}"] = {"type": "line_plot", "params": params, "wires": {"table": "results"}}
    path = "workflows/tapped.json"
    real_server.call("save", path=path, workflow=graph(nodes, title="tapped"), overwrite=True)
    page = phone.open(path).page
    page.get_by_role("button", name="Run", exact=True).tap()
    expect(page.locator(".run-status")).to_contain_text("done")
    choose(phone, "Viewer beside the sheet")
    plot = page.get_by_role("region", name="Line 0")
    expect(plot.locator("canvas")).to_be_visible()

    over = phone.box(plot.locator(".u-over"))
    for share, row in ((0.1, 0), (0.9, 1)):
        page.touchscreen.tap(over["x"] + share * over["width"], over["y"] + over["height"] / 2)
        expect(plot.get_by_role("status")).to_have_text(f"scale {columns['scale'][row]}, fid {columns['fid'][row]}")
        assert told(phone) == {name: str(column[row]) for name, column in columns.items()}

    # Two fingers zoom it; of one that is seen whole, one scrolls what it is in.
    finger = Finger(phone)
    back = plot.get_by_role("button", name="See all of the plot (0)")
    x, y = phone.centre(plot.locator(".u-over"))
    finger.spread((x, y))
    expect(back).to_be_enabled()
    back.tap()
    expect(back).to_be_disabled()
    finger.swipe((x, y), (x, y - 150))
    page.wait_for_function("y => document.querySelector('.u-over').getBoundingClientRect().y < y - 50", arg=over["y"])
    expect(back).to_be_disabled()


def test_the_bar_fits_a_tablet(sheet: Sheet) -> None:
    for width in (820, 1024, 1180):
        sheet.page.set_viewport_size({"width": width, "height": 900})
        sheet.open("shipped/sample.json", whole=False)
        run, more, save = (
            sheet.box(sheet.page.get_by_role("button", name=name, exact=True)) for name in ("Run", "More", "Save")
        )
        assert save["x"] + save["width"] <= run["x"]
        assert save["width"] >= 30
        assert more["x"] + more["width"] <= width


def choose(sheet: Sheet, name: str) -> None:
    sheet.page.get_by_role("button", name="More", exact=True).tap()
    sheet.page.get_by_role("menuitem", name=name, exact=True).tap()


class Finger:
    def __init__(self, sheet: Sheet) -> None:
        self.sheet, self.session = sheet, sheet.page.context.new_cdp_session(sheet.page)

    def _touch(self, kind: str, *points: tuple[float, float]) -> None:
        at = [{"x": x, "y": y, "id": id} for id, (x, y) in enumerate(points)]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

    def hold(self, thing: Locator, until: Locator) -> None:
        """Stay on a thing until something is seen."""
        self._touch("touchStart", self.sheet.centre(thing.first))
        expect(until).to_be_visible()
        self._touch("touchEnd")

    def swipe(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self._touch("touchStart", start)
        for share in (0.25, 0.5, 0.75, 1.0):
            x, y = (a + share * (b - a) for a, b in zip(start, end, strict=True))
            self._touch("touchMove", (x, y))
        self._touch("touchEnd")

    def spread(self, about: tuple[float, float]) -> None:
        """Two fingers that part."""
        x, y = about
        for kind, apart in (("touchStart", 30), ("touchMove", 50), ("touchMove", 70), ("touchMove", 90)):
            self._touch(kind, (x - apart, y), (x + apart, y))
        self._touch("touchEnd")
