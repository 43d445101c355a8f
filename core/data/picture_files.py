"""What of a folder is its pictures and captions, and what is known of each: whether it can be read, and a hash of its content.

Files are read once, and again only where they changed, if there is a place to keep what was found.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, field
from pathlib import Path

from core.data.captions import TABLES, TEXTS, is_caption, read_table
from core.files import atomic_file
from core.images import ImageError, open_image

EXTENSIONS = (".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
UNREAD = (
    *(".arw", ".cr2", ".cr3", ".dng", ".exr", ".hdr", ".heic", ".heif", ".ico", ".jp2", ".jxl", ".nef", ".psd", ".raw"),
    *(".svg", ".tga"),
)
"""Pictures too, that are not read: people are told how many there are."""

YOUNG_SECONDS = 2.0
"""What changed so recently is looked at again next time: a further change might not show in its times."""


@dataclass(frozen=True)
class Record:
    """What is known of a file while its state (device, inode, size, times of change) stays the same."""

    state: list[int]
    digest: str
    problem: str | None = None
    young: bool = False  # it may have changed again since, in the same instant


@dataclass
class Listing:
    """The files of a folder that count, by relative name with forward slashes, in order; and what was passed over."""

    files: dict[str, Path] = field(default_factory=dict)
    unread: Counter[str] = field(default_factory=Counter)  # pictures of types that are not read, by suffix
    closed: list[str] = field(default_factory=list)  # folders that could not be opened


def is_table(name: str) -> bool:
    """Whether a file of this name is a table of captions."""
    return name.rpartition("/")[2].lower() in TABLES


def text_of(name: str, files: Container[str]) -> str | None:
    """The text file beside a picture, if it is among `files`: .txt before .caption."""
    stem = name.rpartition(".")[0]
    return next((stem + suffix for suffix in TEXTS if stem + suffix in files), None)


def image_files(folder: str | Path) -> dict[str, Path]:
    """The pictures of a folder, and their captions: what `ImageFolder` reads of it.

    By relative name; files of the folder itself, whose class is its name, by that name too.
    """
    root = Path(folder)
    files = {name: file for name, file in listed(root).files.items() if file.exists()}
    return {name if "/" in name else f"../{root.resolve().name}/{name}": file for name, file in files.items()}


def listed(root: Path) -> Listing:
    """All pictures below a folder and their captions. Hidden ones do not count; links are followed, but to no folder twice."""
    found, names, seen = Listing(), list[str](), set[Path]()
    closed = lambda error: found.closed.append(Path(error.filename).relative_to(root).as_posix())  # noqa: E731
    for folder, subfolders, files in os.walk(root, followlinks=True, onerror=closed):
        here = Path(folder)
        if here.resolve() in seen:
            subfolders.clear()
            continue
        seen.add(here.resolve())
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in files:
            lower = name.lower()
            if name.startswith("."):
                continue
            if lower.endswith(UNREAD):
                found.unread[Path(lower).suffix] += 1
            if lower.endswith(EXTENSIONS) or is_caption(name):
                names.append((here / name).relative_to(root).as_posix())
    captions = {name for name in names if is_caption(name)}
    used = {text_of(name, captions) for name in names if name not in captions}
    wanted = [name for name in names if name not in captions or is_table(name) or name in used]
    found.files = {name: root / name for name in sorted(wanted)}
    return found


def records_of(
    files: dict[str, Path], resolution: int, index: Path | None, progress: Callable[[int, int], None] | None
) -> dict[str, Record]:
    """What is known of each file; those that changed since the index was written are read, and the index is written anew."""
    known = _load_index(index)
    records: dict[str, Record] = {}
    unread = []
    for name, file in files.items():
        record = known.get(name)
        if record is not None and record.state == _state(file):
            records[name] = record
        else:
            unread.append(name)
    with ThreadPoolExecutor() as pool:  # decoding and hashing both release the interpreter's lock
        fresh: Iterable[Record] = pool.map(lambda name: _inspect(files[name], resolution), unread)
        for done, (name, record) in enumerate(zip(unread, fresh, strict=True), start=1):
            records[name] = record
            if progress is not None:
                progress(done, len(unread))
    if index is not None and (unread or known.keys() != records.keys()):
        kept = {name: astuple(record) for name, record in records.items() if not record.young}
        with atomic_file(index) as temporary:
            temporary.write_text(json.dumps(kept))
    return {name: records[name] for name in files}


def _inspect(file: Path, resolution: int) -> Record:
    """Hash the file; decode it if it is a picture, read it if it is a table."""
    young = time.time_ns() - (state := _state(file))[-1] < YOUNG_SECONDS * 1e9
    if not file.is_file():
        return Record(state, "", "no file" if file.exists() else "a link that leads nowhere", young)
    try:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        return Record(state, "", (error.strerror or str(error)).lower(), young)
    problem = None
    try:
        if is_table(file.name):
            read_table(file)
        elif not is_caption(file.name):
            open_image(file, at_least=resolution)
    except ImageError as error:
        problem = str(error.__cause__).replace(str(file), file.name)
    except ValueError as error:
        problem = str(error).replace(f"{file}, ", "")
    return Record(state, digest, problem, young)


def _state(file: Path) -> list[int]:
    """What changes when a file does; ctime, which nobody can set, last. Of a link that leads nowhere, its own."""
    status = file.stat() if file.exists() else file.lstat()
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _load_index(index: Path | None) -> dict[str, Record]:
    """What an earlier reading found; nothing where the index is missing or damaged, as it only saves time."""
    try:
        stored = json.loads(index.read_text()) if index is not None else {}
        return {str(name): Record(*record) for name, record in stored.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
