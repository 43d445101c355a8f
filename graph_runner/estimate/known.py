"""Estimates that were made before: a dry run of the same graph, files and options need not be done again.

They lie in the workspace's cache, by what they depend on. Of files that is their names, sizes and times: to read them would be
more work than the dry run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from graph_runner.base.contents import all_files
from graph_runner.base.files import write_atomically
from graph_runner.base.problems import Problem
from graph_runner.bind.graph import BoundNode, Scope
from graph_runner.compile.lock import version_of
from graph_runner.estimate.dry import Estimate, NodeEstimate

FOLDER = "cache/estimates"
FORM = 1
"""Raised when a dry run tells something else of the same graph."""
MOST = 500
"""Estimates that are kept, the newest."""


def key_of(top: Scope, options: Mapping[str, Any]) -> str | None:
    """What an estimate depends on, hashed; None where a file cannot be looked at, or is named only during the run.

    options: what the dry run was asked besides the graph.
    """
    nodes = list(top.walk())
    if any(bound.spec.wired_paths(bound.wires) for bound in nodes):
        return None
    try:
        content = [FORM, torch.__version__, sorted(options.items()), [_content(bound) for bound in nodes]]
    except (OSError, ValueError):
        return None
    return hashlib.sha256(json.dumps(content, default=repr).encode(errors="replace")).hexdigest()


def _content(bound: BoundNode) -> list[Any]:
    params = dict(bound.params)
    for name, param in bound.spec.params.items():
        if param.path_kind and params.get(name):
            path = Path(str(params[name]))
            files = param.reads(path) if param.reads is not None else all_files(path)
            params[name] = [str(path), [[inner, *_stamp(file)] for inner, file in files.items()]]
    results = bound.body.results if bound.body is not None else None
    zone = bound.scope.zone.id if bound.scope.zone is not None else ""
    return [bound.id, zone, bound.spec.first_name, version_of(bound.spec), params, bound.wires, results]


def _stamp(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def find(workspace: Path, key: str | None) -> Estimate | None:
    """The estimate of a key; None where there is none, or none that can be read."""
    if key is None:
        return None
    try:
        told = json.loads((workspace / FOLDER / f"{key}.json").read_bytes())
        told.pop("flops")  # the sum of what follows
        problems = [Problem(**problem) for problem in told.pop("problems")]
        return Estimate({id: NodeEstimate(**node) for id, node in told.pop("nodes").items()}, problems, **told)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def keep(workspace: Path, key: str | None, estimate: Estimate) -> None:
    """Keep an estimate, where the disk takes it."""
    if key is None:
        return
    folder = workspace / FOLDER
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / f"{key}.json", json.dumps(estimate.to_json()).encode())
        kept = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for old in kept[:-MOST]:
            old.unlink(missing_ok=True)
