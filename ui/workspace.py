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
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from PIL import Image

from graph_runner.base.files import TEMPORARY, atomic_file, sweep
from graph_runner.base.home import Kept, home_of
from ui.refusal import RefusedError
from ui.schemas import FileEntry, printable

UPLOADS = "uploads"
LONGEST_NAME, LONGEST_PATH = 255, 2048
"""Bytes of a name, and of a path within the workspace: what the file systems in use allow."""
THUMBNAIL_PIXELS = 2**26
"""The largest picture that is opened for a thumbnail: 256 MiB in memory."""
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""Of what a thumbnail is made. Pillow would open more, PostScript among them, which is a program."""
DRAWING = threading.Semaphore(2)
"""So many thumbnails are made at once: each may take all the memory that a picture may."""


class Workspace:
    """The folder of one server. Paths in requests are relative to it, with forward slashes."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().resolve()
        self.root.mkdir(parents=True, exist_ok=True)
        self.home = home_of(self.root)
        self.own, self.incoming = self.root / ".server", self.root / ".gradio"
        self.own.mkdir(exist_ok=True)
        sweep(self.own)  # uploads that a killed server was receiving

    def inside(self, path: str) -> Path:
        """The absolute path of a path within the workspace.

        Raises RefusedError where it leaves the workspace (also through a link) or is hidden.
        """
        parts = PurePosixPath(path).parts
        if "\\" in path or "\0" in path or path.startswith("/") or re.match(r"[A-Za-z]:", path) or ".." in parts:
            raise RefusedError(400, f"{path!r} is no path below the workspace; give one relative to it, without '..'")
        size = len(path.encode(errors="replace"))
        if size > LONGEST_PATH or any(len(part.encode(errors="replace")) > LONGEST_NAME for part in parts):
            raise RefusedError(400, f"{path[:40]!r}… is longer than a file's name can be; give a shorter one")
        if path != path.encode(errors="replace").decode():
            raise RefusedError(400, f"{path!r} holds half a character (a lone surrogate); type that name again")
        if any(part.startswith(".") for part in parts):
            raise RefusedError(400, f"{path!r} is hidden; the server keeps such files to itself")
        found = self.root.joinpath(*parts)
        if not self.holds(found):
            raise RefusedError(400, f"{path!r} leads out of the workspace; copy the file into it")
        return found

    def holds(self, path: Path) -> bool:
        """Whether a path, all links followed, is within the workspace. A link to itself leads nowhere, and not out."""
        return Path(os.path.realpath(path)).is_relative_to(self.root)

    def file(self, path: str) -> Path:
        """The absolute path of a file that is there."""
        found = self.inside(path)
        if self.home.address and not found.exists():
            self.home.bring(found)
        if not found.is_file():  # nor a pipe or a device, which would not end
            raise RefusedError(404, f"there is no file {path!r} in the workspace")
        if not os.access(found, os.R_OK):
            raise RefusedError(403, f"the server may not read {path!r}; change its permissions")
        return found

    def served(self, path: Path) -> Path:
        """A file by its absolute path, as Gradio names it: one of the workspace, or one that came through Gradio's upload."""
        if "\0" in str(path):
            raise RefusedError(400, "a path holds no zero byte")
        inside = Path(os.path.normpath(path))
        if inside.is_relative_to(self.incoming) and inside.resolve().is_relative_to(self.incoming) and inside.is_file():
            return inside
        if not inside.is_relative_to(self.root):
            raise RefusedError(403, "only files of the workspace are served")
        return self.file(inside.relative_to(self.root).as_posix())

    def entry(self, path: Path) -> FileEntry:
        """What is told of a file or folder."""
        relative, stat, folder = path.relative_to(self.root).as_posix(), path.stat(), path.is_dir()
        return FileEntry(
            path=relative,
            name=path.name,
            kind="folder" if folder else "file",
            media="" if folder else media_of(path.name),
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
        there: dict[str, Kept | None] = {}
        with suppress(OSError):  # what is here can be worked with meanwhile
            there = self.home.listing(found)
        if there and not found.exists():
            found.mkdir(parents=True)
        if not found.is_dir():
            raise RefusedError(404, f"there is no folder {folder!r} in the workspace")
        base = found.relative_to(self.root).as_posix()
        entries = []
        with os.scandir(found) as children:
            for child in children:
                with suppress(FileNotFoundError):  # gone meanwhile
                    if self._shown(child):
                        entries.append(self._listed(child, f"{base}/" if base != "." else ""))
        for name in there.keys() - {entry.name for entry in entries}:
            entries.append(self._at_home(name, there[name], f"{base}/" if base != "." else ""))
        return sorted(entries, key=lambda entry: (entry.kind == "file", entry.name.lower()))

    def _shown(self, child: os.DirEntry[str]) -> bool:
        """Whether a listing holds it."""
        if child.name.startswith("."):
            return False
        if not child.is_symlink():
            return True
        return Path(child.path).exists() and self.holds(Path(child.path))

    def _listed(self, child: os.DirEntry[str], base: str) -> FileEntry:
        name = printable(child.name)  # one that is no UTF-8 has no address
        folder, stat = child.is_dir(), child.stat()
        return FileEntry(
            path=base + name,
            name=name,
            kind="folder" if folder else "file",
            media="" if folder else media_of(child.name),
            size=0 if folder else stat.st_size,
            modified=stat.st_mtime,
            url="" if folder or name != child.name else self.url(base + name),
        )

    def _at_home(self, name: str, kept: Kept | None, base: str) -> FileEntry:
        """What is told of a file or folder that is not here yet: it comes when it is read."""
        return FileEntry(
            path=base + name,
            name=name,
            kind="folder" if kept is None else "file",
            media="" if kept is None else media_of(name),
            size=0 if kept is None else kept.size,
            modified=0.0 if kept is None else kept.used,
            url="" if kept is None else self.url(base + name),
        )

    @asynccontextmanager
    async def received(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[Path]:
        """A file of what comes in, written as it comes, and gone afterwards. The guard ends what is too large."""
        with self.temporary() as path, path.open("wb") as file:
            async for chunk in chunks:
                await asyncio.to_thread(file.write, chunk)
            await asyncio.to_thread(file.flush)
            yield path

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """A file of the server's own to write to, gone afterwards; what a killed server left, its next start sweeps."""
        with tempfile.NamedTemporaryFile(dir=self.own, prefix=TEMPORARY) as file:
            yield Path(file.name)

    def keep(self, path: Path, name: str) -> FileEntry:
        """Copy a file into the workspace's uploads, under a name with a part of its content's hash: the same file is kept once."""
        folder = self.root / UPLOADS
        folder.mkdir(exist_ok=True)
        with path.open("rb") as content:
            target = folder / _kept_name(name, hashlib.file_digest(content, "sha256").hexdigest()[:8])
        if not target.exists():
            with atomic_file(target) as temporary:
                shutil.copyfile(path, temporary)
            self.home.keep(target)
        return self.entry(target)


def media_of(name: str) -> str:
    """A file's media type by its name."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def thumbnail(path: Path, width: int) -> bytes:
    """A picture made at most `width` wide, as WebP. Raises RefusedError where it is none."""
    try:
        with DRAWING, Image.open(path, formats=FORMATS) as image:
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
    stem = safe_part(stem, 150) or "file"
    suffix = re.sub(r"[^\w.]+", "", _cut(suffix, 40))
    return f"{stem}-{digest}{suffix}"


def safe_part(name: str, size: int) -> str:
    """A name of at most so many bytes, without a suffix, that every file system takes; "" where nothing is left of it."""
    return re.sub(r"[^\w\- ]+", "_", _cut(name, size)).strip(" _.")


def _cut(text: str, size: int) -> str:
    """A text of at most so many bytes, and no half characters."""
    return text.encode(errors="replace")[:size].decode(errors="ignore")
