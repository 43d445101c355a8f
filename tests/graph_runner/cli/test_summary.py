"""What a person is told at the end of a run."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from graph_runner.base import events
from graph_runner.base.events import Placed
from graph_runner.cli.progress import Watch
from graph_runner.cli.summary import MOST_PATHS, _models, show
from graph_runner.run.engine import Result


def told(tmp_path: Path, status: str = "done", **rest: Any) -> str:
    now = [0.0]
    watch = Watch(clock=lambda: now[0])
    for event in rest.pop("heard", []):
        watch(event)
    now[0] = 3.25
    folder = tmp_path / "runs" / "one"
    shown = [
        events.Shown("n", f"runs/one/outputs/{name}", "image/png", preview) for name, preview in rest.pop("shown", [])
    ]
    console = Console(file=io.StringIO(), width=200)
    result = Result(status, folder, shown=shown)
    show(console, result, rest.get("values", {}), watch, rest.get("exposed", {}), ["w.json", "--to", "a b"])
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_values_files_and_how_to_change_a_setting(tmp_path: Path) -> None:
    text = told(
        tmp_path,
        values={"n": 7},
        shown=[("a.png", False), ("p.png", True), ("q.png", True)],
        exposed={"scale": 3, "words": "two words", "long": "x" * 50},
        heard=[events.Planned("one", ["n"], ["c", "d"]), events.Finished("n", 0.1)],
    )
    assert "Done in 3.2 s: 1 node computed, 2 from the cache." in text
    assert "n = 7" in text
    assert f"{tmp_path / 'runs/one/outputs/a.png'}" in text
    assert "2 previews in" in text
    assert "Now: scale=3  words='two words'  long=…" in text


def test_many_files_are_counted(tmp_path: Path) -> None:
    text = told(tmp_path, shown=[(f"{i}.png", False) for i in range(MOST_PATHS + 2)])
    assert "and 2 more files there" in text
    assert "--set NODE.PARAM=VALUE" in text


def test_a_stopped_run_says_where_it_is_and_how_it_goes_on(tmp_path: Path) -> None:
    text = told(tmp_path, "stopped", heard=[events.Started("fit"), events.Progress("fit", 1200, 5000)])
    assert "fit at step 1,200 of 5,000" in text
    assert text.strip().endswith("w.json --to 'a b'")


@pytest.mark.parametrize("status", ["done", "stopped"])
def test_it_ends_with_a_line_that_can_be_followed(tmp_path: Path, status: str) -> None:
    assert told(tmp_path, status).endswith("\n")


def test_what_lay_on_the_device_is_told() -> None:
    placed = Placed(
        "cuda:0", {"unet": 3_440_000_000}, {"text": 500_000_000}, {}, 4 * 10**9, 8 * 10**9, 5 * 10**9, 10**9
    )
    assert _models(placed) == (
        "unet 3.44 GB on cuda:0; text 500 MB on the host; 4 GB of 8 GB free. 5 GB of models went there, 1 GB back."
    )
