"""The server's memory: every run and every event, in one SQLite file of the workspace.

Written through at each change, so that nothing is lost when the server is killed. Events are read back by number, which
is how a subscriber can begin anywhere and a slow one costs no memory.
"""

from __future__ import annotations

import json
import logging
import math
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ui import migrations
from ui.adoption import FinishedRun, fits
from ui.schemas import LIVE, Output, Run, RunDetail, RunEvent, Series, Status, printable

log = logging.getLogger(__name__)

LARGEST_PAGE = 2**22
"""Characters of events that are handed out together, unless a single one is larger."""
DAMAGED: RunEvent = {"time": 0.0, "event": "log", "message": "this event was damaged on the disk", "level": "warning"}
SUMMARY = """SELECT run, title, targets, seed, device, status, created, started, ended, folder, error, node, profile, options, changes, picture, (SELECT coalesce(max(n), 0) FROM events WHERE events.run = runs.run) AS events,
 CASE status WHEN 'queued' THEN (SELECT count(*) FROM runs q WHERE q.status = 'queued' AND q.turn <= runs.turn) ELSE 0 END
 AS position FROM runs"""


def opened(path: Path) -> tuple[Ledger, str]:
    """The ledger of a file, and what people must be told of it ("" is nothing).

    A damaged one is set aside under another name, and a new one begins. Finished runs come back into the history from
    their folders. Raises ValueError where it cannot be used at all.
    """
    try:
        ledger = Ledger(path)
        ledger.check()
        return ledger, ""
    except sqlite3.DatabaseError as error:
        if any(word in str(error) for word in ("full", "disk I/O", "readonly", "unable to open", "locked")):
            raise ValueError(f"{path} cannot be used: {error}. Is the disk full, or the folder read-only?") from error
        aside = path.with_name(f"damaged-{time.strftime('%Y%m%d-%H%M%S')}-{path.name}")
        for suffix in ("", "-wal", "-shm"):  # a journal belongs to its own file, and to no new one
            with suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
        return Ledger(path), (
            f"The server's memory was damaged ({error}), and is kept as {aside.name}. Runs that were waiting have to be "
            "submitted again; finished ones are read from their folders."
        )


