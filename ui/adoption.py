"""Runs that the command line did in the same workspace, read from their folders for the history."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, get_args

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from ui.schemas import LIVE, RunEvent, Status, printable

LARGEST_RECORD = 2**28
"""Bytes of a run's record: some millions of events."""
STATUSES = frozenset(get_args(Status)) - frozenset(LIVE)


class _Told(TypedDict):
    event: str
    time: NotRequired[float]


class _Metric(_Told):
    node: NotRequired[str]
    values: dict[str, float | None]
    turn: NotRequired[int]


class _Shown(_Told):
    node: NotRequired[str]
    path: str
    media: str
    preview: bool
    turn: NotRequired[int]


SHAPES: dict[str, TypeAdapter[Any]] = {"metric": TypeAdapter(_Metric), "shown": TypeAdapter(_Shown)}
"""What the server reads of an event; of the others it reads no more than of all."""
ANY: TypeAdapter[Any] = TypeAdapter(_Told)


@dataclass(frozen=True)
class FinishedRun:
    """A run's folder (relative to the workspace) and what it tells."""

    folder: str
    title: str
    text: str
    seed: int
    device: str
    events: list[RunEvent]
    profile: bool


def finished_elsewhere(workspace: Path, known: set[str]) -> Iterator[FinishedRun]:
    """The finished runs below `workspace/runs` whose folders are not known, oldest first.

    A folder that does not hold what a run leaves (it was killed, or is somebody else's) is passed over.
    """
    for folder in sorted((workspace / "runs").glob("[!.]*")):
        name = f"runs/{folder.name}"
        if name in known or printable(name) != name:
            continue
        try:
            record = folder / "events.jsonl"
            events = [event for line in _text(record).splitlines() if (event := _event(line)) is not None]
            text = _text(folder / "workflow.json")
            workflow, environment = json.loads(text), json.loads(_text(folder / "environment.json"))
            text.encode()
        except (OSError, ValueError, RecursionError):
            continue
        if not events or events[-1]["event"] != "ended" or events[-1].get("status") not in STATUSES:
            continue
        if isinstance(workflow, dict) and isinstance(environment, dict):
            title, seed = printable(workflow.get("title") or "untitled"), environment.get("seed", 0)
            seed = seed if isinstance(seed, int) and 0 <= seed < 2**64 else 0
            yield FinishedRun(
                name,
                title,
                text,
                seed,
                printable(environment.get("device", "")),
                events,
                (folder / "profile.json").is_file(),
            )


def _text(path: Path) -> str:
    """A file's text. Raises OSError where it is no file (a pipe would never end), ValueError where it is too much or no text."""
    if not path.is_file():
        raise FileNotFoundError(path)
    if path.stat().st_size > LARGEST_RECORD:
        raise ValueError(f"{path} is larger than any record that is read")
    return path.read_text()


def _event(line: str) -> RunEvent | None:
    """An event of a run's record, None where it is not of the shape that the server reads."""
    # Python writes numbers that are not finite as NaN and Infinity; the page reads JSON.
    event = json.loads(line, parse_constant=lambda _: None)
    return event if fits(event) and "time" in event else None


def fits(event: Any) -> bool:
    """Whether something is an event of the shape that the server reads."""
    kind = event.get("event") if isinstance(event, dict) else None
    try:
        SHAPES.get(kind if isinstance(kind, str) else "", ANY).validate_python(event)
    except ValidationError:
        return False
    return True
