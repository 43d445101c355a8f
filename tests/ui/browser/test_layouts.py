"""Every shipped workflow as it opens: nothing overlaps, and what a stage is called can be read."""

from __future__ import annotations

import pytest

from tests.ui.browser.sheet import Sheet
from tests.ui.conftest import ROOT

NAMES = sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))

# The boxes of nodes, zones and notes on the sheet, by the zone that each lies in, and how large zones' titles are on screen.
LOOK = """() => {
    const scale = Number(/scale\\(([^)]+)\\)/.exec(document.querySelector(".react-flow__viewport").style.transform)[1]);
    const nodes = [...document.querySelectorAll(".react-flow__node")].filter((node) => node.style.visibility !== "hidden");
    return {
        boxes: nodes.map((node) => {
            const { left, top, right, bottom } = node.getBoundingClientRect();
            return { id: node.dataset.id, left, top, right, bottom };
        }),
        titles: nodes
            .filter((node) => node.querySelector(":scope > .zone"))
            .map((node) => parseFloat(getComputedStyle(node.querySelector(".title")).fontSize) * scale),
    };
}"""


@pytest.mark.parametrize("name", NAMES)
def test_nothing_overlaps_and_stages_can_be_read(sheet: Sheet, name: str) -> None:
    sheet.open(f"shipped/{name}.json")
    seen = sheet.page.evaluate(LOOK)
    boxes = seen["boxes"]
    assert len(boxes) > 3
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
    assert all(size >= 10 for size in seen["titles"]), seen["titles"]


def _within(a: dict[str, float], b: dict[str, float]) -> bool:
    return (
        a["left"] >= b["left"] - 0.5
        and a["right"] <= b["right"] + 0.5
        and a["top"] >= b["top"] - 0.5
        and a["bottom"] <= b["bottom"] + 0.5
    )
