"""Where a path field may look: folders of the machine on which the server runs, as far as workflows may read there."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ui.refusal import RefusedError
from ui.schemas import FileEntry, Folder, FolderPlace, printable
from ui.workspace import LONGEST_PATH, Workspace, media_of

MOST = 5000
"""Entries of one folder that are told."""


class Places:
    """Folders of the workspace, those that its owner lends, and where nobody else reaches the server all others."""

    def __init__(self, workspace: Workspace, lent: Sequence[Path], confined: bool) -> None:
        self.workspace, self.lent, self.confined = workspace, tuple(lent), confined

    def look(self, folder: str) -> Folder:
        """What a folder holds: one of the workspace by its path within it, any other by its absolute path."""
        inside = not folder.startswith(("/", "~")) and not Path(folder).is_absolute()
        return self._told(folder, self.workspace.listing(folder)) if inside else self._elsewhere(folder)

    def _elsewhere(self, folder: str) -> Folder:
        if "\0" in folder or len(folder.encode(errors="replace")) > LONGEST_PATH:
            raise RefusedError(400, "this is no path of a folder; give an absolute one")
        try:
            found = Path(os.path.normpath(Path(folder).expanduser()))
            real = found.resolve()
            there = found.is_dir()
        except (OSError, RuntimeError, ValueError) as error:
            raise RefusedError(400, f"{folder[:100]!r} leads nowhere: {error}") from error
        if real.is_relative_to(self.workspace.root):
            path = real.relative_to(self.workspace.root).as_posix()
            return self.look("" if path == "." else path)
        if not self.may(real):
            raise RefusedError(
                403,
                f"{folder[:100]!r} is outside of the workspace, and others can reach this server; its owner may lend it (--files FOLDER)",
            )
        if not there:
            raise RefusedError(404, f"there is no folder {folder[:100]!r} on {socket.gethostname()}")
        entries = []
        with os.scandir(found) as children:
            for child in children:
                if child.name.startswith(".") or child.name != printable(child.name):
                    continue
                with suppress(OSError):  # gone meanwhile, or closed to us
                    if not child.is_symlink() or self.may(Path(os.path.realpath(child.path))):
                        entries.append(_entry(found, child))
                if len(entries) >= MOST:
                    break
        return self._told(str(found), sorted(entries, key=lambda entry: (entry.kind == "file", entry.name.lower())))

    def may(self, path: Path) -> bool:
        """Whether workflows may read there."""
        return not self.confined or any(path.is_relative_to(root) for root in (self.workspace.root, *self.lent))

    def _told(self, folder: str, entries: list[FileEntry]) -> Folder:
        places = [FolderPlace(name="Workspace", path="")]
        places += [FolderPlace(name=root.name or str(root), path=str(root)) for root in self.lent]
        if not self.confined:
            places += [
                FolderPlace(name="Home", path=str(Path.home())),
                FolderPlace(name="Computer", path=Path.home().anchor),
            ]
        return Folder(
            path=folder, parent=self._parent(folder), host=socket.gethostname(), places=places, entries=entries
        )

    def _parent(self, folder: str) -> str | None:
        """The folder above; None where there is none that may be looked at."""
        path = Path(folder)
        if not path.is_absolute():
            above = path.parent.as_posix()
            return None if folder in ("", ".") else "" if above == "." else above
        return str(path.parent) if path.parent != path and self.may(path.parent.resolve()) else None


def _entry(folder: Path, child: os.DirEntry[str]) -> FileEntry:
    """What is told of a file outside of the workspace: it has no address, since the server gives none of them out."""
    holds, stat = child.is_dir(), child.stat()
    return FileEntry(
        path=str(folder / child.name),
        name=child.name,
        kind="folder" if holds else "file",
        media="" if holds else media_of(child.name),
        size=0 if holds else stat.st_size,
        modified=stat.st_mtime,
        url="",
    )
