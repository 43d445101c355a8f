"""What stands for a node's code in its key: its declared version where a lock vouches for it, else its source's hash.

A lock (`lock.json` beside a node package's `__init__.py`) records, for each node, its version and the hash of all source
it reaches within its own project. `check` finds nodes whose source changed without a raised version; `update` records
new versions, and, where the author says so, that the result is the same.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from graph_runner.base.files import write_atomically
from graph_runner.compile.live import UnseenError, live_hash
from graph_runner.compile.source import is_in_file, source_hash
from graph_runner.contract import NodeSpec

LOCK = "lock.json"


def version_of(spec: NodeSpec) -> str:
    """The part of a key that stands for the node's code; empty where that cannot be seen."""
    if _is_locked(spec):
        return f"v{spec.version}"
    if is_in_file(spec.function):
        return source_hash(spec.function)
    try:
        return live_hash(spec.function)
    except UnseenError:
        return ""


def _is_locked(spec: NodeSpec) -> bool:
    locked = _lock_of(spec.function.__module__)
    return any(name in locked for name in (spec.type, *spec.formerly))


def unseen(spec: NodeSpec) -> str:
    """What of a node's code nobody can see, so that nothing it gives can be kept; empty where all of it is seen."""
    if _is_locked(spec) or is_in_file(spec.function):
        return ""
    try:
        live_hash(spec.function)
    except UnseenError as error:
        return str(error)
    return ""


def check(specs: Iterable[NodeSpec]) -> list[str]:
    """What a locked package's lock does not vouch for, a sentence for each node."""
    complaints = []
    for spec in specs:
        path = lock_path(spec.function.__module__)
        if path is None or not path.exists():
            continue
        locked = _lock_of(spec.function.__module__).get(spec.type)
        if locked is None:
            complaints.append(f"{spec.type}: not in {path.name}; record it")
        elif locked["source"] != source_hash(spec.function) and locked["version"] == spec.version:
            complaints.append(
                f"{spec.type}: its source changed; raise its version, or record that the result is the same"
            )
        elif locked["version"] != spec.version:
            complaints.append(
                f"{spec.type}: version {spec.version} is not recorded (the lock says {locked['version']})"
            )
    return complaints


def update(specs: Iterable[NodeSpec], same_result: bool = False) -> list[str]:
    """Record nodes that are new or have a raised version; others that changed only where `same_result` says so.

    Returns what it refused to record.
    """
    by_path: dict[Path, dict[str, Any]] = {}
    refused = []
    for spec in specs:
        module = spec.function.__module__
        path = lock_path(module)
        if path is None or path.parents[1].name in ("site-packages", "dist-packages"):  # others' installed work
            continue
        record = {"version": spec.version, "source": source_hash(spec.function)}
        known = _lock_of(module).get(spec.type)
        if (
            known is not None
            and known["version"] == spec.version
            and known["source"] != record["source"]
            and not same_result
        ):
            refused.append(f"{spec.type}: its source changed and its version did not")
            record = known
        by_path.setdefault(path, {})[spec.type] = record
    for path, records in by_path.items():
        write_atomically(path, (json.dumps(records, indent=1, sort_keys=True) + "\n").encode())
    _read_lock.cache_clear()
    return refused


@cache
def lock_path(module: str) -> Path | None:
    """Where the lock of the package that a module belongs to lies."""
    file = getattr(sys.modules.get(module.partition(".")[0]), "__file__", None)
    return Path(file).parent / LOCK if file and Path(file).name == "__init__.py" else None


def _lock_of(module: str) -> dict[str, Any]:
    path = lock_path(module)
    return _read_lock(path) if path is not None else {}


@lru_cache
def _read_lock(path: Path) -> dict[str, Any]:
    records: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return records
