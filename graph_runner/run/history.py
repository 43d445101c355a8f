"""The history of a workspace, read from the folders that its runs left."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

RECORDS = ("workflow.json", "environment.json", "checkpoints.json", "profile.json", "events.jsonl")
"""The files of a run's folder that tell of it."""


@dataclass(frozen=True)
class Run:
    """What one run's folder tells.

    status: "done", "failed", "stopped", or "unfinished" (it still runs, or was killed). seconds: None while unfinished.
    shown: the files it showed, as the events said ("node", "path" relative to the workspace, "media", "preview").
    """

    folder: Path
    title: str
    began: datetime
    status: str
    seconds: float | None
    shown: tuple[dict[str, Any], ...]
    message: str = ""


def history(workspace: Path) -> list[Run]:
    """The runs of a workspace, newest first."""
    runs = [_read(folder) for folder in (workspace / "runs").glob("[!.]*") if folder.is_dir()]
    return sorted(runs, key=lambda run: (run.began, run.folder.name), reverse=True)


def _read(folder: Path) -> Run:
    began, shown = None, []
    status, seconds, message = "unfinished", None, ""
    for event in _events(folder / "events.jsonl"):
        began = began or datetime.fromtimestamp(event["time"])
        match event["event"]:
            case "shown":
                shown.append({name: event.get(name) for name in ("node", "path", "media", "preview", "turn")})
            case "failed":
                message = event["message"]
            case "ended":
                status, seconds = event["status"], event["seconds"]
    return Run(folder, _title(folder), began or _stamped(folder), status, seconds, tuple(shown), message)


_TOLD = re.compile(r'"event": "(shown|failed|ended|planned)"')


def _events(path: Path) -> list[dict[str, Any]]:
    """The few events that the history is made of; a line that a crash cut short is passed over."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if _TOLD.search(line):
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                continue
    return found


def _title(folder: Path) -> str:
    try:
        title = json.loads((folder / "workflow.json").read_text(encoding="utf-8")).get("title", "")
    except (OSError, ValueError, AttributeError):
        title = ""
    return str(title) or re.sub(r"^\d{8}-\d{6}-", "", folder.name)


def _stamped(folder: Path) -> datetime:
    """When a run began, by its folder's name or, failing that, its time on disk."""
    try:
        return datetime.strptime(folder.name[:15], "%Y%m%d-%H%M%S")
    except ValueError:
        return datetime.fromtimestamp(folder.stat().st_mtime)
