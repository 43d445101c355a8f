"""The curve of a training as a table on a wire: independent of how often it is reported, the same after going on, stacked over a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.tables.table import Table
from graph_runner.bind.validate import errors, validate
from graph_runner.contract.registry import Registry
from graph_runner.estimate.dry import dry_run
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from tests.nodes.sweeps import sweep


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.installed()


def curves(steps: int, **params: Any) -> Workflow:
    """Two trainings of other learning rates, and their curves beneath each other."""
    graph = sweep([1e-3, 1e-2], steps)
    zone = graph["nodes"]["sweep"]
    zone["body"]["nodes"]["fit"]["params"] |= params
    zone["body"]["results"] = {"lr": "sweep.item.lr", "curve": "fit.curve"}
    graph["nodes"] |= {
        "curves": {
            "type": "stack_tables",
            "params": {"column": "lr"},
            "wires": {"tables": ["sweep.curve"], "labels": "sweep.lr"},
        },
        "plot": {
            "type": "line_plot",
            "params": {"x": "step", "y": "loss/diffusion", "by": "lr"},
            "wires": {"table": "curves"},
        },
    }
    return Workflow.model_validate(graph)


def table(registry: Registry, folder: Path, workflow: Workflow) -> Table:
    values = Engine(registry, folder).run(workflow, targets=["curves", "plot"]).values
    assert values["plot"].table == values["curves"]
    found: Table = values["curves"]
    return found


def test_curves_of_a_sweep_are_one_table_whatever_is_reported_and_after_going_on(
    registry: Registry, tmp_path: Path
) -> None:
    top, problems = validate(curves(5), registry)
    assert errors(problems) == []
    assert dry_run(top, tmp_path).problems == []
    through = table(registry, tmp_path / "through", curves(5))
    assert list(through.columns) == ["lr", "step", "loss/diffusion"]
    assert [row[:2] for row in through.rows()] == [(lr, step) for lr in (1e-3, 1e-2) for step in range(1, 6)]
    assert all(isinstance(loss, float) and loss > 0 for loss in through.columns["loss/diffusion"])
    table(registry, tmp_path / "on", curves(2))
    assert table(registry, tmp_path / "on", curves(5)) == through, "to the bit"
    assert table(registry, tmp_path / "on", curves(5, log_every=1)) == through, "and from the cache"
    (tmp_path / "rare").mkdir()
    assert table(registry, tmp_path / "rare", curves(5, log_every=1000)) == through