class Ledger:
    """Runs and their events. May be used from any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        self._db.text_factory = lambda text: text.decode(errors="replace")
        try:
            self._begin()
        except BaseException:
            self._db.close()
            raise

    def _begin(self) -> None:
        if migrations.version(self._db) > len(migrations.STEPS):  # before anything is changed in it
            raise ValueError(f"{self.path} was written by a newer Latent Loom; update, or use another --workspace")
        # WAL without a sync at each commit: a killed process loses nothing; a power cut may lose the last events.
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        migrations.migrate(self._db)
        self.newest(1, 0)  # a table of other columns is no table of ours

    def check(self) -> None:
        """Raise sqlite3.DatabaseError where the file is damaged. Reads all of it: a second for some GB."""
        found = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            self._db.close()
            raise sqlite3.DatabaseError(str(found).replace("\n", " "))

    @contextmanager
    def together(self) -> Iterator[None]:
        """All that is written inside of it, or nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # SQLite itself takes back what a full disk broke off
                self._db.execute("ROLLBACK")
            raise

    def add(
        self,
        title: str,
        text: str,
        targets: list[str],
        only: bool,
        seed: int,
        fresh: bool,
        wanted: str,
        check_numbers: bool = False,
        profile: bool = False,
        options: Mapping[str, Any] = {},
        changes: Sequence[str] = (),
    ) -> int:
        """A new run, at the end of the queue; returns its number."""
        row = {
            **{
                "title": title,
                "text": text,
                "targets": json.dumps(targets),
                "only_targets": only,
                "seed": _signed(seed),
            },
            **{"fresh": fresh, "wanted": wanted, "status": "queued", "created": time.time()},
            **{"check_numbers": check_numbers, "profile": profile},
            **{"options": json.dumps(options), "changes": json.dumps(list(changes))},
        }
        turn = "(SELECT 1 + coalesce(max(turn), 0) FROM runs)"
        cursor = self._db.execute(
            f"INSERT INTO runs (turn, {', '.join(row)}) VALUES ({turn}, {', '.join('?' * len(row))})",
            tuple(row.values()),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def adopt(self, found: FinishedRun) -> None:
        """Take in a run that another program did in this workspace (the command line), with its events.

        Over a connection of its own, which holds the other one up no longer than the writing takes.
        """
        failure = next((event for event in reversed(found.events) if event["event"] == "failed"), {})
        first, last = found.events[0], found.events[-1]
        shown = [
            event["path"] for event in found.events if event["event"] == "shown" and event["media"].startswith("image/")
        ]
        rows = [(n, event["event"], _json(event)) for n, event in enumerate(found.events, 1)]
        with closing(sqlite3.connect(self.path)) as own, own:
            cursor = own.execute(
                "INSERT INTO runs (title, text, targets, only_targets, seed, fresh, wanted, device, status, created,"
                " started, ended, folder, error, node, profile, picture) VALUES (?,?,'[]',0,?,0,'',?,?,?,?,?,?,?,?,?,?)",
                (
                    *(found.title, found.text, found.seed, found.device, last["status"], first["time"], first["time"]),
                    *(last["time"], found.folder, printable(failure.get("message", ""))),
                    *(printable(failure.get("node", "")), found.profile, printable(shown[-1] if shown else "")),
                ),
            )
            number = cursor.lastrowid
            own.executemany("INSERT INTO events VALUES (?,?,?,?)", [(number, *row) for row in rows])

    def update(self, run: int, **fields: Any) -> None:
        """Change columns of a run."""
        assignments = ", ".join(f"{name} = ?" for name in fields)
        self._db.execute(f"UPDATE runs SET {assignments} WHERE run = ?", (*fields.values(), run))

    def remove(self, run: int) -> None:
        """Forget a run and its events."""
        self._db.execute("DELETE FROM events WHERE run = ?", (run,))
        self._db.execute("DELETE FROM runs WHERE run = ?", (run,))

    def next_for(self, device: str) -> sqlite3.Row | None:
        """The row of the run that this device should do next."""
        row: sqlite3.Row | None = self._db.execute(
            "SELECT * FROM runs WHERE status = 'queued' AND wanted IN ('', ?) ORDER BY turn LIMIT 1", (device,)
        ).fetchone()
        return row

    def get(self, run: int) -> Run | None:
        """A run's summary."""
        rows = self._summaries("WHERE run = ?", (run,))
        return rows[0] if rows else None

    def detail(self, run: int, environment: dict[str, Any]) -> RunDetail | None:
        """A run with what it ran."""
        summary = self.get(run)
        if summary is None:
            return None
        row = self._db.execute("SELECT text, problems FROM runs WHERE run = ?", (run,)).fetchone()
        return RunDetail(
            **summary.model_dump(),
            text=row["text"],
            workflow=parsed(row["text"], {}),
            environment=environment,
            problems=parsed(row["problems"], []),
        )

    def move(self, run: int, position: int) -> None:
        """Put a queued run at this position, 1 being next; past the end is the end."""
        turns = dict(self._db.execute("SELECT run, turn FROM runs WHERE status = 'queued' ORDER BY turn").fetchall())
        order = [other for other in turns if other != run]
        order.insert(max(0, position - 1), run)
        with self.together():
            for other, turn in zip(order, turns.values(), strict=True):
                self.update(other, turn=turn)

    def before(self, title: str) -> sqlite3.Row | None:
        """The newest run of a title: text, seed, options."""
        row: sqlite3.Row | None = self._db.execute(
            "SELECT text, seed, options FROM runs WHERE title = ? ORDER BY run DESC LIMIT 1", (title,)
        ).fetchone()
        return row

    def waiting(self) -> int:
        """How many runs are queued."""
        return int(self._db.execute("SELECT count(*) FROM runs WHERE status = 'queued'").fetchone()[0])

    def with_status(self, *statuses: Status) -> list[Run]:
        """Runs in these states, in the order of the queue."""
        marks = ",".join("?" * len(statuses))
        return self._summaries(f"WHERE status IN ({marks}) ORDER BY turn", statuses)

    def newest(self, limit: int, before: int) -> list[Run]:
        """Runs, newest first; below the number `before` where it is not 0."""
        return self._summaries("WHERE ? = 0 OR run < ? ORDER BY run DESC LIMIT ?", (before, before, limit))

    def folders(self) -> set[str]:
        """The folders of all runs."""
        return {row[0] for row in self._db.execute("SELECT folder FROM runs WHERE folder != ''")}

    def may_be_own(self, found: FinishedRun) -> bool:
        """Whether a folder is, or may be, that of a run of this server: which one a run has its worker tells a while after it began."""
        own = "folder = ? OR (folder = '' AND status IN ('running', 'stopping') AND started <= ?)"
        known = self._db.execute(f"SELECT 1 FROM runs WHERE {own}", (found.folder, found.events[0]["time"]))
        return known.fetchone() is not None

    def _summaries(self, where: str, arguments: tuple[Any, ...]) -> list[Run]:
        fields = Run.model_fields.keys()
        rows = self._db.execute(f"{SUMMARY} {where}", arguments).fetchall()
        found = []
        for row in rows:
            told = {name: row[name] for name in fields}
            told |= {"targets": parsed(row["targets"], []), "seed": seed_of(row)}
            told |= {"options": parsed(row["options"], {}), "changes": parsed(row["changes"], [])}
            try:
                found.append(Run.model_validate(told))
            except ValidationError as error:
                log.error("run %s is damaged in %s: %s", row["run"], self.path, error)
        return found

    def append(self, run: int, n: int, event: RunEvent) -> None:
        """Keep event number n of a run."""
        self._db.execute("INSERT INTO events VALUES (?,?,?,?)", (run, n, event["event"], _json(event)))

    def last(self, run: int) -> int:
        """The number of a run's last event, 0 where there is none."""
        return int(self._db.execute("SELECT coalesce(max(n), 0) FROM events WHERE run = ?", (run,)).fetchone()[0])

    def events(self, run: int, after: int, limit: int) -> list[RunEvent]:
        """A run's events with numbers above `after`, oldest first: `limit`, or as many as a page of them holds."""
        rows = self._db.execute(
            "SELECT n, body FROM events WHERE run = ? AND n > ? ORDER BY n LIMIT ?", (run, after, limit)
        )
        found: list[RunEvent] = []
        room = LARGEST_PAGE
        for n, body in rows:
            room -= len(body)
            if found and room < 0:
                break
            found.append({"n": n, **parsed(body, DAMAGED)})
        return found

    def outputs(self, run: int) -> list[Output]:
        """The files a run showed, oldest first; `url` and `size` are the caller's to fill."""
        return [
            Output(n=n, node=event.get("node", ""), path=event["path"], url="", media=event["media"],
                   preview=event["preview"], turn=event.get("turn"), size=0)
            for n, event in self._of_kind(run, "shown")
        ]  # fmt: skip

    def metrics(self, run: int, points: int) -> list[Series]:
        """A run's metrics, each thinned to about `points` values, its extremes among them."""
        found: dict[tuple[str, str], tuple[list[int], list[float | None]]] = {}
        for n, event in self._of_kind(run, "metric"):
            for name, value in event["values"].items():
                turns, values = found.setdefault((event.get("node", ""), name), ([], []))
                turns.append(event.get("turn", n))
                values.append(value)
        series = []
        for (node, name), (turns, values) in found.items():
            kept = _thinned(values, points)
            series.append(
                Series(node=node, name=name, turns=[turns[i] for i in kept], values=[values[i] for i in kept])
            )
        return series

    def _of_kind(self, run: int, kind: str) -> Iterator[tuple[int, RunEvent]]:
        for n, body in self._db.execute(
            "SELECT n, body FROM events WHERE run = ? AND kind = ? ORDER BY n", (run, kind)
        ):
            event = parsed(body, DAMAGED)
            if fits(event) and event["event"] == kind:
                yield n, event

    def last_progress(self, run: int) -> set[int]:
        """The numbers of each node's last progress so far."""
        rows = self._db.execute(
            "SELECT max(n) FROM events WHERE run = ? AND kind = 'progress' GROUP BY json_extract(body, '$.node')",
            (run,),
        )
        return {row[0] for row in rows}

    def running_node(self, run: int) -> str:
        """The node that had started and not finished, "" where there is none."""
        row = self._db.execute(
            "SELECT kind, body FROM events WHERE run = ? AND kind IN ('started', 'finished') ORDER BY n DESC LIMIT 1",
            (run,),
        ).fetchone()
        return str(parsed(row["body"], {}).get("node", "")) if row is not None and row["kind"] == "started" else ""

    def interrupt(self) -> None:
        """Runs that were going on when the server ended: they are over now."""
        left = [run for run in self.with_status(*LIVE) if run.status != "queued"]
        for run in left:
            now = time.time()
            seconds = round(now - (run.started or now), 3)
            event = {"time": now, "event": "ended", "status": "interrupted", "seconds": seconds}
            self.append(run.run, run.events + 1, event)
            self.update(run.run, status="interrupted", ended=now, error="the server ended during the run")


def parsed(text: str, otherwise: Any) -> Any:
    """What a text holds; `otherwise` where it is damaged, cannot be sent (half characters), or holds another kind of thing."""
    try:
        found = json.loads(text)
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return otherwise
    return found if isinstance(found, type(otherwise)) else otherwise


def _json(event: RunEvent) -> str:
    """An event as it is kept, and later sent: without half characters and numbers that JSON does not know."""
    try:
        text = json.dumps(event, ensure_ascii=False, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(event), ensure_ascii=False)
    return text.encode(errors="replace").decode()


def _finite(value: Any) -> Any:
    """A value with null for each number that is not finite."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _thinned(values: list[float | None], points: int) -> list[int]:
    """Indices of about `points` values: of each stretch the least and the greatest, and both ends."""
    if len(values) <= points:
        return list(range(len(values)))
    stretches = max(1, points // 2)
    kept = {0, len(values) - 1}
    for i in range(stretches):
        stretch = range(i * len(values) // stretches, (i + 1) * len(values) // stretches)
        known = [j for j in stretch if values[j] is not None]
        if known:
            kept |= {min(known, key=lambda j: values[j] or 0.0), max(known, key=lambda j: values[j] or 0.0)}
    return sorted(kept)


def _signed(seed: int) -> int:
    """Seeds end at 2^64 - 1 and SQLite's integers at 2^63 - 1: the upper half is kept below zero."""
    return (seed + 2**63) % 2**64 - 2**63


def seed_of(row: sqlite3.Row) -> int:
    """The seed of a run, from its row."""
    return int(row["seed"] % 2**64)
