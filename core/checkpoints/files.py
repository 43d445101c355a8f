"""Folders of models that replace one another whole, and the error of a model file that cannot be read."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from core import files
from core.files import atomic_file

__all__ = ["CheckpointError", "atomic_file", "atomic_folder", "extended_folder"]


class CheckpointError(ValueError):
    """A model file that cannot be read: the message names the file and what to do about it."""


@contextmanager
def atomic_folder(path: str | Path, names: Collection[str] = ()) -> Iterator[Path]:
    """A temporary folder beside `path` to fill; it takes `path`'s place when the block ends without an error.

    names: what such a folder may hold besides what is now written to it. Raises FileExistsError where `path` holds
    anything else, which replacing would delete.
    """
    with files.atomic_folder(path) as temporary:
        yield temporary
        _refuse_to_delete(Path(path), {*names, *(entry.name for entry in temporary.iterdir())})


@contextmanager
def extended_folder(path: str | Path) -> Iterator[Path]:
    """As `atomic_folder`, but what `path` holds and is not written anew stays as it is."""
    with atomic_folder(path) as temporary:
        yield temporary
        if (old := Path(path)).is_dir():
            for kept in old.iterdir():
                if not (temporary / kept.name).exists() and not kept.name.startswith(files.TEMPORARY):
                    files.take_along(kept, temporary / kept.name)


def _refuse_to_delete(target: Path, names: Collection[str]) -> None:
    if target.is_file():
        raise FileExistsError(f"{target} is a file, which saving a folder there would delete; choose another name.")
    foreign = [entry.name for entry in target.iterdir()] if target.is_dir() else []
    foreign = sorted(name for name in foreign if name not in names and not name.startswith(files.TEMPORARY))
    if foreign:
        raise FileExistsError(f"{target} holds {foreign[0]}, which saving there would delete; choose another folder.")
