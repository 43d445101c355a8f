"""Pictures that people bring: dropped, pasted, painted. Only what is a picture is kept, under a name of our own choosing.

What was sent is decoded before it has a name in the workspace, so that a node never finds half a picture there. A folder
keeps its sub-folders, which are classes for `image_folder`, and the captions beside its pictures.
"""

from __future__ import annotations

import io
import itertools
import shutil
from pathlib import Path, PurePosixPath

from PIL import Image, ImageOps

from graph_runner.base.files import atomic_file, write_atomically
from ui.refusal import RefusedError
from ui.schemas import FileEntry
from ui.workspace import DRAWING, FORMATS, THUMBNAIL_PIXELS, UPLOADS, Workspace, safe_part

SUFFIXES = {
    "PNG": (".png",), "JPEG": (".jpg", ".jpeg"), "WEBP": (".webp",), "GIF": (".gif",), "BMP": (".bmp",), "TIFF": (".tif", ".tiff"),
}  # fmt: skip
"""How names of each format end: nodes and browsers tell the format by that. The first is put where a name ends otherwise."""
CAPTIONS, LONGEST_CAPTION = (".txt", ".caption"), 2**16
DEEPEST = 8
"""Folders within a folder that is sent."""


class Uploads:
    """What is kept below `uploads/`."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def keep(self, sent: Path, name: str, folder: str = "", mask: bool = False) -> FileEntry:
        """Keep a picture. Raises RefusedError (415) for what is none.

        name: its own; within a folder that `new_folder` made also with sub-folders, and of a caption (.txt). mask: keep it as
        greys, white where it is bright and opaque.
        """
        if folder and PurePosixPath(name).suffix.lower() in CAPTIONS:
            content = _caption(sent, name)
            target = self._within(folder, name, PurePosixPath(name).suffix.lower())
            if not target.exists() or target.read_bytes() != content:
                write_atomically(target, content)
                self.workspace.home.keep(target)
            return self.workspace.entry(target)
        kind = checked_picture(sent, name)
        if mask:
            return self._keep_mask(sent, name)
        ends = PurePosixPath(name).suffix.lower()
        ends = ends if ends in SUFFIXES[kind] else SUFFIXES[kind][0]
        if not folder:
            return self.workspace.keep(sent, f"{PurePosixPath(name).stem}{ends}")
        target = self._within(folder, name, ends)
        with atomic_file(target) as temporary:
            shutil.copyfile(sent, temporary)
        self.workspace.home.keep(target)
        return self.workspace.entry(target)

    def new_folder(self, name: str) -> FileEntry:
        """A folder of a name close to this one that was not there before, for what is sent next."""
        uploads = self.workspace.root / UPLOADS
        uploads.mkdir(exist_ok=True)
        stem = safe_part(name, 100) or "pictures"
        for n in itertools.count(1):
            made = uploads / (stem if n == 1 else f"{stem}-{n}")
            try:
                made.mkdir()
            except FileExistsError:
                continue
            return self.workspace.entry(made)
        raise AssertionError

    def _keep_mask(self, sent: Path, name: str) -> FileEntry:
        with DRAWING, Image.open(sent, formats=FORMATS) as image:
            painted = image.convert("RGBA")
            on_black = Image.alpha_composite(Image.new("RGBA", painted.size, "black"), painted).convert("L")
        with self.workspace.temporary() as written:
            on_black.save(written, "PNG")
            return self.workspace.keep(written, f"{PurePosixPath(name).stem or 'mask'}.png")

    def _within(self, folder: str, name: str, ends: str) -> Path:
        """Where a file of a folder is kept: its name as it is, as far as every file system allows it."""
        base = self.workspace.inside(folder)
        parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", ".", "..")]
        if base.parent != self.workspace.root / UPLOADS or not base.is_dir():
            raise RefusedError(400, f"{folder!r} is no folder for what is sent; make one by `new_folder`")
        if not parts or len(parts) > DEEPEST:
            raise RefusedError(
                400, f"{name[:100]!r} lies more than {DEEPEST} folders deep; send a folder further inside"
            )
        *folders, last = parts
        inner = [safe_part(part, 100) or "folder" for part in folders]
        place = "/".join([folder, *inner, (safe_part(PurePosixPath(last).stem, 150) or "file") + ends])
        target = self.workspace.inside(place)
        target.parent.mkdir(parents=True, exist_ok=True)
        return target


def checked_picture(path: Path, name: str) -> str:
    """The format of a picture that can be decoded to its end. Raises RefusedError (415, or 413 where it has too many pixels)."""
    told = PurePosixPath(name).name[:100] or "this"
    try:
        with DRAWING, Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > THUMBNAIL_PIXELS:
                raise RefusedError(
                    413, f"{told} has more than {THUMBNAIL_PIXELS >> 20} million pixels; make it smaller"
                )
            kind = str(image.format)
            image.draft("RGB", (64, 64))  # a JPEG need not be decoded at its full size to be known whole
            image.load()
            ImageOps.exif_transpose(image)
    except RefusedError:
        raise
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and others
        kinds = ", ".join(FORMATS)
        raise RefusedError(415, f"{told} is no picture that can be read ({error}); pictures are {kinds}") from error
    return "JPEG" if kind == "MPO" else kind


def _caption(path: Path, name: str) -> bytes:
    told = PurePosixPath(name).name[:100]
    with path.open("rb") as file:
        content = file.read(LONGEST_CAPTION + 1)
    if len(content) > LONGEST_CAPTION:
        raise RefusedError(413, f"{told} is longer than {LONGEST_CAPTION >> 10} KiB, and no caption is")
    try:
        io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig").read()
    except UnicodeDecodeError as error:
        raise RefusedError(415, f"{told} is no text in UTF-8, as captions are") from error
    if b"\0" in content:
        raise RefusedError(415, f"{told} holds a zero byte, and no caption does")
    return content
