"""Pictures of what a run is at: latents in a turning loop, values that were asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from graph_runner.base.events import Log, Shown
from graph_runner.contract.registry import Registry
from graph_runner.format.png import open_workflow
from graph_runner.format.workflow import read, write
from tests.ui.conftest import NODES, ROOT
from ui import easel
from ui.easel import Easel
from ui.pictures import Projections


@pytest.fixture
def shown() -> list[Shown]:
    return []


@pytest.fixture
def drawing(tmp_path: Path, shown: list[Shown]) -> Easel:
    workflow = read((ROOT / "workflows/sample.json").read_text())
    registry = Registry.installed(["graph_runner.zones", *NODES])
    return Easel(Projections(), registry, tmp_path, workflow, write(workflow), shown.append)


def test_a_loop_is_drawn_now_and_then(drawing: Easel, shown: list[Shown], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(easel.time, "monotonic", lambda: clock[0])
    run = drawing.workspace / "runs/a"
    for turn in range(1000):
        clock[0] = turn / 10
        drawing.on_turn(run, "sample", turn, {"z": torch.randn(4, 4, 8, 8), "t": torch.tensor([turn])})
    turns = [each.turn for each in shown]
    assert turns[:4] == [10, 20, 30, 40]
    assert 30 < len(turns) < 60
    assert shown[0].path == "runs/a/outputs/sample-000011.png"
    assert all(each.preview for each in shown)
    assert open_workflow(drawing.workspace / shown[0].path) == drawing.workflow


def test_a_loop_without_latents_is_not_drawn(
    drawing: Easel, shown: list[Shown], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(easel, "SECONDS", 0.0)
    drawing.on_turn(drawing.workspace, "guide", 0, {"z": torch.randn(1, 4, 8, 8)})
    drawing.on_turn(drawing.workspace, "sample", 0, {"z": torch.zeros(0, 4, 8, 8)})
    assert not shown


def test_what_is_no_number_is_told_and_not_drawn(drawing: Easel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(easel, "SECONDS", 0.0)
    told: list[Shown | Log] = []
    drawing.tell = told.append
    z = torch.randn(1, 4, 8, 8)
    z[0, 1, 2, 3] = torch.nan
    drawing.on_turn(drawing.workspace / "runs/b", "sample", 0, {"z": z})
    assert not told, "the run will say it, once a node reads them"
    drawing.target(drawing.workspace / "runs/b", "sample", z)
    assert told == [Log("sample is not drawn: 1 of 256 values are NaN", "sample", "warning")]


def test_a_target_is_drawn_under_its_name(drawing: Easel, shown: list[Shown]) -> None:
    drawing.target(drawing.workspace / "runs/b", "sample", torch.randn(1, 4, 8, 8))
    drawing.target(drawing.workspace / "runs/b", "schedule", object())
    assert [(each.node, each.path, each.turn) for each in shown] == [("sample", "runs/b/outputs/sample.png", None)]
