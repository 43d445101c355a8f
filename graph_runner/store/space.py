"""The room that a workspace takes, and room made by forgetting what was used longest ago.

Only what can be computed again is forgotten: values of the cache, and checkpoints of trainings. Runs and models stay. Of a
workspace at an address (`graph_runner.base.home`) that is what lies there; and the folder here, its copy, is kept small.
What killed writers left anywhere is swept whenever an engine is made for the workspace, and by `clean`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from graph_runner.base.disk import sentence
from graph_runner.base.files import ABANDONED_SECONDS, remove, sweep
from graph_runner.base.home import Kept, home_of
from graph_runner.base.telling import bytes_of
from graph_runner.store.checkpoints import LOCK

FORGETTABLE = ("cache", "checkpoints")
WRITTEN = (*FORGETTABLE, "models", "runs", "uploads", "workflows", "blueprints")
"""The folders of a workspace that are written to."""
OF_RUNS = (*FORGETTABLE, "runs")
"""Folders of a workspace that hold what runs keep, and nothing that a person put there."""
COPY_SIZE, DEFAULT_COPY_SIZE = "LATENT_LOOM_COPY_SIZE", "50GB"
"""In the environment: what cache, checkpoints and models of a copy may take."""
RECENT_SECONDS = 3600.0
"""What was used so recently may be in use: it is never forgotten."""


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


def tidy_home(workspace: Path) -> None:
    """The same at the workspace's address. Raises OSError."""
    for name in WRITTEN:
        home_of(workspace).sweep(workspace / name, ABANDONED_SECONDS)


def sizes(workspace: Path) -> dict[str, int]:
    """Bytes of each folder in a workspace, those of hidden ones and of single files under ""."""
    if (home := home_of(workspace)).address:
        return {kept.path.name: kept.size for kept in home.held(workspace)}
    found: dict[str, int] = {}
    for path in sorted(workspace.iterdir()) if workspace.is_dir() else ():
        name = path.name if path.is_dir() and not path.name.startswith(".") else ""
        found[name] = found.get(name, 0) + _measure(path).size
    return found


def forgettable(workspace: Path) -> list[Kept]:
    """What can be forgotten, the longest unused first."""
    home = home_of(workspace)
    there = [kept for name in FORGETTABLE for kept in home.held(workspace / name)]
    return sorted(there if home.address else _here(workspace, FORGETTABLE), key=lambda kept: kept.used)


def keep_copy_small(workspace: Path) -> None:
    """Forget in the copy of an address what was used longest ago and lies at home too, down to the size that the environment
    says. It comes again when it is needed. Raises ValueError where that is no size."""
    home = home_of(workspace)
    if not home.address:
        return
    try:
        budget = bytes_of(os.environ.get(COPY_SIZE, DEFAULT_COPY_SIZE))
    except ValueError as error:
        raise ValueError(f"{COPY_SIZE}: {error}") from error
    found = [
        kept
        for kept in _here(workspace, (*FORGETTABLE, "models"))
        if all(map(home.can_go, kept.path.glob("step-*") if kept.path.parent.name == "checkpoints" else [kept.path]))
    ]
    make_room(sorted(found, key=lambda kept: kept.used), budget, _forgotten)


def make_room(found: Iterable[Kept], budget: int, forget: Callable[[Path], bool] | None = None) -> list[Kept]:
    """Forget the longest unused until the rest takes at most `budget` bytes; returns what was forgotten.

    A training that goes on keeps its checkpoints, however long its steps are.
    """
    forget = forget or _forgotten_everywhere
    found = list(found)
    total, gone = sum(kept.size for kept in found), []
    for kept in found:
        if total <= budget or time.time() - kept.used < RECENT_SECONDS:
            break
        if forget(kept.path):
            total -= kept.size
            gone.append(kept)
    return gone


def _here(workspace: Path, names: Iterable[str]) -> list[Kept]:
    folders = [path for name in names for path in (workspace / name).glob("[!.]*") if path.is_dir()]
    return [_measure(path) for path in folders]


def _forgotten_everywhere(path: Path) -> bool:
    """Remove it here, if it is here, and at home; whether it is gone."""
    if path.exists() and not _forgotten(path):
        return False
    with suppress(OSError):
        home_of(path.parents[1]).forget(path)
        return True
    return False


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
