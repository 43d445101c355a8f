"""From an empty sheet to a picture, by mouse and keyboard alone."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.ui.browser.sheet import Sheet, graph_of
from tests.ui.conftest import RunningServer

MODELS = "models/quickstart"


def compose(sheet: Sheet) -> None:
    """The class-conditional sampling graph with an open loop: two denoiser calls, and their combination."""
    sheet.empty()
    sheet.press("Alt+2", "Alt+2")  # the side panel out of the way, whichever was open
    sheet.add("load unet", (40, 90), "load_unet")
    sheet.add("load autoencoder", (40, 230), "load_autoencoder")
    sheet.add("load class embedder", (40, 370), "load_class_embedder")
    sheet.type_in("load_unet", "path", f"{MODELS}/unet.safetensors")
    sheet.type_in("load_autoencoder", "path", f"{MODELS}/autoencoder.safetensors")
    sheet.type_in("load_class_embedder", "path", f"{MODELS}/embedder.safetensors")
    sheet.add("gaussian noise", (40, 510))
    sheet.type_in("gaussian_noise", "shape", "2, 4, 8, 8")
    sheet.add("noise schedule", (40, 680))
    sheet.add("class context", (300, 560))
    sheet.type_in("class_context", "classes", "3, 14")
    sheet.add("class context", (300, 700), "class_context2")

    sheet.add("sample", (300, 90))
    sheet.type_in("sample", "steps", "4")
    sheet.add("denoise", (560, 140))
    sheet.add("denoise", (560, 330), "denoise2")
    sheet.add("cfg combine", (800, 210))
    sheet.add("decode", (1320, 140))
    sheet.add("save image", (1320, 330))

    for embedded in ("class_context", "class_context2"):
        sheet.wire(("load_class_embedder", "out:class_embedder"), (embedded, "embedder"))
    sheet.wire(("gaussian_noise", "out:latent"), ("sample", "noise"))
    sheet.wire(("noise_schedule", "out:schedule"), ("sample", "schedule"))
    for denoiser, context in (("denoise", "class_context"), ("denoise2", "class_context2")):
        sheet.wire(("load_unet", "out:unet"), (denoiser, "model"))
        sheet.wire(("sample", "inner:z"), (denoiser, "z"))
        sheet.wire(("sample", "inner:t"), (denoiser, "t"))
        sheet.wire((context, "out:conditioning"), (denoiser, "condition"))
    sheet.wire(("denoise", "out:prediction"), ("cfg_combine", "cond"))
    sheet.wire(("denoise2", "out:prediction"), ("cfg_combine", "uncond"))
    sheet.wire(("cfg_combine", "out:prediction"), ("sample", "results.prediction"))
    sheet.wire(("sample", "out:latent"), ("decode", "z"))
    sheet.wire(("load_autoencoder", "out:autoencoder"), ("decode", "autoencoder"))
    sheet.wire(("decode", "out:image"), ("save_image", "images"))


def test_a_graph_is_composed_run_saved_and_opened_again(sheet: Sheet, real_server: RunningServer) -> None:
    compose(sheet)
    sheet.run()
    expect(sheet.picture("save_image")).to_be_visible(timeout=60_000)
    sheet.until_over()
    sheet.fares("sample", "done")

    sheet.save_as("composed")
    file = real_server.workspace / "workflows/composed.json"
    nodes = graph_of(file)
    assert nodes["sample"]["body"]["results"] == {"prediction": "cfg_combine"}
    assert nodes["denoise2"]["wires"] == {
        "model": "load_unet",
        "z": "sample.z",
        "t": "sample.t",
        "condition": "class_context2",
    }
    wires = {f"{id}.{port}" for id, node in nodes.items() for port in node.get("wires", {})}
    wires |= {"sample.results.prediction"}
    assert len(wires) == 18
    written = file.read_bytes()

    sheet.page.reload()
    expect(sheet.node("cfg_combine")).to_be_attached()
    sheet.press("Alt+n")
    expect(sheet.node("cfg_combine")).to_have_count(0)
    sheet.press("Control+o")
    sheet.start_page.locator("button.entry").filter(has_text="composed").first.click()
    expect(sheet.node("cfg_combine")).to_be_attached()
    sheet.press("Home")
    sheet.wired(wires)
    sheet.save_as("composed_again")
    assert (real_server.workspace / "workflows/composed_again.json").read_bytes() == written
    sheet.open("workflows/composed.json")
    # A change and its undoing leave the document as it is; saved again, the file holds the same bytes.
    sheet.type_in("cfg_combine", "scale", "2")
    sheet.press("Escape")
    sheet.page.locator(".react-flow__pane").click(position={"x": 800, "y": 800})
    sheet.undo()
    sheet.press("Control+s")
    expect(sheet.page.get_by_text("Saved workflows/composed.json")).to_be_visible()
    assert file.read_bytes() == written

    # Only what depends on the guidance scale runs again.
    sheet.type_in("cfg_combine", "scale", "5")
    sheet.run()
    expect(sheet.node("load_unet").get_by_label("cached")).to_be_visible(timeout=20_000)
    sheet.until_over()
    for id in ("class_context", "gaussian_noise", "noise_schedule"):
        sheet.fares(id, "cached")
    for id in ("sample", "decode"):
        sheet.fares(id, "done")


def test_shipped_files_keep_their_bytes(sheet: Sheet, real_server: RunningServer) -> None:
    """Opened and saved under another name: the same text, layout or none."""
    for name in ("quickstart", "langevin"):
        sheet.open(f"shipped/{name}.json")
        sheet.save_as(f"copy_of_{name}")
        canonical = real_server.call("open", path=f"shipped/{name}.json")["text"]
        assert (real_server.workspace / f"workflows/copy_of_{name}.json").read_text() == canonical
