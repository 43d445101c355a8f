"""The run manager and its ledger without a server around them."""

from __future__ import annotations

import asyncio
import errno
import math
import sqlite3
from pathlib import Path

import pytest

from graph_runner.base.events import Metric
from ui import runs
from ui.doing import as_json
from ui.ledger import SUMMARY, Ledger, opened
from ui.live import PAGE, Feed, follow
from ui.refusal import RefusedError
from ui.runs import RunManager
from ui.schemas import Run

TEXT = '{"loom": 1, "nodes": {}}'


def test_a_worker_that_cannot_start_fails_what_waits_for_it_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / ".server").mkdir()
    ledger = Ledger(tmp_path / "runs.db")
    options = ["--workspace", str(tmp_path), "--dtype", "float37"]
    manager = RunManager(ledger, tmp_path, ["cpu"], options, grace=1)

    async def scene() -> Run:
        run = manager.submit("toy", TEXT, [], False, 0, False, "").run
        while (over := manager.get(run)).ended is None:
            await asyncio.sleep(0.02)
        await manager.close()
        return over

    over = asyncio.run(asyncio.wait_for(scene(), 60))
    assert over.status == "failed"
    assert "could not start" in over.error
    assert "float37" in over.error
    assert [event["event"] for event in ledger.events(over.run, 0, 10)] == ["failed", "ended"]


def test_metrics_are_thinned_and_keep_their_extremes(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "runs.db")
    run = ledger.add("toy", TEXT, [], False, 0, False, "")
    for n in range(1, 2001):
        value = 1000.0 if n == 777 else -1000.0 if n == 778 else None if n == 900 else math.sin(n)
        ledger.append(run, n, {"event": "metric", "node": "loss", "values": {"x": value}, "turn": n})
    [series] = ledger.metrics(run, 100)
    assert 90 <= len(series.turns) <= 110
    assert {1, 777, 778, 2000} <= set(series.turns)
    assert sorted(series.turns) == series.turns
    [whole] = ledger.metrics(run, 2000)
    assert len(whole.values) == 2000
    assert whole.values[899] is None


@pytest.mark.parametrize("damage", ["cut", "noise", "no database", "other tables"])
def test_a_damaged_ledger_is_set_aside_and_told(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "server.db"
    first, notice = opened(path)
    assert notice == ""
    for _ in range(200):
        first.add("toy", TEXT + " " * 1000, [], False, 0, False, "")
    first._db.close()
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "noise":
        path.write_bytes(content[:8192] + bytes(len(content) - 16384) + content[-8192:])
    elif damage == "no database":
        path.write_bytes(b"the cat walked over the keyboard" * 1000)
    else:
        path.unlink()
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE runs (run INTEGER PRIMARY KEY, status TEXT)")
        other.close()
    ledger, notice = opened(path)
    [aside] = tmp_path.glob("damaged-*-server.db")
    assert aside.name in notice
    assert ledger.add("toy", TEXT, [], False, 0, False, "") == 1
    ledger._db.close()
    again, notice = opened(path)
    assert (notice, again.waiting()) == ("", 1)


def test_damage_inside_of_a_row_is_passed_over(tmp_path: Path) -> None:
    """SQLite has no checksums: a flipped letter is found when the row is read."""
    ledger = Ledger(tmp_path / "runs.db")
    run, broken = (ledger.add("toy", TEXT, [], False, 0, False, "") for _ in range(2))
    ledger.append(run, 1, {"event": "metric", "values": {"x": 1.0}})
    ledger._db.execute("UPDATE runs SET targets = '[', text = '{', problems = 'x' WHERE run = ?", (run,))
    ledger._db.execute("UPDATE runs SET status = 'quexed', title = CAST(x'ff' AS TEXT) WHERE run = ?", (broken,))
    ledger._db.execute("UPDATE events SET body = '{\"event\": '")
    assert [each.run for each in ledger.newest(10, 0)] == [run]
    assert ledger.metrics(run, 10) == []
    assert ledger.events(run, 0, 10)[0]["message"] == "this event was damaged on the disk"
    detail = ledger.detail(run, {})
    assert detail is not None
    assert (detail.workflow, detail.targets, detail.problems) == ({}, [], [])


def test_a_full_disk_while_queueing_is_a_sentence(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "runs.db")
    pages = ledger._db.execute("PRAGMA page_count").fetchone()[0]
    ledger._db.execute(f"PRAGMA max_page_count={pages + 4}")
    manager = RunManager(ledger, tmp_path, [], [], grace=1)
    manager.submit("toy", TEXT, [], False, 0, False, "")
    with pytest.raises(sqlite3.OperationalError) as full:
        manager.submit("toy", TEXT + " " * 100_000, [], False, 0, False, "")
    refused = RefusedError.failed(full.value)
    assert (refused.status, "no room left" in refused.error) == (507, True)
    assert ledger.waiting() == 1
    assert RefusedError.failed(OSError(errno.ENOSPC, "No space left on device")).status == 507


def test_a_script_that_submits_without_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "MOST_WAITING", 3)
    manager = RunManager(Ledger(tmp_path / "runs.db"), tmp_path, [], [], grace=1)
    for _ in range(3):
        manager.submit("t" * 5000, TEXT, [], False, 0, False, "")
    with pytest.raises(RefusedError, match="3 runs wait already"):
        manager.submit("toy", TEXT, [], False, 0, False, "")
    assert len(manager.get(1).title) == runs.LONGEST_TITLE


