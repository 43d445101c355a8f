"""The server's memory: every run and every event, in one SQLite file of the workspace.

Written through at each change, so that nothing is lost when the server is killed. Events are read back by number, which
is how a subscriber can begin anywhere and a slow one costs no memory.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ui.models import LIVE, Output, Problem, Run, RunDetail, RunEvent, Series, Status

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
  run INTEGER PRIMARY KEY AUTOINCREMENT,
  title TEXT NOT NULL, text TEXT NOT NULL, targets TEXT NOT NULL, only_targets INTEGER NOT NULL, seed INTEGER NOT NULL, fresh INTEGER NOT NULL,
  wanted TEXT NOT NULL, device TEXT NOT NULL DEFAULT '', status TEXT NOT NULL,
  created REAL NOT NULL, started REAL, ended REAL,
  folder TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '', node TEXT NOT NULL DEFAULT '',
  problems TEXT NOT NULL DEFAULT '[]'
);
CREATE INDEX IF NOT EXISTS runs_by_status ON runs (status);
CREATE TABLE IF NOT EXISTS events (
  run INTEGER NOT NULL, n INTEGER NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (run, n)
) WITHOUT ROWID;
"""
SUMMARY = """SELECT *, (SELECT coalesce(max(n), 0) FROM events WHERE events.run = runs.run) AS events,
 CASE status WHEN 'queued' THEN (SELECT count(*) FROM runs q WHERE q.status = 'queued' AND q.run <= runs.run) ELSE 0 END
 AS position FROM runs"""


class Ledger:
    """Runs and their events. May be used from any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        # WAL without a sync at each commit: a killed process loses nothing; a power cut may lose the last events.
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise ValueError(f"{path} was written by a newer Latent Loom; update, or use another --workspace")
        self._db.executescript(SCHEMA)
        self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

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

    def add(self, title: str, text: str, targets: list[str], only: bool, seed: int, fresh: bool, wanted: str) -> int:
        """A new run, at the end of the queue; returns its number."""
        cursor = self._db.execute(
            "INSERT INTO runs (title, text, targets, only_targets, seed, fresh, wanted, status, created)"
            " VALUES (?,?,?,?,?,?,?,?,?)",
            (title, text, json.dumps(targets), only, seed, fresh, wanted, "queued", time.time()),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def adopt(self, folder: str, title: str, text: str, environment: dict[str, Any], events: list[RunEvent]) -> int:
        """A run that another program did in this workspace (the command line), with its events."""
        number = self.add(title, text, [], False, int(environment.get("seed", 0)), False, "")
        failure = next((event for event in reversed(events) if event["event"] == "failed"), {})
        self.update(
            number,
            status=events[-1]["status"],
            device=environment.get("device", ""),
            created=events[0]["time"],
            started=events[0]["time"],
            ended=events[-1]["time"],
            folder=folder,
            error=failure.get("message", ""),
            node=failure.get("node", ""),
        )
        for n, event in enumerate(events, 1):
            self.append(number, n, event)
        return number

    def update(self, run: int, **fields: Any) -> None:
        """Change columns of a run."""
        assignments = ", ".join(f"{name} = ?" for name in fields)
        self._db.execute(f"UPDATE runs SET {assignments} WHERE run = ?", (*fields.values(), run))

    def remove(self, run: int) -> None:
        """Forget a run and its events."""
        self._db.execute("DELETE FROM events WHERE run = ?", (run,))
        self._db.execute("DELETE FROM runs WHERE run = ?", (run,))

    def next_for(self, device: str) -> sqlite3.Row | None:
        """The run that this device should do next: number, text, targets, only_targets, seed, fresh."""
        row: sqlite3.Row | None = self._db.execute(
            "SELECT * FROM runs WHERE status = 'queued' AND wanted IN ('', ?) ORDER BY run LIMIT 1", (device,)
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
            workflow=json.loads(row["text"]),
            environment=environment,
            problems=[Problem(**problem) for problem in json.loads(row["problems"])],
        )

    def with_status(self, *statuses: Status) -> list[Run]:
        """Runs in these states, oldest first."""
        marks = ",".join("?" * len(statuses))
        return self._summaries(f"WHERE status IN ({marks}) ORDER BY run", statuses)

    def newest(self, limit: int, before: int) -> list[Run]:
        """Runs, newest first; below the number `before` where it is not 0."""
        return self._summaries("WHERE ? = 0 OR run < ? ORDER BY run DESC LIMIT ?", (before, before, limit))

    def folders(self) -> set[str]:
        """The folders of all runs."""
        return {row[0] for row in self._db.execute("SELECT folder FROM runs WHERE folder != ''")}

    def _summaries(self, where: str, arguments: tuple[Any, ...]) -> list[Run]:
        fields = Run.model_fields.keys()
        rows = self._db.execute(f"{SUMMARY} {where}", arguments).fetchall()
        return [
            Run(**{name: json.loads(row[name]) if name == "targets" else row[name] for name in fields}) for row in rows
        ]

    def append(self, run: int, n: int, event: RunEvent) -> None:
        """Keep event number n of a run."""
        self._db.execute("INSERT INTO events VALUES (?,?,?,?)", (run, n, event["event"], json.dumps(event)))

    def last(self, run: int) -> int:
        """The number of a run's last event, 0 where there is none."""
        return int(self._db.execute("SELECT coalesce(max(n), 0) FROM events WHERE run = ?", (run,)).fetchone()[0])

    def events(self, run: int, after: int, limit: int) -> list[RunEvent]:
        """A run's events with numbers above `after`, oldest first."""
        rows = self._db.execute(
            "SELECT n, body FROM events WHERE run = ? AND n > ? ORDER BY n LIMIT ?", (run, after, limit)
        ).fetchall()
        return [{"n": n, **json.loads(body)} for n, body in rows]

    def outputs(self, run: int) -> list[Output]:
        """The files a run showed, oldest first; `url` and `size` are the caller's to fill."""
        return [
            Output(n=n, node=event["node"], path=event["path"], url="", media=event["media"],
                   preview=event["preview"], turn=event.get("turn"), size=0)
            for n, event in self._of_kind(run, "shown")
        ]  # fmt: skip

    def metrics(self, run: int, points: int) -> list[Series]:
        """A run's metrics, each thinned to about `points` values, its extremes among them."""
        found: dict[tuple[str, str], tuple[list[int], list[float | None]]] = {}
        for n, event in self._of_kind(run, "metric"):
            for name, value in event["values"].items():
                turns, values = found.setdefault((event["node"], name), ([], []))
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
            yield n, json.loads(body)

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
        return str(json.loads(row["body"])["node"]) if row is not None and row["kind"] == "started" else ""

    def interrupt(self) -> None:
        """Runs that were going on when the server ended: they are over now."""
        left = [run for run in self.with_status(*LIVE) if run.status != "queued"]
        for run in left:
            now = time.time()
            seconds = round(now - (run.started or now), 3)
            event = {"time": now, "event": "ended", "status": "interrupted", "seconds": seconds}
            self.append(run.run, run.events + 1, event)
            self.update(run.run, status="interrupted", ended=now, error="the server ended during the run")


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
