"""The server's memory through its versions: older files are brought up to date whole or not at all, newer ones are left alone."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from ui import migrations
from ui.ledger import Ledger, opened

OLD = Path(__file__).with_name("ledger-0.1.sql")


def made(path: Path, version: int | None = None, script: str = "") -> Path:
    """The file that version 0.1 wrote; with another version's number, after some more SQL."""
    with sqlite3.connect(path) as db:
        db.executescript(OLD.read_text() + script)
        if version is not None:
            db.execute(f"PRAGMA user_version={version}")
    db.close()
    return path


def rows(path: Path, table: str) -> list[dict[str, Any]]:
    with sqlite3.connect(path) as db:
        db.row_factory = sqlite3.Row
        found = [dict(row) for row in db.execute(f"SELECT * FROM {table}")]
    db.close()
    return found


def test_a_file_of_version_0_1_is_brought_up_to_date_and_holds_what_it_held(tmp_path: Path) -> None:
    path = made(tmp_path / "server.db")
    before = {table: rows(path, table) for table in ("runs", "events")}
    ledger, notice = opened(path)
    assert notice == ""
    for table, held in before.items():
        for old, new in zip(held, rows(path, table), strict=True):
            assert old.items() <= new.items()
    done, failed, waits = reversed(ledger.newest(10, 0))
    assert (done.status, done.seed, done.events, done.profile) == ("done", 7, 5, False)
    assert (failed.title, failed.seed, failed.targets) == ("Größe", 2**64 - 1, ["a"])
    assert ledger.outputs(1)[0].path.endswith("outputs/a.png")
    assert ledger.metrics(1, 10)[0].values == [0.5]
    detail = ledger.detail(2, {})
    assert detail is not None
    assert detail.problems[0].message == "no such file"
    assert (waits.position, ledger.waiting()) == (1, 1)
    assert ledger.add("new", "{}", [], False, 0, False, "", check_numbers=True, profile=True) == 4
    [_, row] = [row for row in rows(path, "runs") if row["status"] == "queued"]
    assert (row["check_numbers"], row["profile"]) == (1, 1)


def test_every_step_leads_to_the_same_tables(tmp_path: Path) -> None:
    """From an empty file, from each version on the way, and from a file whose maker was killed before it wrote a number."""
    fresh = tmp_path / "fresh.db"
    Ledger(fresh)._db.close()
    columns = [column["name"] for column in rows(fresh, "pragma_table_info('runs')")]
    drop = "ALTER TABLE runs DROP COLUMN check_numbers;"
    for name, version, script in (("2", 2, ""), ("1", 1, drop), ("killed", 0, ""), ("killed early", 0, drop)):
        path = made(tmp_path / f"{name}.db", version, script)
        ledger = Ledger(path)
        assert [column["name"] for column in rows(path, "pragma_table_info('runs')")] == columns, name
        assert migrations.version(ledger._db) == len(migrations.STEPS)
        assert len(ledger.newest(10, 0)) == 3


def test_a_step_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(db: sqlite3.Connection) -> None:
        db.execute("UPDATE runs SET title = ''")
        db.execute("ALTER TABLE runs ADD COLUMN half INTEGER")
        raise sqlite3.OperationalError("database or disk is full")

    path = made(tmp_path / "server.db")
    before = rows(path, "runs")
    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS[:2], half))
    with pytest.raises(ValueError, match="cannot be used"):
        opened(path)
    assert rows(path, "runs") == before
    monkeypatch.undo()
    assert len(opened(path)[0].newest(10, 0)) == 3


def test_a_file_of_a_later_version_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = made(tmp_path / "server.db", 99, "ALTER TABLE runs RENAME COLUMN title TO name;")
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"server\.db was written by a newer Latent Loom; update, or"):
        opened(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["server.db"]
