"""ComfyUI's files on the canvas: a workflow and a picture open where they are dropped, and what has no counterpart is told."""

from __future__ import annotations

import json
import sys
from io import BytesIO
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright")

from PIL import Image, PngImagePlugin
from playwright.sync_api import expect

from tests.ui.browser.sheet import Sheet

sys.path.append(str(Path(__file__).parents[2] / "nodes" / "comfyui"))
from prompts import base, changed, node


def test_a_workflow_and_a_picture_of_comfyui_open_where_they_are_dropped(sheet: Sheet) -> None:
    prompt = changed(base(), {"10": node("PerturbedAttention", model=["4", 0], b1=1.3)}, n3__model=["10", 0])
    sheet.open("shipped/langevin.json")
    sheet.drop("theirs.json", json.dumps(prompt).encode())
    expect(sheet.page.get_by_text("ComfyUI's PerturbedAttention has no counterpart here").first).to_be_visible()
    expect(sheet.node("perturbed_attention")).to_be_visible()
    chunks, picture = PngImagePlugin.PngInfo(), BytesIO()
    chunks.add_text("prompt", json.dumps(base()))
    Image.new("RGB", (8, 8)).save(picture, "PNG", pnginfo=chunks)
    sheet.drop("theirs.png", picture.getvalue())
    expect(sheet.node("perturbed_attention")).to_have_count(0)
    expect(sheet.node("sample")).to_be_visible()
