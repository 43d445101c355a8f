"""The packages that bring nodes, as data: what the canvas' panel and `python -m graph_runner plugins` list."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path

from typing_extensions import TypedDict  # pydantic reads those of `typing` from Python 3.12 on

from graph_runner.contract.registry import Registry, packages


class Plugin(TypedDict):
    """A package that brings nodes.

    module: what is imported. distribution, version: of what it was installed with, "" where it was named (`--nodes`) and not
    installed. folder: where its sources lie. nodes: their types. error: why it could not be loaded, else "". changed: whether
    a source was written since it was loaded.
    """

    module: str
    distribution: str
    version: str
    folder: str
    nodes: list[str]
    error: str
    changed: bool


def plugins(registry: Registry) -> list[Plugin]:
    """The packages that a registry was scanned of."""
    scanned = registry.scanned[0] if registry.scanned is not None else ()
    installed = {entry.value: entry for entry in packages()}
    return [_plugin(registry, name, installed.get(name)) for name in scanned]


def _plugin(registry: Registry, name: str, entry: EntryPoint | None) -> Plugin:
    found = entry.dist if entry is not None else None
    nodes = [spec.type for spec in registry.values() if _is_in(spec.function.__module__, name)]
    folder = _folder(name)
    return {
        "module": name,
        "distribution": found.name if found is not None else "",
        "version": found.version if found is not None else "",
        "folder": "" if folder is None else str(folder),
        "nodes": sorted(nodes),
        "error": registry.failed.get(name, ""),
        "changed": any(_written(path) > registry.loaded for path in _sources(name, folder)),
    }


def _is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _folder(name: str) -> Path | None:
    """The folder of a package, or of a module that is none; that of what it lies in, where only this can be found; else None."""
    with suppress(Exception):  # looking for what lies in a package imports that, and a stranger's may raise anything
        spec = find_spec(name)
        if spec is not None and spec.origin is not None:
            return Path(spec.origin).parent
    parent = name.rpartition(".")[0]
    return _folder(parent) if parent else None


def _sources(name: str, folder: Path | None) -> Iterator[Path]:
    """The sources that loading a package read or would have read: its own, and those of its top package that are loaded."""
    top = name.partition(".")[0]
    for module, loaded in list(sys.modules.items()):
        file = getattr(loaded, "__file__", None)
        if file is not None and _is_in(module, top):
            yield Path(file)
    if folder is not None:
        yield from folder.glob("*.py")


def _written(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0
