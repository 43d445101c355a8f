"""Runs of the command line are taken into the history, and never a run of the server itself a second time."""

from __future__ import annotations

from pathlib import Path

from ui.adoption import FinishedRun
from ui.ledger import Ledger


def found(folder: str, began: float) -> FinishedRun:
    events = [{"event": "planned", "time": began}, {"event": "ended", "time": began + 1, "status": "done"}]
    return FinishedRun(folder, "", "{}", 0, "cpu", events, False)


def test_a_folder_that_a_run_here_has_not_told_yet_is_not_anothers(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "runs.sqlite")
    run = ledger.add("", "{}", [], False, 0, False, "")
    assert not ledger.may_be_own(found("runs/a", 101.0)), "it waits, and has no folder"
    ledger.update(run, status="running", started=100.0)
    assert ledger.may_be_own(found("runs/a", 101.0))
    assert not ledger.may_be_own(found("runs/a", 99.0)), "that began before"
    ledger.update(run, folder="runs/a")
    assert ledger.may_be_own(found("runs/a", 101.0))
    assert not ledger.may_be_own(found("runs/b", 101.0))
    ledger.update(run, status="done")
    assert ledger.may_be_own(found("runs/a", 101.0))
