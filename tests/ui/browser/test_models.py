"""The models on the server's machine: looked at, searched, hashed, and loaded by a node."""

from __future__ import annotations

import re
import shutil

from playwright.sync_api import expect

from tests.ui.browser.sheet import Sheet
from tests.ui.conftest import ROOT, RunningServer


def test_a_model_is_found_and_loaded(sheet: Sheet, real_server: RunningServer) -> None:
    folder = real_server.workspace / "models" / "found"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "workflows/models/quickstart/unet.safetensors", folder / "painter.safetensors")
    (folder / "gone.safetensors").write_text("<!DOCTYPE html><title>Not found</title>")
    sheet.empty()
    sheet.press("Alt+7")
    panel = sheet.page.get_by_role("complementary", name="Models")
    panel.get_by_role("searchbox").fill("found")
    entries = panel.get_by_role("listitem")
    expect(entries).to_have_count(2)
    gone, painter = entries.filter(has_text="gone"), entries.filter(has_text="painter")
    expect(gone).to_contain_text("HTML")
    expect(gone.get_by_role("button", name="Load", exact=True)).to_have_count(0)
    painter.get_by_role("button", name="Hash of painter.safetensors").click()
    expect(painter.locator(".model-hash")).to_have_text(re.compile(r"^[0-9a-f]{10}$"))

    painter.get_by_role("button", name="Load", exact=True).click()
    expect(sheet.field("load_unet", "path")).to_have_value("models/found/painter.safetensors")
    expect(sheet.page.get_by_text("load unet loads the model")).to_be_visible()
