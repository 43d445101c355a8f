"""What people bring: pictures and nothing else, whole or not at all, under names that every file system takes."""

from __future__ import annotations

import io
import random
import re
from pathlib import Path

import pytest
from PIL import Image

from tests.effort import cases
from tests.ui.conftest import RunningServer
from tests.ui.hostile import ODD_TEXTS
from ui.refusal import RefusedError
from ui.server import LIMITS, largest_body
from ui.uploads import CAPTIONS, SUFFIXES, Uploads
from ui.workspace import FORMATS, Workspace


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads(Workspace(tmp_path / "workspace"))


def sent(folder: Path, content: bytes) -> Path:
    path = folder / "sent"
    path.write_bytes(content)
    return path


def picture(kind: str = "PNG", size: tuple[int, int] = (12, 8), colour: str = "teal") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, kind)
    return out.getvalue()


def files(uploads: Uploads) -> list[str]:
    root = uploads.workspace.root / "uploads"
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", FORMATS)
def test_a_picture_is_kept_under_its_name_and_ends_as_its_format_does(
    uploads: Uploads, tmp_path: Path, kind: str
) -> None:
    for name in ("My cat", "My cat.exe", f"My cat{SUFFIXES[kind][-1].upper()}"):
        entry = uploads.keep(sent(tmp_path, picture(kind)), name)
        assert re.fullmatch(r"uploads/My cat-[0-9a-f]{8}\.\w+", entry.path), entry
        assert entry.path.endswith(SUFFIXES[kind])
        assert entry.media.startswith("image/")


def test_what_is_no_whole_picture_is_refused_and_leaves_nothing(uploads: Uploads, tmp_path: Path) -> None:
    dice = random.Random(0)
    noise = Image.effect_noise((64, 64), 60).convert("RGB")
    for _ in range(cases(20, 300)):
        kind = dice.choice(("PNG", "JPEG", "WEBP", "GIF", "TIFF"))
        out = io.BytesIO()
        noise.save(out, kind)
        cut = out.getvalue()[: dice.randrange(len(out.getvalue()) * 3 // 4)]
        for name in ("a.png", "../../a.jpg"):
            with pytest.raises(RefusedError, match="no picture that can be read") as refused:
                uploads.keep(sent(tmp_path, cut), name)
            assert refused.value.status == 415
    for content in (b"", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"<svg onload='alert(1)'/>", b"MZ" + bytes(300), b"#!/bin/sh\n"):
        with pytest.raises(RefusedError, match="pictures are PNG"):
            uploads.keep(sent(tmp_path, content), "x.png")
    assert files(uploads) == []


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(uploads: Uploads, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="million pixels") as refused:
        uploads.keep(sent(tmp_path, picture(size=(1, 2**26 + 1))), "tall.png")
    assert refused.value.status == 413


def test_a_folder_keeps_its_sub_folders_and_captions(uploads: Uploads, tmp_path: Path) -> None:
    folder = uploads.new_folder("Holiday/../2024: sea").path
    assert uploads.new_folder("Holiday/../2024: sea").path == f"{folder}-2"
    assert folder.startswith("uploads/")
    uploads.keep(sent(tmp_path, picture()), "cats/grey one.png", folder)
    uploads.keep(sent(tmp_path, b"a grey cat"), "cats/grey one.txt", folder)
    uploads.keep(sent(tmp_path, picture("JPEG")), "dogs\\one.jpeg", folder)
    inner = folder.removeprefix("uploads/")
    assert files(uploads) == [f"{inner}/cats/grey one.png", f"{inner}/cats/grey one.txt", f"{inner}/dogs/one.jpeg"]
    for content in (b"\xff\xfe", b"x" * 70_000, b"a\0b"):
        with pytest.raises(RefusedError):
            uploads.keep(sent(tmp_path, content), "cats/b.txt", folder)
    with pytest.raises(RefusedError, match="no picture"):  # a caption needs a folder with its picture
        uploads.keep(sent(tmp_path, b"a grey cat"), "cat.txt")
    for elsewhere in ("", "workflows", "uploads", "..", ".server", f"{folder}/cats", "uploads/absent"):
        with pytest.raises(RefusedError):
            uploads.keep(sent(tmp_path, b"text"), "a.txt", elsewhere)
    assert len(files(uploads)) == 3


def test_no_name_leads_out_of_the_uploads(uploads: Uploads, tmp_path: Path) -> None:
    folder = uploads.new_folder("x").path
    before = {path for path in tmp_path.rglob("*") if "uploads" not in path.parts}
    for name in (*ODD_TEXTS, "../../up", "/etc/x", "a/../../../b", "C:\\x\\y", ".hidden/.x", "con", "x/" * 20 + "y"):
        for place in ("", folder):
            for ends in ("", ".png", *CAPTIONS):
                try:
                    entry = uploads.keep(sent(tmp_path, picture()), name + ends, place)
                except RefusedError:
                    continue
                kept = uploads.workspace.file(entry.path)
                assert kept.is_relative_to(uploads.workspace.root / "uploads")
    after = {path for path in tmp_path.rglob("*") if "uploads" not in path.parts}
    assert after - before == {tmp_path / "sent"}


def test_a_painted_mask_is_kept_as_greys_whatever_a_browser_makes_of_it(uploads: Uploads, tmp_path: Path) -> None:
    from core.images import load_mask

    painted = Image.new("RGBA", (6, 4), (0, 0, 0, 0))
    painted.paste((255, 255, 255, 255), (2, 1, 5, 3))
    opaque = Image.new("RGBA", (6, 4), "black")
    opaque.alpha_composite(painted)
    for image in (painted, opaque, opaque.convert("RGB")):
        out = io.BytesIO()
        image.save(out, "PNG")
        entry = uploads.keep(sent(tmp_path, out.getvalue()), "mask of cat.png", mask=True)
        kept = uploads.workspace.file(entry.path)
        with Image.open(kept) as found:
            assert (found.mode, found.size) == ("L", (6, 4))
        mask = load_mask(kept)[0]
        assert mask.sum() == 6
        assert bool((mask[1:3, 2:5] == 1).all())
    assert len(files(uploads)) == 1, "equal masks are one file"


def test_the_route_takes_pictures_of_the_size_that_is_told(server: RunningServer) -> None:
    kept = server.http.post("/pictures?name=../../cat.png", content=picture(colour="olive")).json()
    assert kept["path"].startswith("uploads/cat-")
    with Image.open(server.workspace / kept["path"]) as image:
        assert image.size == (12, 8)
    assert server.http.post("/pictures?name=x.png", content=b"rubbish").status_code == 415
    assert largest_body("/pictures") == LIMITS.picture == server.call("about")["limits"]["picture"]
    folder = server.call("new_folder", name="of the route")["path"]
    named = server.http.post("/pictures", params={"name": "a/b.png", "folder": folder}, content=picture()).json()
    assert named["path"] == f"{folder}/a/b.png"
