"""The launcher: what it installs and when, and what it then becomes. A recording stand-in takes .venv's Python's place."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RECORDER = """#!/bin/sh
echo "$@" >> {log}
case "$*" in *"{failing}"*) exit 3;; esac
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")


class Clone:
    """A clone with nothing but what the launcher reads, and with an environment that only writes down its calls."""

    def __init__(self, root: Path) -> None:
        self.root, self.log = root, root / "log"
        shutil.copy(ROOT / "loom", root / "loom")
        (root / "pyproject.toml").write_text("one")
        (root / "constraints.txt").write_text("one")
        (root / ".venv" / "bin").mkdir(parents=True)
        self.failing_at("nothing fails")

    def failing_at(self, argument: str) -> None:
        python = self.root / ".venv" / "bin" / "python"
        python.write_text(RECORDER.format(log=self.log, failing=argument))
        python.chmod(0o755)

    def loom(self, *arguments: str) -> tuple[int, list[str]]:
        """Its exit code, and the calls of the environment's Python."""
        self.log.write_text("")
        done = subprocess.run([sys.executable, "./loom", *arguments], cwd=self.root, capture_output=True, check=False)
        return done.returncode, self.log.read_text().splitlines()


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_installs_once_with_the_pinned_versions_and_hands_the_arguments_on(clone: Clone) -> None:
    code, calls = clone.loom("workflows/a.json", "--set", "scale=3")
    assert code == 0
    assert calls[0].startswith("-m pip install")
    assert calls[0].endswith(f"--constraint {clone.root}/constraints.txt --editable {clone.root}")
    assert calls[1:] == ["./loom workflows/a.json --set scale=3"]
    assert clone.loom("check", "a.json") == (0, ["./loom check a.json"])


def test_tests_need_more_than_runs_and_runs_no_more_than_tests(clone: Clone) -> None:
    clone.loom("workflows/a.json")
    _, calls = clone.loom("test", "-k", "some")
    assert calls[0].endswith(f"--editable {clone.root}[dev]")
    assert calls[1] == f"{clone.root}/hatch_build.py"  # browser tests look at the page as it is
    assert calls[2].startswith("-m pytest -n ")
    assert calls[2].endswith(" -k some")
    assert clone.loom("workflows/a.json")[1] == ["./loom workflows/a.json"]
    (clone.root / "pyproject.toml").write_text("two")
    assert clone.loom("workflows/a.json")[1][0].endswith("[dev]")
    assert clone.loom("test")[1][0].endswith("hatch_build.py")  # nothing is installed again


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_installs_anew_when_the_dependencies_changed(clone: Clone, name: str) -> None:
    clone.loom("runs")
    (clone.root / name).write_text("two")
    _, calls = clone.loom("runs")
    assert [call.split()[:3] for call in calls] == [["-m", "pip", "install"], ["./loom", "runs"]]


def test_a_failed_installation_is_told_and_tried_again(clone: Clone) -> None:
    clone.failing_at("pip install")
    code, calls = clone.loom("runs")
    assert code == 1
    assert len(calls) == 1
    clone.failing_at("nothing fails")
    assert len(clone.loom("runs")[1]) == 2


def test_the_canvas_is_built_before_it_opens(clone: Clone) -> None:
    clone.loom("runs")
    assert clone.loom("canvas", "--port", "1") == (0, [f"{clone.root}/hatch_build.py", "-m ui --port 1"])
    clone.failing_at("hatch_build")
    assert clone.loom("test")[1][-1].startswith("-m pytest")  # all others can be run
    assert clone.loom("canvas") == (1, [f"{clone.root}/hatch_build.py"])


def test_exit_codes_are_handed_on(clone: Clone) -> None:
    clone.loom("runs")
    clone.failing_at("check")
    assert clone.loom("check", "a.json")[0] == 3


def test_help_installs_nothing(clone: Clone) -> None:
    for arguments in ([], ["--help"]):
        assert clone.loom(*arguments) == (0, [])


def test_old_pythons_can_read_it() -> None:
    ast.parse((ROOT / "loom").read_text(encoding="utf-8"), feature_version=(3, 7))