def test_the_queue_is_in_order_and_a_device_takes_what_is_for_it(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "runs.db")
    first = ledger.add("a", TEXT, [], False, 0, False, "cuda:1")
    second, third = (ledger.add("b", TEXT, [], False, 0, False, "") for _ in range(2))
    chosen = ledger.next_for("cuda:0")
    assert chosen is not None
    assert chosen["run"] == second
    ledger.update(first, status="running")
    assert [(run.run, run.position) for run in ledger.with_status("queued")] == [(second, 1), (third, 2)]
    ledger.interrupt()
    assert [run.run for run in ledger.with_status("interrupted")] == [first]
    assert ledger.events(first, 0, 10)[-1]["status"] == "interrupted"


def test_a_queue_of_large_workflows_is_counted_and_cleared_without_reading_them(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "runs.db")
    for _ in range(5):
        ledger.add("a", TEXT, [], False, 0, False, "")
    plan = [row["detail"] for row in ledger._db.execute(f"EXPLAIN QUERY PLAN {SUMMARY} WHERE run = 1")]
    [counting] = [detail for detail in plan if detail.startswith("SEARCH q ")]
    assert "COVERING INDEX" in counting
    said: list[str] = []
    ledger._db.set_trace_callback(said.append)
    cleared = RunManager(ledger, tmp_path, [], []).clear()
    assert [(run.run, run.status) for run in cleared] == [(n, "stopped") for n in range(1, 6)]
    assert sum("status IN" in each for each in said) == 1, "the queue is looked through once, and not for each run"
    assert [ledger.events(n, 0, 10)[-1]["status"] for n in range(1, 6)] == ["stopped"] * 5


def test_a_slow_follower_misses_nothing(tmp_path: Path) -> None:
    """A run that ends while its first events are still being looked at."""
    ledger = Ledger(tmp_path / "runs.db")
    run = ledger.add("toy", TEXT, [], False, 0, False, "")
    manager = RunManager(ledger, tmp_path, [], [], grace=1)
    ledger.append(run, 1, {"event": "planned", "run": "toy", "nodes": [], "cached": []})

    async def scene() -> list[int]:
        seen: list[int] = []
        async for events in follow(manager, run, 0):
            seen += [event["n"] for event in events]
            if seen == [1]:
                for n in (2, 3):
                    ledger.append(run, n, {"event": "log", "message": str(n)})
                manager.cancel(run, force=False)
        return seen

    assert asyncio.run(asyncio.wait_for(scene(), 20)) == [1, 2, 3, 4]
    assert [event["event"] for event in ledger.events(run, 3, 10)] == ["ended"]

    async def again(after: int) -> list[int]:
        return [event["n"] async for events in follow(manager, run, after) for event in events]

    assert asyncio.run(asyncio.wait_for(again(2), 20)) == [3, 4]
    assert asyncio.run(asyncio.wait_for(again(4), 20)) == []


def test_a_runs_events_come_before_the_word_that_it_is_over(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "runs.db")
    run = ledger.add("toy", TEXT, [], False, 0, False, "")
    manager = RunManager(ledger, tmp_path, [], [], grace=1)

    async def scene() -> list[str]:
        said: list[str] = []
        with Feed(manager) as feed:
            await feed.subscribe(run)
            for n in range(1, 2 * PAGE):
                ledger.append(run, n, {"event": "log", "message": str(n)})
            manager.cancel(run, force=False)
            async for message in feed.messages():
                said.append(next(iter(message)))
                if "runs" in message:
                    return said
        return said

    assert asyncio.run(asyncio.wait_for(scene(), 20)) == ["run", "caught_up", "run", "runs"]


def test_numbers_that_json_does_not_know_are_null() -> None:
    sent = as_json(Metric("loss", {"a": 1.0, "b": math.nan, "c": math.inf}, 3))
    assert sent["values"] == {"a": 1.0, "b": None, "c": None}
    assert (sent["event"], sent["node"], sent["turn"]) == ("metric", "loss", 3)
