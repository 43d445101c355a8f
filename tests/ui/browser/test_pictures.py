"""Pictures: brought, chosen by path, painted on, looked at side by side, found again."""

from __future__ import annotations

import io
import re
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, expect

from core.images import load_mask
from tests.ui.browser.sheet import Sheet
from tests.ui.conftest import RunningServer, graph


def picture(colour: str = "teal", size: tuple[int, int] = (64, 48)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


DROP = """([files, selector]) => {
    const data = new DataTransfer();
    for (const [name, content] of files) data.items.add(new File([Uint8Array.from(content)], name, {type: "image/png"}));
    const target = document.querySelector(selector);
    const box = target.getBoundingClientRect();
    const at = {clientX: box.x + box.width / 2, clientY: box.y + box.height / 2};
    target.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true, ...at}));
}"""
PASTE = """([name, content]) => {
    const data = new DataTransfer();
    data.items.add(new File([Uint8Array.from(content)], name, {type: "image/png"}));
    document.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true}));
}"""


def drop(sheet: Sheet, files: dict[str, bytes], on: str = ".react-flow__pane") -> None:
    sheet.page.evaluate(DROP, [[[name, list(content)] for name, content in files.items()], on])


def test_pictures_come_by_drop_paste_and_folder(sheet: Sheet, real_server: RunningServer, tmp_path: Path) -> None:
    sheet.empty()
    drop(sheet, {"my cat.png": picture()})
    path = sheet.field("load_image", "path")
    expect(path).to_have_value(re.compile(r"uploads/my cat-[0-9a-f]{8}\.png"))
    expect(sheet.node("load_image").locator(".chosen-picture")).to_be_visible()
    drop(sheet, {"dog.png": picture("olive")}, on='[data-id="load_image"] .card')
    expect(path).to_have_value(re.compile("uploads/dog-"))
    sheet.select("load_image")
    sheet.page.evaluate(PASTE, ["image.png", list(picture("navy"))])
    expect(path).to_have_value(re.compile("uploads/image-"))
    sheet.undo()
    expect(path).to_have_value(re.compile("uploads/dog-"))
    expect(sheet.page.locator(".react-flow__node")).to_have_count(1)
    drop(sheet, {"no.png": b"no picture"})
    expect(sheet.page.get_by_text("no.png is no picture that can be read")).to_be_visible()

    drop(sheet, {f"{n}.png": picture(size=(n + 1, 4)) for n in range(5)})
    folder = sheet.field("image_folder", "path")
    expect(folder).to_have_value(re.compile("uploads/pictures"))
    assert len(list((real_server.workspace / folder.input_value()).iterdir())) == 5

    holiday = tmp_path / "holiday"
    for name in ("cats/1.png", "cats/1.txt", "dogs/1.png"):
        (holiday / name).parent.mkdir(parents=True, exist_ok=True)
        (holiday / name).write_bytes(picture() if name.endswith("png") else b"a cat")
    sheet.page.locator(".react-flow__pane").click(button="right", position={"x": 60, "y": 700})
    with sheet.page.expect_file_chooser() as chooser:
        sheet.page.get_by_role("menuitem", name="Add a folder of pictures…").click()
    chooser.value.set_files(holiday)
    expect(sheet.field("image_folder2", "path")).to_have_value("uploads/holiday")
    kept = real_server.workspace / "uploads/holiday"
    expect(sheet.page.get_by_text("3 files are in uploads/holiday")).to_be_visible()
    assert sorted(path.relative_to(kept).as_posix() for path in kept.rglob("*.*")) == [
        "cats/1.png",
        "cats/1.txt",
        "dogs/1.png",
    ]


def test_a_path_is_chosen_on_the_machine_that_is_named(sheet: Sheet, real_server: RunningServer) -> None:
    import socket

    (real_server.workspace / "photographs/summer").mkdir(parents=True)
    sheet.empty()
    sheet.add("image folder", (500, 300))
    sheet.node("image_folder").get_by_role("button", name="Choose path of image_folder").click()
    picker = sheet.page.get_by_role("group", name=f"Files of {socket.gethostname()}")
    picker.get_by_role("button", name="photographs").click()
    picker.get_by_role("button", name="summer").click()
    expect(picker.locator(".picker-folder")).to_have_text("photographs/summer")
    picker.get_by_role("button", name="Up").click()
    picker.get_by_role("button", name="Use this").click()
    expect(sheet.field("image_folder", "path")).to_have_value("photographs")
    sheet.node("image_folder").get_by_role("button", name="Choose path of image_folder").click()
    picker.get_by_role("button", name="Computer").click()
    expect(picker.locator(".picker-folder")).to_have_text("/")


def test_a_mask_is_painted_saved_and_wired(sheet: Sheet, real_server: RunningServer) -> None:
    (real_server.workspace / "photo.png").write_bytes(picture(size=(64, 48)))
    nodes = {
        "load_image": {"type": "load_image", "params": {"path": "photo.png"}},
        "hidden": {"type": "mask_image", "wires": {"images": "load_image"}},
    }
    real_server.call("save", path="workflows/masking.json", workflow=graph(nodes), overwrite=True)
    sheet.open("workflows/masking.json")
    sheet.select("load_image")
    sheet.press("Alt+p")
    painter = sheet.page.get_by_role("dialog", name="Paint a mask")
    ground = painter.get_by_role("application")
    expect(painter.locator("canvas")).to_have_attribute("width", "64")

    painter.get_by_label("Hardness").fill("1")
    box = ground.bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    sheet.drag((middle[0] - 60, middle[1]), (middle[0] + 60, middle[1]))
    painter.get_by_role("button", name="Undo (Ctrl Z)").click()
    expect(painter.get_by_role("button", name="Undo (Ctrl Z)")).to_be_disabled()
    painter.get_by_role("button", name="Redo").click()
    painter.get_by_role("button", name="Invert (I)").click()
    ground.focus()
    # By keys: once more inverted, and a line erased and painted again.
    sheet.press("i", "e", "Space", "ArrowLeft", "ArrowLeft", "Space", "Control+z", "b", "Control+Enter")
    expect(painter).to_have_count(0)
    expect(sheet.page.get_by_text("The mask goes to hidden")).to_be_visible()
    expect(sheet.edge("hidden.mask")).to_be_attached()
    saved = real_server.workspace / sheet.field("load_mask_image", "path").input_value()
    mask = load_mask(saved)[0]
    assert mask.shape == (48, 64)
    assert mask[24, 32] == 1
    assert mask[0].sum() == mask[-1].sum() == 0
    assert 0.02 < mask.mean() < 0.6

    # Painted again it begins with what is there, and the same node takes the new file.
    sheet.select("load_mask_image")
    sheet.press("Alt+p")
    expect(painter.get_by_role("img", name="Picture of load_image")).to_be_attached()
    expect(painter.locator("canvas")).to_have_attribute("width", "64")
    painter.get_by_role("button", name="Fill all (F)").click()
    painter.get_by_role("button", name="Save the mask").click()
    expect(painter).to_have_count(0)
    expect(sheet.field("load_mask_image", "path")).not_to_have_value(re.compile(re.escape(saved.stem)))
    again = real_server.workspace / sheet.field("load_mask_image", "path").input_value()
    assert load_mask(again).min() == 1
    sheet.undo()
    expect(sheet.field("load_mask_image", "path")).to_have_value(re.compile(re.escape(saved.stem)))
    sheet.undo()
    expect(sheet.node("load_mask_image")).to_have_count(0)


def test_a_mask_is_painted_by_a_finger_and_two_fingers_zoom(browser: Browser, server: RunningServer) -> None:
    (server.workspace / "touched.png").write_bytes(picture(size=(64, 48)))
    nodes = {
        "load_image": {"type": "load_image", "params": {"path": "touched.png"}},
        "hidden": {"type": "mask_image", "wires": {"images": "load_image"}},
    }
    server.call("save", path="workflows/touched.json", workflow=graph(nodes), overwrite=True)
    context = browser.new_context(viewport={"width": 412, "height": 800}, has_touch=True, reduced_motion="reduce")
    phone = Sheet(context.new_page(), server.url).open("workflows/touched.json")
    touch = context.new_cdp_session(phone.page)

    def fingers(kind: str, *points: tuple[float, float]) -> None:
        at = [{"x": x, "y": y, "id": n} for n, (x, y) in enumerate(points)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

    phone.node("load_image").locator(".title").first.dispatch_event("contextmenu")
    phone.page.get_by_role("menuitem", name="Paint a mask…").tap()
    painter = phone.page.get_by_role("dialog", name="Paint a mask")
    expect(painter.locator("canvas")).to_have_attribute("width", "64")  # it has its place once the picture is there
    box = painter.get_by_role("application").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    undo = painter.get_by_role("button", name="Undo (Ctrl Z)")
    # Two fingers zoom, and leave no paint behind: what the first began is not meant.
    fingers("touchStart", (x - 20, y))
    fingers("touchStart", (x - 20, y), (x + 20, y))
    for by in (30, 50, 70):
        fingers("touchMove", (x - by, y), (x + by, y))
    fingers("touchEnd")
    expect(undo).to_be_disabled()
    fingers("touchStart", (x - 40, y))
    for by in (-20, 0, 20, 40):
        fingers("touchMove", (x + by, y))
    fingers("touchEnd")
    expect(undo).to_be_enabled()
    painter.get_by_role("button", name="Save the mask").click()
    expect(painter).to_have_count(0)
    saved = server.workspace / phone.field("load_mask_image", "path").input_value()
    mask = load_mask(saved)[0]
    assert mask[24, 32] == 1
    assert 0 < mask.mean() < 0.5
    assert phone.errors == []
    context.close()


FOLDER = """([files, selector]) => {
    const entry = (name, content, fullPath = `/${name}`) => content instanceof Array
        ? {isFile: true, isDirectory: false, name, fullPath, file: (take) => take(new File([Uint8Array.from(content)], name))}
        : {isFile: false, isDirectory: true, name, fullPath, createReader: () => {
            // A browser hands out a folder's entries in several portions, and ends with an empty one.
            const rest = Object.entries(content).map(([own, inner]) => entry(own, inner, `${fullPath}/${own}`));
            return {readEntries: (take) => take(rest.splice(0, 1))};
        }};
    const items = Object.entries(files).map(([name, content]) => ({
        kind: "file", webkitGetAsEntry: () => entry(name, content),
    }));
    const box = document.querySelector(selector).getBoundingClientRect();
    const at = {clientX: box.x + box.width / 2, clientY: box.y + box.height / 2};
    const event = new DragEvent("drop", {bubbles: true, cancelable: true, ...at});
    Object.defineProperty(event, "dataTransfer", {value: {items, files: [], types: ["Files"], getData: () => ""}});
    document.querySelector(selector).dispatchEvent(event);
}"""


def test_a_dragged_folder_is_kept_with_its_sub_folders_and_captions(plain_sheet: Sheet, server: RunningServer) -> None:
    plain_sheet.empty()
    holiday = {
        "cats": {"1.png": list(picture()), "1.txt": list(b"a cat"), "2.png": list(picture("olive"))},
        "dogs": {"1.png": list(picture("navy"))},
    }
    plain_sheet.page.evaluate(FOLDER, [{"dragged": holiday}, ".react-flow__pane"])
    expect(plain_sheet.field("image_folder", "path")).to_have_value("uploads/dragged")
    kept = server.workspace / "uploads/dragged"
    expect(plain_sheet.page.get_by_text("4 files are in uploads/dragged")).to_be_visible()
    found = sorted(path.relative_to(kept).as_posix() for path in kept.rglob("*.*"))
    assert found == ["cats/1.png", "cats/1.txt", "cats/2.png", "dogs/1.png"]


def test_results_are_viewed_compared_found_marked_and_thrown_away(sheet: Sheet, real_server: RunningServer) -> None:
    sheet.open("shipped/sample.json")
    page = sheet.page
    page.get_by_role("button", name="Viewer", exact=True).click()
    viewer = page.get_by_role("region", name="Viewer")
    sheet.find("noise")
    sheet.type_in("noise", "seed", "9021")  # so that this run has pictures of its own
    sheet.run()
    image = viewer.locator(".viewer-content:not(.over) img")
    expect(image).to_be_visible(timeout=60_000)
    sheet.until_over()
    expect(image).to_have_attribute("src", re.compile(r"/samples\.png$"))  # the last that it makes
    expect(viewer.locator(".viewer-count")).to_have_text(re.compile(r"(\d+) of \1$"))

    newest = image.get_attribute("src") or ""
    ground = viewer.get_by_role("group", name=re.compile("The picture"))
    ground.focus()
    sheet.press("PageUp")
    expect(image).not_to_have_attribute("src", newest)
    sheet.page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=image.element_handle())
    sheet.press("0")
    expect(viewer.locator(".viewer-zoom")).not_to_have_text("100 %")  # small pictures are shown larger
    fitted = viewer.locator(".viewer-zoom").inner_text()
    sheet.press("+", "+", "ArrowLeft")
    expect(viewer.locator(".viewer-zoom")).not_to_have_text(fitted)
    sheet.press("0")
    expect(viewer.locator(".viewer-zoom")).to_have_text(fitted)

    viewer.get_by_role("button", name="Two pictures under a slider").click()
    viewer.get_by_role("button", name="Newest").click()
    share = viewer.get_by_role("slider")
    share.fill("20")
    expect(viewer.locator(".over")).to_have_css("clip-path", re.compile("80%"))
    viewer.get_by_role("button", name="All as labelled tiles").click()
    tiles = viewer.get_by_role("list", name="All pictures").get_by_role("listitem")
    expect(tiles.last).to_contain_text("#")
    viewer.get_by_label("Which pictures").select_option("recent")
    expect(tiles.first).to_contain_text("#1")

    rim = viewer.get_by_role("separator", name="Width of the viewer")
    rim.focus()
    sheet.press("ArrowLeft", "ArrowLeft")
    expect(rim).to_have_attribute("aria-valuenow", "448")
    page.reload()
    expect(rim).to_have_attribute("aria-valuenow", "448")
    held = sheet.centre(rim)
    page.mouse.move(*held)
    page.mouse.down()
    page.mouse.move(held[0] + 60, held[1], steps=6)  # the rim stays under the pointer on each step
    page.mouse.up()
    expect(rim).to_have_attribute("aria-valuenow", "388")
    viewer.get_by_role("button", name="Close the viewer").click()

    sheet.press("Alt+3")
    gallery = page.get_by_role("complementary", name="Gallery")
    found = gallery.locator(".gallery-grid li")
    expect(found.first).to_be_visible()
    gallery.get_by_role("searchbox").fill("no such words")
    expect(gallery.get_by_text("No pictures that fit")).to_be_visible()
    gallery.get_by_role("searchbox").fill("trained")
    expect(found.first).to_be_visible()
    gallery.get_by_role("searchbox").fill("#1")
    expect(found.last).to_contain_text("#1")
    found.first.get_by_role("button", name=re.compile("^Favourite")).click()
    gallery.get_by_role("searchbox").fill("")
    gallery.get_by_label("favourites").check()
    expect(found).to_have_count(1)
    found.first.get_by_role("button", name=re.compile("^Send")).click()
    expect(page.get_by_text("load image loads the picture")).to_be_visible()
    expect(sheet.node("load_image")).to_have_class(re.compile(r"\bselected\b"))
    found.first.get_by_role("button", name=re.compile("^Throw away")).click()
    expect(found).to_have_count(0)
    page.get_by_role("button", name="Undo", exact=True).click()
    expect(found).to_have_count(1)
    found.first.get_by_role("button", name=re.compile("^Compare")).click()
    gallery.get_by_label("favourites").uncheck()
    gallery.locator(".gallery-grid li:not(.pinned)").first.get_by_role("button", name=re.compile("^Compare")).click()
    expect(viewer.locator(".over img")).to_be_visible()
