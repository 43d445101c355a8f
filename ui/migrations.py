"""The steps by which the server's memory (ui/ledger.py) became what it is, in order; `PRAGMA user_version` counts those done.

A step that was published is never changed: files that were written after it are out there. Version 0.1 wrote 2.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

Migration = Callable[[sqlite3.Connection], None]


def tables(db: sqlite3.Connection) -> None:
    """Runs, and their events by number."""
    db.execute("""
        CREATE TABLE IF NOT EXISTS runs (
          run INTEGER PRIMARY KEY AUTOINCREMENT,
          title TEXT NOT NULL, text TEXT NOT NULL, targets TEXT NOT NULL, only_targets INTEGER NOT NULL, seed INTEGER NOT NULL,
          fresh INTEGER NOT NULL, wanted TEXT NOT NULL, device TEXT NOT NULL DEFAULT '', status TEXT NOT NULL,
          created REAL NOT NULL, started REAL, ended REAL,
          folder TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '', node TEXT NOT NULL DEFAULT '',
          problems TEXT NOT NULL DEFAULT '[]'
        )""")
    db.execute("CREATE INDEX IF NOT EXISTS runs_by_status ON runs (status)")
    db.execute("""
        CREATE TABLE IF NOT EXISTS events (
          run INTEGER NOT NULL, n INTEGER NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (run, n)
        ) WITHOUT ROWID""")


def check_numbers(db: sqlite3.Connection) -> None:
    """Whether a run looks at all that its nodes give."""
    # Version 0.1 made the tables whole, and then set the number: killed between the two, it left a column too early.
    if not any(column[1] == "check_numbers" for column in db.execute("PRAGMA table_info(runs)")):
        db.execute("ALTER TABLE runs ADD COLUMN check_numbers INTEGER NOT NULL DEFAULT 0")


def profile(db: sqlite3.Connection) -> None:
    """Whether a run measures its nodes."""
    db.execute("ALTER TABLE runs ADD COLUMN profile INTEGER NOT NULL DEFAULT 0")


def options(db: sqlite3.Connection) -> None:
    """What was set for a run, what it does otherwise than the one before, its picture, and its turn in the queue."""
    for column in ("options TEXT NOT NULL DEFAULT '{}'", "changes TEXT NOT NULL DEFAULT '[]'", "picture TEXT NOT NULL DEFAULT ''", "turn INTEGER NOT NULL DEFAULT 0"):  # fmt: skip
        db.execute(f"ALTER TABLE runs ADD COLUMN {column}")
    db.execute("UPDATE runs SET turn = run")


def turns(db: sqlite3.Connection) -> None:
    """An index by which a position in the queue is counted without reading the runs, whose workflows may be large."""
    db.execute("CREATE INDEX runs_by_turn ON runs (status, turn)")
    db.execute("DROP INDEX IF EXISTS runs_by_status")  # the new one begins with the same


STEPS: tuple[Migration, ...] = (tables, check_numbers, profile, options, turns)


def version(db: sqlite3.Connection) -> int:
    """How many steps a file has behind it."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def migrate(db: sqlite3.Connection) -> None:
    """Take the steps that a file has still before it, each whole or not at all. db: in autocommit mode."""
    for number, step in list(enumerate(STEPS, 1))[version(db) :]:
        db.execute("BEGIN IMMEDIATE")
        try:
            step(db)
            db.execute(f"PRAGMA user_version={number}")
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
