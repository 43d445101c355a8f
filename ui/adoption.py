"""Runs that the command line did in the same workspace, read from their folders for the history."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ui.models import RunEvent

SETTLED_SECONDS = 5.0
"""A folder written to more recently may be a run of this server, of which the word is still on its way."""


@dataclass(frozen=True)
class FinishedRun:
    """A run's folder (relative to the workspace) and what it tells."""

    folder: str
    title: str
    text: str
    environment: dict[str, Any]
    events: list[RunEvent]


def finished_elsewhere(workspace: Path, known: set[str]) -> Iterator[FinishedRun]:
    """The finished runs below `workspace/runs` whose folders are not known, oldest first."""
    for folder in sorted((workspace / "runs").glob("[!.]*")):
        name = f"runs/{folder.name}"
        record = folder / "events.jsonl"
        if name in known or not record.is_file() or time.time() - record.stat().st_mtime < SETTLED_SECONDS:
            continue
        try:
            # Python writes numbers that are not finite as NaN and Infinity; the page reads JSON.
            events = [json.loads(line, parse_constant=lambda _: None) for line in record.read_text().splitlines()]
            text = (folder / "workflow.json").read_text()
            environment = json.loads((folder / "environment.json").read_text())
            title = json.loads(text).get("title") or "untitled"
        except (OSError, ValueError):
            continue  # killed while it wrote: nothing to be had
        if events and events[-1].get("event") == "ended":
            yield FinishedRun(name, title, text, environment, events)
