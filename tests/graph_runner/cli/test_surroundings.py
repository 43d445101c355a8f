"""The command line in odd surroundings, as a process: closed pipes, no home, other locales, Ctrl-C at any time."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from graph_runner.__main__ import main
from tests.effort import cases

ROOT = Path(__file__).parents[3]
PYTHON = [sys.executable, "-m", "graph_runner"]
TOYS = ["--nodes", "tests.graph_runner.toys"]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "flow.json").write_text(
        '{"loom": 1, "nodes": {"one": {"type": "number", "params": {"value": 1}},'
        ' "show": {"type": "show_number", "wires": {"x": "one"}}}}'
    )
    return tmp_path


def surroundings(**changes: str | None) -> dict[str, str]:
    """This process' environment with some variables changed, or (None) taken out."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | changes
    return {name: value for name, value in environment.items() if value is not None}


@pytest.mark.parametrize(
    "changes",
    [
        {"HOME": None},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"COLUMNS": "1"},
        {"COLUMNS": "many"},
        {"TERM": "dumb", "LINES": "0", "COLUMNS": "0"},
    ],
    ids=["no home", "no UTF-8", "narrow", "no number", "dumb"],
)
def test_it_runs_and_tells_whatever_surrounds_it(changes: dict[str, str | None], here: Path) -> None:
    for argv in (["flow.json", *TOYS], ["no\u00e9.json"]):
        done = subprocess.run([*PYTHON, *argv], cwd=here, env=surroundings(**changes), capture_output=True, text=True)
        assert done.returncode == (0 if argv[0] == "flow.json" else 2), done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("closed", ["a reader that has gone", "no output at all", "a full disk"])
def test_who_does_not_listen_is_not_told_a_traceback(closed: str, here: Path) -> None:
    shell = {
        "a reader that has gone": "%s nodes %s | true",
        "no output at all": "%s nodes %s >&-",
        "a full disk": "%s nodes %s >/dev/full",
    }[closed]
    command = shell % (" ".join(PYTHON), " ".join(TOYS))
    done = subprocess.run(["bash", "-c", command], cwd=here, env=surroundings(), capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert "No space left" in done.stderr if closed == "a full disk" else not done.stderr


def wait_for_our_answer(process: subprocess.Popen[str]) -> None:
    """Until the interpreter has begun and left Ctrl-C to us: its own handler came, and went."""
    came = False
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = int(status.split("SigCgt:")[1].split()[0], 16) >> (signal.SIGINT - 1) & 1
        if came and not caught:
            return
        came = came or bool(caught)
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux which signals are caught")
def test_ctrl_c_at_any_time_ends_without_a_traceback(here: Path) -> None:
    chance = random.Random(0)
    for number in range(cases(3, 60)):
        process = subprocess.Popen(
            [*PYTHON, "check", "flow.json", *TOYS],
            cwd=here, env=surroundings(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        wait_for_our_answer(process)
        time.sleep(2 * chance.random())
        process.send_signal(signal.SIGINT)
        _, told = process.communicate()
        assert "Traceback" not in told, f"{number}: {told}"
        assert process.returncode in (0, 130, -signal.SIGINT), number


def refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    try:
        code = main(argv)
    except SystemExit as exit:
        code = int(exit.code or 0)
    assert code == 2, argv
    return capsys.readouterr().err


def test_arguments_that_cannot_be_are_told(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(here)
    monkeypatch.setattr("graph_runner.contract.registry.entry_points", lambda group: ())
    (here / "file").touch()
    os.mkfifo(here / "pipe")
    many = "9" * 5000
    for argv, told in [
        (["flow.json", "--workspace", "file"], "file is a file, and a folder is wanted"),
        (["flow.json", "--workspace", "file/below"], "file is a file, and a folder is wanted"),
        (["flow.json", "--workspace", "~nosuchuser/x"], "there is no home ~nosuchuser"),
        (["flow.json", "--workspace", "x" * 300], "can be no folder (file name too long)"),
        (["flow.json", "--checkpoint-seconds", "nan"], "'nan' is no number of seconds"),
        (["flow.json", "--checkpoint-seconds", "-1"], "is no number of seconds"),
        (["flow.json", "--seed", "abc"], "abc is no whole number"),
        (["clean", "--keep", many], "is no size"),
        (["runs", "--most", "-1"], "is no whole number above 0"),
        (["pipe"], "cannot read pipe: it is no regular file"),
        (["."], "cannot read .: it is a folder"),
        (["x" * 300], "File name too long"),
        (["flow.json", "--to", "", *TOYS], "there is no node ''"),
        (["flow.json", "--set", "one.value\udcff=1", *TOYS], "this is no UTF-8"),
        (["flow.json", "--set", f"one.value={many}", *TOYS], "one.value: input should be a valid number"),
        (["flow.json", "--set", "one.value=" + "[" * 5000, *TOYS], "one.value: input should be a valid number"),
        (["flow.json", "--set", "one.value=NaN", *TOYS], "one.value: input should be"),
        (["flow.json", "--set", "one.value=1e999", *TOYS], "one.value: input should be"),
        (["flow.json", "--set", "one.value=1}", *TOYS], "one.value: input should be"),
        (["flow.json", "--set", "one.value=~nosuchuser/\0", *TOYS], "one.value: input should be"),
    ]:
        assert told in refused(argv, capsys), argv


def test_a_fault_of_ours_is_told_as_one(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(here)
    monkeypatch.setattr("graph_runner.cli.commands.runs", lambda options: {}["missing"])
    assert main(["runs"]) == 1
    told = capsys.readouterr().err
    assert "KeyError: 'missing'" in told
    assert "this is a fault in Latent Loom" in told
    assert "Please report it" in told
