"""Files and folders that are whole or not there, whatever dies in the middle.

Each is written under a hidden name beside its place, synced, and renamed onto it; what is removed is renamed away first.
So a reader, and the next start after a crash, finds the old one or the new one and nothing between.

What killed writers left is swept by the next that writes beside it. A writer holds a lock on what it writes: the system lets
go of it when the process ends, and shows it to other containers that share the volume, where the number of a process says
nothing.

`core` and `graph_runner` import nothing of each other, and each has this module; a test holds the two equal.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

TEMPORARY = ".writing-"
"""How the names of unfinished files and folders begin."""
_OLD = "-old-"
ABANDONED_SECONDS = 86_400.0
"""Where a file system knows no locks, what was not touched for so long has no writer any more."""


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """A temporary path of the same suffix to write to; it takes `path`'s place when the block ends without an error.

    It lies in a folder of its own, which is what is locked: some libraries put another file in the place of the one that
    they are given.
    """
    path = _followed(path)
    with _temporary(path) as folder:
        temporary = folder / f"file{path.suffix}"
        temporary.touch()
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder to fill; it takes the place of `path`, and of all in it, when the block ends without an error."""
    path = _followed(path)
    with _temporary(path) as temporary:
        yield temporary
        for written in (*temporary.rglob("*"), temporary):
            _sync(written)
        _put(temporary, path)
        _sync(path.parent)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old one or the new one and nothing between."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)


def remove(path: Path) -> None:
    """Remove a file or folder: from the first moment on nobody finds a part of it under its name."""
    doomed = path.with_name(_name())
    path.rename(doomed)
    _sync(path.parent)
    _delete(doomed)


def sweep(folder: Path) -> None:
    """Remove what dead writers left in a folder; put back what they were about to replace. Never fails: it can wait."""
    with suppress(OSError), os.scandir(folder) as entries:
        for leftover in [folder / entry.name for entry in entries if entry.name.startswith(TEMPORARY)]:
            with _unowned(leftover) as free:
                old = leftover.name.partition(_OLD)[2]
                if free and old and not os.path.lexists(folder / old):
                    leftover.rename(folder / old)
                elif free:
                    _delete(leftover)


def take_along(source: Path, target: Path) -> None:
    """A file or folder, with all in it, under a second name; copied where the file system knows no such thing.

    What other writers in the folder are at, their locks and unfinished files, stays theirs.
    """
    if source.is_dir() and not source.is_symlink():
        theirs = shutil.ignore_patterns(f"{TEMPORARY}*", ".*.lock")
        shutil.copytree(source, target, symlinks=True, ignore=theirs, copy_function=_link)
    else:
        _link(source, target)


def _followed(path: str | Path) -> Path:
    """Where a link leads: what is there is replaced, and the link stays."""
    path = Path(path)
    return path.resolve() if path.is_symlink() else path


@contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """A new folder beside its target, locked as long as it is filled; gone afterwards, whatever happened."""
    try:
        _make_folder(target.parent)
        sweep(target.parent)
        temporary, lock = _reserve(target.parent)
        with ExitStack() as ending:
            ending.callback(os.close, lock)
            ending.callback(_delete, temporary)
            yield temporary
    except OSError as error:
        # What failed is, for people, what was to be written; a full disk comes without any name.
        if error.errno and (error.filename is None or TEMPORARY in str(error.filename)):
            raise OSError(error.errno, error.strerror, str(target)) from error
        raise


def _reserve(folder: Path) -> tuple[Path, int]:
    """A new temporary and the lock on it. One that is swept before it could be locked is made again."""
    while True:
        temporary = folder / _name()
        temporary.mkdir()
        with suppress(FileNotFoundError):
            lock = os.open(temporary, os.O_RDONLY)
            if _locked(lock) is not False and temporary.exists():
                return temporary, lock
            os.close(lock)


@contextmanager
def _unowned(path: Path) -> Iterator[bool]:
    """Whether no living writer has it; while inside, nobody else finds it so."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # gone meanwhile, or not ours to touch
        yield False
        return
    try:
        free = _locked(handle)
        yield time.time() - os.fstat(handle).st_mtime > ABANDONED_SECONDS if free is None else free
    finally:
        os.close(handle)


def _locked(handle: int) -> bool | None:
    """Lock an open file or folder, until it is closed: False where somebody has it, None where locks are unknown."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _put(new: Path, target: Path) -> None:
    """Give a folder its name. Of two that are there, the names are exchanged in one step where the system can."""
    while True:
        try:
            new.rename(target)
            return
        except OSError:
            if not os.path.lexists(target):
                raise
        if _exchanged(new, target):
            return
        # A crash between these two renames leaves nothing of the name: `sweep` puts the old one back.
        aside = target.with_name(f"{_name()}{_OLD}{target.name}")
        with suppress(FileNotFoundError), _unowned(target):
            target.rename(aside)
            new.rename(target)
            _delete(aside)
            return


def _exchanged(a: Path, b: Path) -> bool:
    """Exchange two names at once (Linux' renameat2 with RENAME_EXCHANGE); False where that cannot be done."""
    try:
        renameat2 = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(renameat2(here, os.fsencode(a), here, os.fsencode(b), exchange) == 0)


def _name() -> str:
    return TEMPORARY + uuid.uuid4().hex[:12]


def _make_folder(folder: Path) -> None:
    """Make a folder and those around it that are missing; each is on the disk before anything lies in it."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except (OSError, NotImplementedError):
        shutil.copy2(source, target, follow_symlinks=False)


def _sync(path: Path) -> None:
    if os.name != "posix" and path.is_dir():
        return  # folders cannot be opened elsewhere
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
