"""A run's numbers and pictures, as TensorBoard reads them back."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from graph_runner.__main__ import main
from graph_runner.base.events import Ended, Metric, Shown
from graph_runner.format.workflow import Workflow
from graph_runner.run.loggers import LoggedRun
from graph_runner.run.loggers.tensorboard import TensorBoard
from tests.graph_runner.conftest import TOYS


def read_back(folder: Path) -> EventAccumulator:
    [found] = folder.glob("runs/*/tensorboard")
    return EventAccumulator(str(found)).Reload()


def test_numbers_and_pictures_keep_their_steps(tmp_path: Path) -> None:
    Image.new("RGB", (4, 3), "red").save(tmp_path / "a.png")
    board = TensorBoard(LoggedRun(tmp_path, tmp_path / "runs" / "one", Workflow(), {}))
    for turn in range(3):
        board(Metric("loss", {"l1": turn / 2, "l2": 1.0}, turn))
    board(Shown("look", "a.png", "image/png", preview=True, turn=9))
    board(Shown("table", "a.csv", "text/csv", preview=False))
    board(Ended("done", 1.0))
    found = read_back(tmp_path)
    assert found.Tags()["scalars"] == ["loss/l1", "loss/l2"]
    assert [(each.step, each.value) for each in found.Scalars("loss/l1")] == [(1, 0.0), (2, 0.5), (3, 1.0)]
    [picture] = found.Images("look")
    assert (picture.step, picture.width, picture.height) == (10, 4, 3)


@pytest.mark.parametrize("option", [["--tensorboard"], ["--log", "tensorboard"]], ids=" ".join)
def test_the_command_line_writes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("graph_runner.contract.registry.entry_points", lambda group: ())
    body = {"nodes": {"m": {"type": "measure", "wires": {"x": "loop.state.x"}}}, "results": {"x": "loop.state.x"}}
    loop = {"type": "repeat", "params": {"iterations": 3}, "wires": {"state": {"x": "one"}}, "body": body}
    workflow = {"loom": 1, "nodes": {"one": {"type": "number", "params": {"value": 2}}, "loop": loop}}
    Path("w.json").write_text(json.dumps(workflow))
    packages = [word for name in TOYS for word in ("--nodes", name)]
    assert main(["w.json", *option, *packages]) == 0
    found = read_back(tmp_path / "workspace")
    [tag] = found.Tags()["scalars"]
    assert [(each.step, each.value) for each in found.Scalars(tag)] == [(1, 2.0), (2, 2.0), (3, 2.0)]


def test_without_tensorboard_it_is_told_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("graph_runner.contract.registry.entry_points", lambda group: ())
    monkeypatch.delitem(sys.modules, "graph_runner.run.loggers.tensorboard")
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    Path("w.json").write_text('{"loom": 1, "nodes": {"one": {"type": "number"}}}')
    assert main(["w.json", "--to", "one", "--tensorboard", "--nodes", "tests.graph_runner.toys"]) == 2
    assert 'pip install "latent-loom[tensorboard]"' in capsys.readouterr().err
