"""Every shipped workflow as it opens: its first stage can be read and used, nothing overlaps, no wire runs across a node."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.ui.browser.sheet import Sheet
from tests.ui.conftest import ROOT

QUICK = ("captioned_pictures", "inpainting", "layout_to_image", "quickstart", "sample")
NAMES = [
    pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow)
    for name in sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))
]

# The boxes of nodes and zones on the screen, how large zones' titles are on it, and what each wire runs over besides its ends
# and the zones around them. Wires are looked at each 6 pixels of the sheet.
LOOK = """() => {
    const view = document.querySelector(".react-flow__viewport");
    const scale = Number(/scale\\(([^)]+)\\)/.exec(view.style.transform)[1]);
    const nodes = [...document.querySelectorAll(".react-flow__node")].filter((node) => node.style.visibility !== "hidden");
    const boxes = nodes.map((node) => {
        const { left, top, right, bottom } = node.getBoundingClientRect();
        return { id: node.dataset.id, left, top, right, bottom, zone: node.querySelector(":scope > .zone") !== null };
    });
    const across = [];
    for (const path of document.querySelectorAll(".react-flow__edge-path")) {
        const to = path.getScreenCTM();
        const length = path.getTotalLength();
        const wire = path.closest(".react-flow__edge").dataset;
        const target = wire.id.split(".")[0];
        const label = path.closest(".react-flow__edge").getAttribute("aria-label") ?? "";
        for (let at = 0; at <= length; at += 6) {
            const { x, y } = path.getPointAtLength(at).matrixTransform(to);
            const over = boxes.filter((box) => !box.zone && box.id !== target && !label.includes(` ${box.id} `)
                && x > box.left + 1 && x < box.right - 1 && y > box.top + 1 && y < box.bottom - 1);
            across.push(...over.map((box) => `${wire.id} over ${box.id}`));
        }
    }
    const letters = [...document.querySelectorAll(".card :is(.title, .told)")].flatMap((text) => {
        const { fontSize, opacity, display } = getComputedStyle(text);
        return opacity === "0" || display === "none" ? [] : [parseFloat(fontSize) * scale];
    });
    return {
        scale, letters, boxes, across: [...new Set(across)],
        titles: boxes.filter((box) => box.zone).map((box) => {
            const title = document.querySelector(`[data-id="${box.id}"] .title`);
            const drawn = title.getBoundingClientRect().height / title.offsetHeight;
            return parseFloat(getComputedStyle(title).fontSize) * drawn;
        }),
    };
}"""


@pytest.mark.parametrize("name", NAMES)
def test_the_first_stage_can_be_read_and_used(sheet: Sheet, name: str) -> None:
    sheet.page.set_viewport_size({"width": 1440, "height": 900})
    sheet.open(f"shipped/{name}.json", whole=False)
    seen = sheet.page.evaluate(LOOK)
    assert seen["scale"] >= 0.7
    assert len(seen["boxes"]) > 3
    nothing_overlaps(seen["boxes"])
    assert all(size >= 12 for size in seen["titles"]), seen["titles"]
    assert seen["across"] == []
    pane = sheet.box(sheet.page.locator(".react-flow"))
    for box in seen["boxes"]:
        outside = box["bottom"] <= pane["y"] or box["right"] <= pane["x"]
        assert outside or (box["top"] >= pane["y"] and box["left"] >= pane["x"]), f"{box['id']} is cut off"
    # Ports and fields are there, and large enough to be met with the mouse.
    ports = sheet.page.locator(".zone .socket").or_(sheet.page.locator(".react-flow__node .socket"))
    socket = sheet.box(ports.first)
    assert socket["width"] >= 7
    field = sheet.page.locator(".zone .field").or_(sheet.page.locator(".react-flow__node .field")).first
    assert sheet.box(field)["height"] >= 14
    tall = sheet.page.locator(".react-flow__node .multiline").evaluate_all("all => all.map((it) => it.offsetHeight)")
    assert all(height > 40 for height in tall), "a field of several lines shows less than two"

    sheet.press("Home")
    sheet.until_still()
    far = sheet.page.evaluate(LOOK)
    nothing_overlaps(far["boxes"])
    assert all(size >= 12 for size in far["titles"]), far["titles"]
    assert all(size >= 7.5 for size in far["letters"]), "a name or a value that cannot be read is drawn as none"


def nothing_overlaps(boxes: list[dict[str, float]]) -> None:
    for i, a in enumerate(boxes):
        for b in boxes[i + 1 :]:
            apart = (
                a["right"] <= b["left"] + 0.5
                or b["right"] <= a["left"] + 0.5
                or a["bottom"] <= b["top"] + 0.5
                or b["bottom"] <= a["top"] + 0.5
            )
            inside = _within(a, b) or _within(b, a)
            assert apart or inside, f"{a['id']} and {b['id']}"


def _within(a: dict[str, float], b: dict[str, float]) -> bool:
    return (
        a["left"] >= b["left"] - 0.5
        and a["right"] <= b["right"] + 0.5
        and a["top"] >= b["top"] - 0.5
        and a["bottom"] <= b["bottom"] + 0.5
    )


def test_a_wire_is_drawn_and_a_field_changed_as_it_opens(sheet: Sheet) -> None:
    sheet.page.set_viewport_size({"width": 1440, "height": 900})
    sheet.open("shipped/sample.json", whole=False)
    sheet.type_in("sample", "steps", "20")
    expect(sheet.field("sample", "steps")).to_have_attribute("aria-valuenow", "20")
    edge = sheet.page.locator('.react-flow__edge[data-id="cond.condition"]')
    before = edge.get_attribute("aria-label")
    sheet.drag(sheet.centre(sheet.socket("null", "out:conditioning")), sheet.centre(sheet.socket("cond", "condition")))
    expect(edge).not_to_have_attribute("aria-label", before or "")


def test_from_afar_a_zone_is_a_card_with_its_fields(sheet: Sheet) -> None:
    sheet.page.set_viewport_size({"width": 1440, "height": 900})
    sheet.open("shipped/quickstart.json")
    expect(sheet.node("posterior")).to_have_count(0)
    card = sheet.page.get_by_role("region", name="Stage autoencoder")
    expect(card.locator(".zone-card-number")).to_have_text("1")
    expect(card.locator(".zone-card-note")).to_contain_text("Learns to press pictures")
    sheet.type_in("autoencoder", "steps", "50")
    expect(sheet.field("autoencoder", "steps")).to_have_attribute("aria-valuenow", "50")
    sheet.page.get_by_role("button", name="Look inside autoencoder").click()
    expect(sheet.node("posterior")).to_be_visible()
    expect(sheet.field("autoencoder", "steps")).to_have_attribute("aria-valuenow", "50")
    expect(sheet.node("autoencoder").get_by_role("list", name="Read from outside of autoencoder")).to_be_visible()
    sheet.page.get_by_role("button", name="Show all").click()
    expect(card).to_be_visible()
    grid = sheet.node("grid")
    far = sheet.box(grid)["width"]
    grid.locator(".title").first.click()
    sheet.press("f")
    expect(card).to_have_count(0)
    assert sheet.box(grid)["width"] > 1.5 * far
