"""Before a run: shapes on the ports, what it costs, and a shape that does not fit on its node."""

from __future__ import annotations

import json

from playwright.sync_api import expect

from tests.ui.browser.sheet import Sheet
from tests.ui.conftest import RunningServer, graph

NODES = {
    "noise": {"type": "gaussian_noise", "params": {"shape": [2, 4, 8, 8]}},
    "first": {"type": "kl_autoencoder", "params": {"model_channels": 16, "norm_groups": 8, "z_channels": 4}},
    "image": {"type": "decode", "wires": {"autoencoder": "first", "z": "noise"}},
    "grid": {"type": "image_grid", "wires": {"images": "image"}},
    "save": {"type": "save_image", "wires": {"images": "grid"}},
}


def test_shapes_cost_and_a_misfit_are_told_before_the_run(sheet: Sheet, real_server: RunningServer) -> None:
    file = real_server.workspace / "workflows/before.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(graph(NODES, title="Before")))
    sheet.open("workflows/before.json")
    sheet.page.get_by_role("button", name="Before the run").click()
    panel = sheet.page.get_by_role("complementary", name="Before the run")
    row = panel.get_by_role("listitem").filter(has_text="image")
    expect(row).to_contain_text("2×3×", timeout=90_000)
    expect(panel.get_by_role("definition").nth(2)).to_have_text("none")
    row.get_by_role("button").click()
    expect(sheet.page.locator('.react-flow__node.selected[data-id="image"]')).to_be_visible()

    sheet.socket("image", "z").hover()
    expect(sheet.page.get_by_role("tooltip")).to_contain_text("2×4×8×8")

    sheet.type_in("first", "z_channels", "3")
    expect(panel.get_by_role("button", name="The graph changed")).to_be_visible()
    panel.get_by_role("button", name="The graph changed").click()
    expect(panel.get_by_role("definition").nth(2)).to_have_text("1", timeout=90_000)
    expect(sheet.node("image").get_by_label("noise.latent gives 2×4×8×8")).to_be_visible()
