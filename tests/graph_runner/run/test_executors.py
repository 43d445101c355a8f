"""The table of executors, and the one that the documentation shows."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from graph_runner.base.problems import WorkflowError
from graph_runner.contract.registry import Registry
from graph_runner.run import executors
from graph_runner.run.engine import Engine
from tests.graph_runner.conftest import TOYS, graph

PAGE = Path(__file__).parents[3] / "docs" / "executors.md"
NODES: dict[str, Any] = {
    "one": {"type": "number", "params": {"value": 1}},
    "sweep": {
        "type": "for_each",
        "params": {"over": {"by": [2, 3, 5]}},
        "body": {
            "nodes": {
                "y": {"type": "scale", "wires": {"x": "one", "by": "sweep.item.by"}},
                "draw": {"type": "random_number"},
                "sum": {"type": "add", "wires": {"a": "y", "b": "draw"}},
            },
            "results": {"n": "sum"},
        },
    },
}


def test_executors_are_chosen_by_name() -> None:
    assert executors.chosen("here") is None
    with pytest.raises(WorkflowError, match="there is no executor 'rye'"):
        executors.chosen("rye")


def test_ours_come_by_entry_points_and_take_options() -> None:
    pytest.importorskip("ray")
    assert {"here", "ray"} <= executors.BROUGHT.installed().keys()
    assert executors.chosen("ray:retries=5,cpus=2").retries == 5  # type: ignore[union-attr]
    assert executors.chosen("ray://head:10001").address == "ray://head:10001"  # type: ignore[union-attr]
    with pytest.raises(WorkflowError, match=r"the executor 'ray' has no option 'retires'\. Did you mean 'retries'"):
        executors.chosen("ray:retires=5")


@pytest.mark.slow  # processes that import torch
def test_the_executor_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [program] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "my_pool.py").write_text(program)
    monkeypatch.syspath_prepend(tmp_path)
    pool = importlib.import_module("my_pool").Pool()
    registry = Registry.scan(TOYS)

    def values(name: str, on: Any) -> list[torch.Tensor]:
        result = Engine(registry, tmp_path / name).run(graph(NODES), targets=["sweep.n"], on=on, seed=3)
        return list(result.values["sweep.n"])

    assert values("here", "here") == values("there", pool)
