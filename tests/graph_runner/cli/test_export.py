"""`export`: a workflow as a script on paper, in a file, and as a table of its lines; what cannot be one is told as everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from graph_runner.__main__ import main
from graph_runner.format.workflow import save
from tests.graph_runner.conftest import graph

NODES = {
    "one": {"type": "number", "params": {"value": 3}},
    "two": {"type": "scale", "params": {"by": 2}, "wires": {"x": "one"}},
    "loop": {
        "type": "iterate",
        "wires": {"x": "two"},
        "body": {
            "nodes": {
                "more": {"type": "scale", "wires": {"x": "loop.x"}},
                "look": {"type": "every", "body": {"nodes": {"seen": {"type": "record", "wires": {"x": "more"}}}}},
            },
            "results": {"number": "more"},
        },
    },
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save(graph(NODES, exposed={"outputs": {"out": "loop"}}), tmp_path / "graph.json")
    return tmp_path / "graph.json"


def told(path: Path, *options: str) -> int:
    workspace = ["--workspace", str(path.parent / "workspace"), "--nodes", "tests.graph_runner.toys"]
    return main(["export", str(path), "--python", *workspace, *options])


def ran(text: str) -> Any:
    values: dict[str, Any] = {"__name__": "exported"}
    exec(text, values)
    return values["run"]()


def test_it_is_printed_and_what_is_left_out_is_told(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(path, "--set", "two.by=5") == 0
    out, complaints = capsys.readouterr()
    assert ran(out) == {"out": 15}
    assert "warning: look: what looks on at a loop is left out" in complaints


def test_it_goes_into_a_file_and_the_table_is_printed(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = path.with_name("graph.py")
    assert told(path, "--output", str(script), "--table") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    lines = script.read_text(encoding="utf-8").splitlines()
    assert ran(script.read_text(encoding="utf-8")) == {"out": 6}
    assert {row[1] for row in rows} == {"one", "two", "loop", "more"}
    for number, _, type_name, module in rows:
        assert module == "tests.graph_runner.toys"
        assert lines[int(number) - 1].strip()
        assert type_name in ("number", "scale", "iterate")


def test_a_wrong_workflow_is_told_and_nothing_written(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = path.with_name("graph.py")
    assert told(path, "--output", str(script), "--set", "one.value=1000") == 2
    assert "one.value" in capsys.readouterr().err
    assert not script.exists()
