"""Files and folders that are either whole or not there: written beside their place, synced, then renamed onto it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path


class CheckpointError(ValueError):
    """A model file that cannot be read: the message names the file and what to do about it."""


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it takes `path`'s place when the block ends without an error."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        _sync(temporary)
        temporary.replace(target)
        _sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path, names: Collection[str] = ()) -> Iterator[Path]:
    """A temporary folder beside `path` to fill; it takes `path`'s place when the block ends without an error.

    A folder that is replaced is moved aside first, so for an instant neither is there, and never half of one.
    names: what such a folder may hold besides what is now written to it. Raises FileExistsError where `path` holds
    anything else, which replacing would delete.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    old = temporary.with_name(temporary.name + ".old")
    try:
        yield temporary
        _refuse_to_delete(target, {*names, *(entry.name for entry in temporary.iterdir())})
        temporary.chmod(0o777 & ~_umask())
        for file in temporary.rglob("*"):
            _sync(file)
        if target.exists():
            target.rename(old)
        temporary.rename(target)
        _sync(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _refuse_to_delete(target: Path, names: Collection[str]) -> None:
    if target.is_file():
        raise FileExistsError(f"{target} is a file, which saving a folder there would delete; choose another name.")
    if target.is_dir() and (foreign := sorted(entry.name for entry in target.iterdir() if entry.name not in names)):
        raise FileExistsError(f"{target} holds {foreign[0]}, which saving there would delete; choose another folder.")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync(path: Path) -> None:
    if os.name != "posix" and path.is_dir():
        return  # folders cannot be opened elsewhere
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
