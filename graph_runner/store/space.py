"""The room that a workspace takes, and room made by forgetting what was used longest ago.

Only what can be computed again is forgotten: values of the cache, and checkpoints of trainings. Runs and models stay.
What killed writers left anywhere is swept whenever an engine is made for the workspace, and by `clean`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from graph_runner.base.disk import sentence
from graph_runner.base.files import remove, sweep
from graph_runner.store.checkpoints import LOCK

FORGETTABLE = ("cache", "checkpoints")
WRITTEN = (*FORGETTABLE, "models", "runs", "uploads", "workflows")
"""The folders of a workspace that are written to."""
RECENT_SECONDS = 3600.0
"""What was used so recently may be in use: it is never forgotten."""


@dataclass(frozen=True)
class Kept:
    """One value of the cache, or the checkpoints of one training: bytes, and when it was last used (seconds since 1970)."""

    path: Path
    size: int
    used: float


def prepare(workspace: Path) -> None:
    """Make a workspace ready: it is there, can be written to, and holds nothing unfinished of writers that are dead.

    Raises ValueError, in a sentence, where it cannot be used.
    """
    try:
        workspace.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if (found := next(path for path in (workspace, *workspace.parents) if os.path.lexists(path))).is_dir():
            raise ValueError(f"the workspace {workspace} cannot be made: {sentence(error)}") from error
        raise ValueError(f"{found} is a file and cannot be a workspace; name a folder with --workspace") from error
    if not os.access(workspace, os.W_OK | os.X_OK):
        raise ValueError(
            f"the workspace {workspace} cannot be written to; change its permission, or name another folder"
        )
    tidy(workspace)


def tidy(workspace: Path) -> None:
    """Sweep what killed writers left, wherever a workspace is written to."""
    for name in WRITTEN:
        for folder, inside, _ in os.walk(workspace / name):
            sweep(Path(folder))
            inside[:] = [each for each in inside if not each.startswith(".")]


def sizes(workspace: Path) -> dict[str, int]:
    """Bytes of each folder in a workspace, those of hidden ones and of single files under ""."""
    found: dict[str, int] = {}
    for path in sorted(workspace.iterdir()) if workspace.is_dir() else ():
        name = path.name if path.is_dir() and not path.name.startswith(".") else ""
        found[name] = found.get(name, 0) + _measure(path).size
    return found


def forgettable(workspace: Path) -> list[Kept]:
    """What can be forgotten, the longest unused first."""
    folders = [path for name in FORGETTABLE for path in (workspace / name).glob("[!.]*") if path.is_dir()]
    return sorted(map(_measure, folders), key=lambda kept: kept.used)


def make_room(found: Iterable[Kept], budget: int) -> list[Kept]:
    """Forget the longest unused until the rest takes at most `budget` bytes; returns what was forgotten.

    A training that goes on keeps its checkpoints, however long its steps are.
    """
    found = list(found)
    total, gone = sum(kept.size for kept in found), []
    for kept in found:
        if total <= budget or time.time() - kept.used < RECENT_SECONDS:
            break
        if _forgotten(kept.path):
            total -= kept.size
            gone.append(kept)
    return gone


def _forgotten(path: Path) -> bool:
    """Remove a value or a lineage that nobody works on; whether it is gone."""
    with suppress(Timeout, OSError):
        with FileLock(path / LOCK, blocking=False) if (path / LOCK).exists() else nullcontext():
            remove(path)
        return True
    return False


def _measure(path: Path) -> Kept:
    """A file or folder with all in it. What a run beside us removes meanwhile counts as nothing."""
    size, used = 0, 0.0
    for each in (path, *path.rglob("*")):
        try:
            status = each.lstat()
        except FileNotFoundError:
            continue
        used = max(used, status.st_mtime)
        size += 0 if each.is_dir() else status.st_size
    return Kept(path, size, used)
