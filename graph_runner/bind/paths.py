"""Where the paths in a workflow lead: one place for those that are typed in and those that come by wire."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from graph_runner.base.home import HomeError, home_of
from graph_runner.base.problems import Problem

if TYPE_CHECKING:
    from graph_runner.bind.graph import BoundNode, Scope

SHIPPED = (Path(__file__).parents[2] / "workflows").resolve()
"""The folder of the workflows that ship, and of the small models that they read; links followed, as those of all roots are."""
LONG = 300
"""Of a longer path, only so many characters are told."""


class PathError(ValueError):
    """A path that leads nowhere, or where nothing may be read: `message` says what is wrong, `remedy` what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message}; {remedy[0].lower()}{remedy[1:]}")
        self.message, self.remedy = message, remedy


class Paths:
    """Makes paths absolute: relative ones start at the workspace, `~` is the user's home. A model that the
    workspace lacks may be among those that ship, at the same path below `models`. A run may be called by its name alone.

    roots: the folders below which every path must lead, links followed; none for anywhere. A host that others reach (a
    server) names the workspace, and what its owner lends besides. Links below such a path are the owner's, and are followed.
    anew: look at the workspace's home (`graph_runner.base.home`) for what is here already, too.
    """

    def __init__(self, workspace: Path, roots: Iterable[Path] = (), anew: bool = False) -> None:
        self.workspace, self.roots, self.anew = workspace, tuple(root.resolve() for root in roots), anew
        self.home = home_of(workspace)

    def place_all(self, top: Scope) -> list[Problem]:
        """Make the paths of files that nodes read absolute, while a graph is bound; every one that cannot be read is a problem."""
        found = list(self._looked_up(top.walk()))
        for bound, name, placed in found:
            if isinstance(placed, str):
                bound.params[name] = placed
        return _unreadable(found)

    def wrong(self, nodes: Iterable[BoundNode]) -> list[Problem]:
        """The paths among these nodes' literals that cannot be read; the nodes stay as they are."""
        return _unreadable(self._looked_up(nodes))

    def _looked_up(self, nodes: Iterable[BoundNode]) -> Iterator[tuple[BoundNode, str, str | PathError]]:
        found: dict[tuple[str, str], str | PathError] = {}  # many nodes may name one file: it is looked for once
        for bound in nodes:
            for name, kind in bound.spec.path_kinds.items():
                if not (value := bound.params.get(name)):
                    continue
                if (value, kind) not in found:
                    found[value, kind] = self._placed(value, kind)
                yield bound, name, found[value, kind]

    def _placed(self, text: str, kind: str) -> str | PathError:
        try:
            return str(self.place(text, kind))
        except PathError as error:
            return error

    def place(self, text: str, kind: str) -> Path:
        """The absolute path of a file or folder (kind: "file", "folder", "file or folder") that is there.

        Raises PathError for one that is not, or that may not be read.
        """
        wanted = f"Give the path of a {kind}, absolute or relative to the workspace"
        path = self.workspace / expanded(text)
        told = str(path) if len(str(path)) <= LONG else f"{str(path)[:LONG]}…"
        try:
            if self.home.address and (self.anew or not path.exists()):
                self.home.bring(path)
            path = self._shipped(path) or self._run(path) or path
            target, there, folder = path.resolve(), path.exists(), path.is_dir()
        except HomeError as error:
            raise PathError(str(error), wanted) from error
        except UnicodeError as error:
            raise PathError(f"{text!r:.{LONG}} holds half a character", "Type it again") from error
        except (OSError, RuntimeError) as error:  # a name too long, a folder closed to us, links in a circle
            reason = (error.strerror if isinstance(error, OSError) else "") or "its links lead in a circle"
            raise PathError(f"{told} cannot be read ({reason.lower()})", wanted) from error
        if self.roots and not any(target.is_relative_to(root) for root in (*self.roots, SHIPPED)):
            message = f"{text:.{LONG}} is outside of the workspace, and others can reach this server"
            raise PathError(message, "Upload it, or have its folder lent by the server's owner (--files FOLDER)")
        if not there:
            raise self._windows(text) or PathError(f"there is no {kind} {told}", wanted)
        if folder and kind == "file":
            raise PathError(f"{told} is a folder, and a file is wanted", wanted)
        if not folder and kind == "folder":
            raise PathError(f"{told} is a file, and a folder is wanted", wanted)
        return path

    def _shipped(self, path: Path) -> Path | None:
        """Where a model that ships lies, of which the workspace has none of that name."""
        if path.exists() or ".." in path.parts or not path.is_relative_to(self.workspace / "models"):
            return None
        shipped = SHIPPED / path.relative_to(self.workspace)
        return shipped if shipped.is_file() else None

    def _run(self, path: Path) -> Path | None:
        """The folder of a run that is called by its name alone, where the workspace itself has nothing of that name."""
        run = self.workspace / "runs" / path.name
        return run if path.parent == self.workspace and not path.exists() and run.is_dir() else None

    def _windows(self, text: str) -> PathError | None:
        """What to say of a path that Windows would understand, and this system does not."""
        if os.name == "nt" or not _WINDOWS.match(text):
            return None
        message, here = f"{text:.{LONG}} is written as Windows writes paths", text.replace("\\", "/")
        if not _DRIVE.match(text) and (self.workspace / here).exists():
            return PathError(message, f"Write {here}")
        return PathError(message, "Copy it to this machine (on the canvas: upload it), and give its path here")


def _unreadable(found: Iterable[tuple[BoundNode, str, str | PathError]]) -> list[Problem]:
    return [
        Problem(placed.message, bound.id, name, placed.remedy)
        for bound, name, placed in found
        if isinstance(placed, PathError)
    ]


_DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_WINDOWS = re.compile(_DRIVE.pattern + r"|[^/\\]*\\[^/]*$")


def expanded(text: str | Path) -> Path:
    """A path with `~` and `~name` made homes. Raises PathError where it cannot be a path."""
    if "\0" in str(text):
        raise PathError(f"{str(text)!r:.{LONG}} is no path", "Leave out the character NUL")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise PathError(f"there is no home {Path(text).parts[0]:.{LONG}}", "Write the whole path") from error


def folder(text: str | Path) -> Path:
    """A folder, or a place where one can be made, absolute. Raises PathError where a file is in its way."""
    path = expanded(text).absolute()
    try:
        there = next(each for each in (path, *path.parents) if each.exists())
        taken = not there.is_dir()
    except OSError as error:  # a name too long, a folder closed to us
        raise PathError(
            f"{text!s:.{LONG}} can be no folder ({(error.strerror or '').lower()})", "Name another"
        ) from error
    if taken:
        raise PathError(f"{there} is a file, and a folder is wanted", "Name another")
    return path
