"""Loggers of a server: what its `--log` names listens to every run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.ui.conftest import ROOT, RunningServer

MEASURED = {"a": {"type": "number", "params": {"value": 1}}, "m": {"type": "measure", "wires": {"x": "a"}}}


def test_every_run_is_logged(tmp_path: Path) -> None:
    server = RunningServer(tmp_path, "--log", "csv:file=numbers.csv")
    try:
        folders = [server.over(server.submit(MEASURED))["folder"] for _ in range(2)]
    finally:
        server.stop()
    for folder in folders:
        assert (tmp_path / folder / "numbers.csv").read_text().splitlines()[1].endswith(",m,,x,1.0")


def test_a_logger_that_is_not_there_is_told_at_the_start(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ui", "--workspace", str(tmp_path), "--log", "cvs"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert "there is no logger 'cvs'. Did you mean 'csv'?" in done.stderr
