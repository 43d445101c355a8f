"""What a run tells: one typed stream that progress bars, the canvas, the run's record and loggers all read.

An event carries only what changed.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from graph_runner.base.disk import sentence


@dataclass(frozen=True)
class Planned:
    """The run begins: these nodes will be computed, those are taken from the cache."""

    run: str
    nodes: list[str]
    cached: list[str]


@dataclass(frozen=True)
class Started:
    """A node begins."""

    node: str


@dataclass(frozen=True)
class Progress:
    """A node has done `done` of `total` steps; `path` are the steps that the loops around it are at."""

    node: str
    done: int
    total: int
    path: tuple[int, ...] = ()


@dataclass(frozen=True)
class Shown:
    """A node wrote a file, at `path` relative to the workspace."""

    node: str
    path: str
    media: str
    preview: bool
    turn: int | None = None


@dataclass(frozen=True)
class Metric:
    """Numbers of one step."""

    node: str
    values: dict[str, float]
    turn: int | None = None


@dataclass(frozen=True)
class Cached:
    """A node's value came from the cache."""

    node: str


@dataclass(frozen=True)
class Finished:
    """A node is done."""

    node: str
    seconds: float


@dataclass(frozen=True)
class Failed:
    """A node could not do its work: a sentence for people, the traceback for engineers."""

    node: str
    message: str
    traceback: str


@dataclass(frozen=True)
class Placed:
    """What lies where, told when it has changed: models by the node that gave each, and their bytes.

    here: on the device. waiting: on the host, until a node uses them. streamed: on the host, read layer by layer while they
    work. free: bytes left on the device; budget: what the run may take of it; None where nobody knows, or said. came, left:
    bytes that were moved to the device and from it so far.
    """

    device: str
    here: dict[str, int]
    waiting: dict[str, int]
    streamed: dict[str, int]
    free: int | None = None
    budget: int | None = None
    came: int = 0
    left: int = 0


@dataclass(frozen=True)
class Log:
    """A sentence worth telling."""

    message: str
    node: str = ""
    level: str = "info"


@dataclass(frozen=True)
class Ended:
    """The run is over: "done", "failed" or "stopped"."""

    status: str
    seconds: float


Event = Planned | Started | Progress | Shown | Metric | Cached | Finished | Failed | Placed | Log | Ended
Listener = Callable[[Event], None]


def to_json(event: Event) -> dict[str, Any]:
    """An event as a JSON object, its kind under "event"; fields that hold nothing are left out, numbers that JSON lacks null."""
    fields = {key: value for key, value in asdict(event).items() if value is not None and value != () and value != ""}
    if isinstance(event, Metric):
        fields["values"] = {name: value if math.isfinite(value) else None for name, value in event.values.items()}
    return {"event": type(event).__name__.lower(), **fields}


class Stream:
    """Hands each event to every listener, in order. One that raises ends no run: that is told once, and it hears no more."""

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self.listeners = list(listeners)

    def __call__(self, event: Event) -> None:
        """Tell everybody."""
        for listener in tuple(self.listeners):
            if listener not in self.listeners:  # another event, told meanwhile, was too much for it
                continue
            try:
                listener(event)
            except Exception as error:
                self.listeners.remove(listener)
                name = getattr(listener, "__qualname__", type(listener).__qualname__)
                self.dropped(name, error)

    def dropped(self, name: str, error: Exception) -> None:
        """Tell those who still listen that one of them does no more, and why."""
        why = sentence(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        self(Log(f"the listener {name} failed and hears no more of this run ({why})", level="warning"))


class Warnings(logging.Handler):
    """What libraries and nodes log as a warning (pictures left out as unreadable, say) becomes part of the stream."""

    def __init__(self, emit: Stream) -> None:
        super().__init__(logging.WARNING)
        self.stream = emit

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one record on."""
        self.stream(Log(record.getMessage(), level=record.levelname.lower()))

    def __enter__(self) -> Warnings:
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)


class Record:
    """A listener that writes the events of a run as lines of JSON."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO | None = None
        with self._told():
            self._file = path.open("a", encoding="utf-8")

    def __call__(self, event: Event) -> None:
        """Write an event down, to be read at once but for what comes by the thousand."""
        with self._told():
            if self._file is not None:
                self._file.write(json.dumps({"time": round(time.time(), 3), **to_json(event)}) + "\n")
                if not isinstance(event, Started | Finished | Cached):
                    self._file.flush()

    def close(self) -> None:
        """Write what is left."""
        with self._told():
            if self._file is not None:
                self._file.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Where the disk refuses, the run goes on without its record, and tells that once."""
        try:
            yield
        except OSError as error:
            file, self._file = self._file, None
            if file is not None:
                with suppress(OSError):  # it tries to write what is left
                    file.close()
            error.filename = str(self.path)
            logging.getLogger(__name__).warning("this run's events are no longer recorded: %s", sentence(error))
