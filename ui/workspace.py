"""The files of the workspace as the server gives and takes them; nothing outside of it, and nothing hidden."""

from __future__ import annotations

import asyncio
import hashlib
import io
import mimetypes
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from PIL import Image

from graph_runner.files import atomic_file
from ui.models import FileEntry
from ui.refusal import RefusedError

UPLOADS = "uploads"
THUMBNAIL_PIXELS = 178_956_970
"""The largest picture that is opened for a thumbnail: Pillow's own limit against decompression bombs."""


class Workspace:
    """The folder of one server. Paths in requests are relative to it, with forward slashes."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().resolve()
        self.root.mkdir(parents=True, exist_ok=True)
        self.own = self.root / ".server"
        self.own.mkdir(exist_ok=True)

    def inside(self, path: str) -> Path:
        """The absolute path of a path within the workspace.

        Raises RefusedError where it leaves the workspace (also through a link) or is hidden.
        """
        parts = PurePosixPath(path).parts
        if "\\" in path or "\0" in path or path.startswith("/") or re.match(r"[A-Za-z]:", path) or ".." in parts:
            raise RefusedError(400, f"{path!r} is no path below the workspace; give one relative to it, without '..'")
        if any(part.startswith(".") for part in parts):
            raise RefusedError(400, f"{path!r} is hidden; the server keeps such files to itself")
        found = self.root.joinpath(*parts)
        try:
            target = found.resolve()
        except (OSError, RuntimeError) as error:
            raise RefusedError(400, f"{path!r} cannot be followed: {error}") from error
        if not target.is_relative_to(self.root):
            raise RefusedError(400, f"{path!r} leads out of the workspace; copy the file into it")
        return found

    def file(self, path: str) -> Path:
        """The absolute path of a file that is there."""
        found = self.inside(path)
        try:
            there = found.is_file()
        except OSError:  # a name longer than the file system knows
            there = False
        if not there:
            raise RefusedError(404, f"there is no file {path!r} in the workspace")
        return found

    def entry(self, path: Path) -> FileEntry:
        """What is told of a file or folder."""
        relative = path.relative_to(self.root).as_posix()
        folder = path.is_dir()
        stat = path.stat()
        return FileEntry(
            path=relative,
            name=path.name,
            kind="folder" if folder else "file",
            media="" if folder else media_of(path),
            size=0 if folder else stat.st_size,
            modified=stat.st_mtime,
            url="" if folder else self.url(relative),
        )

    def url(self, path: str) -> str:
        """The address of a file, relative to the page."""
        return f"files/{quote(path)}"

    def listing(self, folder: str) -> list[FileEntry]:
        """What a folder holds, folders first; hidden files and links out of the workspace are left out."""
        found = self.inside(folder)
        if not found.is_dir():
            raise RefusedError(404, f"there is no folder {folder!r} in the workspace")
        entries = []
        for child in found.iterdir():
            if not child.name.startswith(".") and child.exists() and child.resolve().is_relative_to(self.root):
                entries.append(self.entry(child))
        return sorted(entries, key=lambda entry: (entry.kind == "file", entry.name.lower()))

    async def receive(self, name: str, chunks: AsyncIterator[bytes], limit: int) -> FileEntry:
        """Keep an upload as it comes in (see `keep`). Raises RefusedError where it is larger than `limit` bytes."""
        size = 0
        with tempfile.NamedTemporaryFile(dir=self.own) as file:
            async for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    raise RefusedError(413, f"{name!r} is larger than {limit >> 20} MiB; copy it into the workspace")
                file.write(chunk)
            file.flush()
            return await asyncio.to_thread(self.keep, Path(file.name), name)

    def keep(self, path: Path, name: str) -> FileEntry:
        """Copy a file into the workspace's uploads, under a name with a part of its content's hash: the same file is kept once."""
        folder = self.root / UPLOADS
        folder.mkdir(exist_ok=True)
        with path.open("rb") as content:
            target = folder / _kept_name(name, hashlib.file_digest(content, "sha256").hexdigest()[:8])
        if not target.exists():
            with atomic_file(target) as temporary:
                shutil.copyfile(path, temporary)
        return self.entry(target)


def media_of(path: Path) -> str:
    """A file's media type by its name."""
    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def thumbnail(path: Path, width: int) -> bytes:
    """A picture made at most `width` wide, as WebP. Raises RefusedError where it is none."""
    try:
        with Image.open(path) as image:
            if image.width * image.height > THUMBNAIL_PIXELS:
                raise RefusedError(413, f"{path.name} is too large for a thumbnail")
            image.thumbnail((width, width * 4))
            out = io.BytesIO()
            image.convert("RGBA" if image.has_transparency_data else "RGB").save(out, "WEBP", quality=85)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise RefusedError(415, f"{path.name} is no picture that can be read: {error}") from error
    return out.getvalue()


def _kept_name(name: str, digest: str) -> str:
    """A name safe on every file system: what was given, its odd characters replaced, and the content's hash."""
    given = PurePosixPath(name.replace("\\", "/")).name
    stem, suffix = os.path.splitext(given)  # noqa: PTH122 (a name, not a path)
    stem = re.sub(r"[^\w\- ]+", "_", stem).strip(" _.")[:80] or "file"
    suffix = re.sub(r"[^\w.]+", "", suffix)[:16]
    return f"{stem}-{digest}{suffix}"
