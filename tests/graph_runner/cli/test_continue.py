"""`--continue`: another run's trainings go on with what is set otherwise; and `--threads`, which is told and recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from graph_runner.__main__ import main
from tests.graph_runner.cli.test_launch import PACKAGES
from tests.graph_runner.cli.test_process import gathering, outputs


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    gathering(tmp_path, n=3, pause=0)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> int:
    return main(["gather.json", "--device", "cpu", *PACKAGES, *arguments])


def environment(here: Path) -> dict[str, object]:
    newest = max(here.glob("workspace/runs/*"))
    return dict(json.loads((newest / "environment.json").read_text()))


def test_a_run_goes_on_from_another_with_other_settings(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    (first,) = here.glob("workspace/runs/*")
    other = ["--set", "one.value=5", "--set", "gathered.n=6"]
    assert run(*other, "--continue", "last") == 0
    told = " ".join(capsys.readouterr().err.split())
    assert f"goes on from step 3 of {first.name}, with one.value 2 → 5, gathered.n 3 → 6" in told
    assert outputs(here) == [2.0 * 3, 2.0 * 3 + 5.0 * (3 + 4 + 5)]
    newest = max(here.glob("workspace/runs/*"))
    assert "step-3" in (newest / "workflow.json").read_text(), "the graph tells where it began"
    assert run(*other) == 0
    assert outputs(here)[-1] == 5.0 * sum(range(6)), "without it, it begins anew"


def test_what_there_is_to_go_on_from_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--continue", "last") == 2
    assert "has trained anything" in capsys.readouterr().err
    assert run() == 0
    (first,) = here.glob("workspace/runs/*")
    assert run("--continue", first.name[:-1]) == 2
    assert f"Did you mean '{first.name}'?" in " ".join(capsys.readouterr().err.split())
    assert run("--continue", first.name) == 0, "where nothing is another, it is what there is"
    assert run("--set", "one.value=5", "--continue", first.name) == 1
    assert "has done 3 steps, and 3 are asked for in all; ask for more" in " ".join(capsys.readouterr().err.split())


def test_threads_are_as_asked_for(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--threads", "2") == 0
    assert environment(here)["threads"] == 2
    assert "computes with 2 threads (as asked for)" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("threads", ["0", "two", "-1"])
def test_what_is_no_number_of_threads_is_refused(threads: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(f"--threads={threads}")
    assert "--threads" in capsys.readouterr().err
