"""The room that a workspace takes, and room made by forgetting what was used longest ago.

Only what can be computed again is forgotten: values of the cache, and checkpoints of trainings. Runs and models stay.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from graph_runner.store import remove_tree

FORGETTABLE = ("cache", "checkpoints")
RECENT_SECONDS = 3600.0
"""What was used so recently may be in use: it is never forgotten."""


@dataclass(frozen=True)
class Kept:
    """One value of the cache, or the checkpoints of one training: bytes, and when it was last used (seconds since 1970)."""

    path: Path
    size: int
    used: float


def sizes(workspace: Path) -> dict[str, int]:
    """Bytes of each folder in a workspace, those of hidden ones and of single files under ""."""
    found: dict[str, int] = {}
    for path in sorted(workspace.iterdir()) if workspace.is_dir() else ():
        name = path.name if path.is_dir() and not path.name.startswith(".") else ""
        found[name] = found.get(name, 0) + _measure(path).size
    return found


def forgettable(workspace: Path) -> list[Kept]:
    """What can be forgotten, the longest unused first."""
    folders = [path for name in FORGETTABLE for path in (workspace / name).glob("*") if path.is_dir()]
    return sorted(map(_measure, folders), key=lambda kept: kept.used)


def make_room(found: Iterable[Kept], budget: int) -> list[Kept]:
    """Forget the longest unused until the rest takes at most `budget` bytes; returns what was forgotten."""
    found = list(found)
    total, gone = sum(kept.size for kept in found), []
    for kept in found:
        if total <= budget or time.time() - kept.used < RECENT_SECONDS:
            break
        remove_tree(kept.path)
        total -= kept.size
        gone.append(kept)
    return gone


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
