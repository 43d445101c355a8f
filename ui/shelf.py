"""What people do with the user's workflow files besides saving: another name or folder, a copy, deleting with a way back."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from graph_runner.base.files import remove, write_atomically
from graph_runner.base.names import folded, refuse_twin
from ui.library import LARGEST, OWN, PICTURES, Library
from ui.refusal import RefusedError
from ui.schemas import Discarded, WorkflowPath, printable

DISCARDED = "discarded"
"""The folder of the server's own in which deleted workflows wait, each in a folder called after when it was deleted."""
KEPT = 100
"""So many deleted workflows can be had back, the newest."""


class Shelf:
    """The user's workflow files of one library. A picture beside a workflow goes where its file goes, if its place there is free."""

    def __init__(self, library: Library) -> None:
        self.library, self.root = library, library.workspace.root
        self._bin = library.workspace.own / DISCARDED

    def move(self, path: str, to: str) -> WorkflowPath:
        """Give a workflow another name or folder. Raises RefusedError (409) where there is one of that name."""
        with self.library.writing:
            source, target = self._there(path), self._free(to, unless=path)
            self._carry(source, target)
            self._tidy(source.parent)
        return WorkflowPath(path=to)

    def duplicate(self, path: str, to: str) -> WorkflowPath:
        """Write a copy of a workflow, an example's too, under a new name. Raises RefusedError (409) where that is taken."""
        source = self.library.file(path)
        if source.stat().st_size > LARGEST:
            raise RefusedError(413, f"{path} is larger than {LARGEST >> 20} MiB, and no workflow is")
        with self.library.writing:
            target = self._free(to)
            for file, copy in _with_pictures(source, target):
                with _told(to):
                    write_atomically(copy, file.read_bytes())
                self.library.workspace.home.keep(copy)
        return WorkflowPath(path=to)

    def discard(self, path: str) -> None:
        """Delete a workflow; it can be had back until so many others were deleted."""
        with self.library.writing:
            source = self._there(path)
            self._carry(source, self._bin / f"{time.time_ns():020d}" / path)
            self._tidy(source.parent)
            for old in self._folders()[KEPT:]:
                with suppress(OSError):  # gone already, or not to be removed: then it stays
                    remove(old)

    def discarded(self) -> list[Discarded]:
        """The deleted workflows that can be had back, the last first; of each path the newest."""
        found: dict[str, Discarded] = {}
        for folder in self._folders():
            for path in self._held(folder):
                found.setdefault(path, Discarded(path=printable(path), time=int(folder.name) / 1e9))
        return list(found.values())

    def restore(self, path: str) -> WorkflowPath:
        """Put a deleted workflow back where it was. Raises RefusedError (409) where there is another one now."""
        with self.library.writing:
            target = self._free(path)
            for folder in self._folders():
                if path in self._held(folder):
                    self._carry(folder / path, target)
                    with suppress(OSError):
                        remove(folder)
                    return WorkflowPath(path=path)
        raise RefusedError(404, f"there is no deleted workflow {path[:200]!r} any more")

    def _there(self, path: str) -> Path:
        found = self.library.own(path)
        if not found.is_file():
            raise RefusedError(404, f"there is no workflow {path[:200]!r}")
        return found

    def _free(self, path: str, unless: str = "") -> Path:
        """Where a workflow of this path would be, if nothing is. unless: a path that differs from it in capitals alone."""
        target = self.library.own(path)
        if folded(path) != folded(unless):
            try:
                refuse_twin(self.root, path)
            except ValueError as error:
                raise RefusedError(400, str(error)) from error
        if os.path.lexists(target) and not (unless and path != unless and folded(path) == folded(unless)):
            raise RefusedError(409, f"{path} exists already; choose another name")
        return target

    def _carry(self, source: Path, target: Path) -> None:
        """Rename a workflow file, and the pictures beside it. Those that are deleted wait on this machine."""
        with _told(target.name):
            target.parent.mkdir(parents=True, exist_ok=True)
        own = self.root / OWN
        for file, moved in _with_pictures(source, target):
            file.rename(moved)
            if moved.is_relative_to(own):
                self.library.workspace.home.keep(moved)
            if file.is_relative_to(own):
                self.library.workspace.home.forget(file)

    def _tidy(self, folder: Path) -> None:
        """Remove folders that nothing is in any more, up to that of the workflows."""
        own = self.root / OWN
        with suppress(OSError):  # something is in it
            while folder != own and folder.is_relative_to(own):
                folder.rmdir()
                folder = folder.parent

    def _folders(self) -> list[Path]:
        """What was deleted, the last first."""
        if not self._bin.is_dir():
            return []
        return sorted((each for each in self._bin.iterdir() if re.fullmatch(r"\d{20}", each.name)), reverse=True)

    @staticmethod
    def _held(folder: Path) -> Iterator[str]:
        """The paths of the workflows in a folder of what was deleted."""
        for path in folder.rglob("*.json"):
            if path.is_file():
                yield path.relative_to(folder).as_posix()


def _with_pictures(source: Path, target: Path) -> Iterator[tuple[Path, Path]]:
    """A workflow's file and the pictures beside it, each with its place beside another; none whose place a picture has already."""
    yield source, target
    for suffix in PICTURES:
        picture, place = source.with_suffix(suffix), target.with_suffix(suffix)
        if picture.is_file() and not os.path.lexists(place):
            yield picture, place


@contextmanager
def _told(path: str) -> Iterator[None]:
    """Say in a sentence that a file is where a folder is wanted."""
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        raise RefusedError(400, f"a part of {path} is a file, and no folder; choose another name") from error
