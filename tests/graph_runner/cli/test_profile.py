"""`run --profile`: what a person is told of the slowest nodes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graph_runner.__main__ import main
from tests.graph_runner.drawing import ONE, repeat, scale

Said = Callable[..., str]

NODES: dict[str, Any] = {
    "one": ONE,
    "z": repeat(40, {"half": scale("z.state.x", 0.5)}, "half"),
    "show": {"type": "show_number", "wires": {"x": "z.x"}},
}


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
    """What a run of these nodes says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("graph_runner.contract.registry.entry_points", lambda group: ())

    def call(nodes: dict[str, Any], *options: str) -> str:
        Path("w.json").write_text(json.dumps({"loom": 1, "nodes": nodes}))
        packages = ("--nodes", "tests.graph_runner.toys", "--nodes", "graph_runner.zones")
        assert main(["w.json", *packages, *options]) == 0
        return capsys.readouterr().out

    return call


def test_the_slowest_nodes_are_told_and_the_files_named(said: Said, tmp_path: Path) -> None:
    out = said(NODES, "--profile")
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line.split()}
    assert rows["node"][:3] == ["node", "type", "calls"]
    assert rows["half"][:3] == ["half", "scale", "40"]
    assert rows["z"][:3] == ["z", "repeat", "1"]
    assert "Perfetto" in out
    [folder] = (tmp_path / "workspace" / "runs").iterdir()
    assert json.loads((folder / "profile.json").read_text())["nodes"].keys() == {"one", "z", "half", "show"}


def test_without_it_nothing_is_counted(said: Said, tmp_path: Path) -> None:
    assert "Perfetto" not in said(NODES)
    assert not list(tmp_path.glob("workspace/runs/*/profile.json"))


def test_of_many_nodes_the_slowest_are_told(said: Said) -> None:
    nodes: dict[str, Any] = {f"n{i}": ONE for i in range(30)}
    nodes["all"] = {"type": "total", "wires": {"numbers": [f"n{i}" for i in range(30)]}}
    nodes["show"] = {"type": "show_number", "wires": {"x": "all"}}
    out = said(nodes, "--profile")
    assert "17 quicker nodes" in out
    assert sum(line.split()[1:2] in (["number"], ["total"], ["show_number"]) for line in out.splitlines()) == 15
