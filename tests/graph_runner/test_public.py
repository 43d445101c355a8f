"""What other people's programs lean on: said in one place, typed, and light to import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import graph_runner
from graph_runner import Engine, progress
from tests.graph_runner.conftest import graph

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", graph_runner.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(graph_runner, name)
    assert value.__name__ == name
    assert (value.__doc__ or "").strip()
    assert name in dir(graph_runner)


def test_others_are_not() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Motor'"):
        graph_runner.Motor  # noqa: B018


def test_importing_it_imports_nothing_heavy() -> None:
    code = "import graph_runner, sys; dir(graph_runner); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_package_says_that_it_is_typed() -> None:
    for package in ("core", "graph_runner", "nodes", "ui"):
        assert (ROOT / package / "py.typed").exists()


def test_progress_is_a_listener(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = {"one": {"type": "number"}, "m": {"type": "measure", "wires": {"x": "one"}}}
    engine.run(graph(nodes), listeners=[progress()])
    assert "m done in" in capsys.readouterr().err
