"""`search`: trials by what was seen before, as a zone; the same again from the cache, in a dry run, and in two processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.tables.table import Table
from graph_runner.bind.validate import validate
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine, Result

pytest.importorskip("optuna")


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan(["graph_runner.zones", "nodes"])


def workflow(goal: str = "worth", **params: Any) -> Workflow:
    wires = {"values": {"x": "find.value.x", "k": "find.choice.k"}}
    nodes: dict[str, Any] = {
        "worth": {"type": "expression", "params": {"formula": "(x - 3) ** 2 + k"}, "wires": wires},
        "pair": {"type": "numbers", "params": {"values": [1, 2]}},
    }
    chosen = {"ranges": {"x": [0, 10]}, "choices": {"k": [0.5, 0.25, 1]}, "trials": 25, **params}
    find = {
        "type": "search",
        "params": chosen,
        "body": {"nodes": nodes, "results": {"goal": goal, "each.seen": "find.value.x"}},
    }
    best = {"values": {"x": "find.best.x", "k": "find.best_choice.k"}}
    after = {"type": "expression", "params": {"formula": "2 * x + 0 * k"}, "wires": best}
    return Workflow.model_validate({"loom": 1, "nodes": {"find": find, "after": after}})


def run(registry: Registry, workspace: Path, graph: Workflow, **settings: Any) -> Result:
    return Engine(registry, workspace).run(graph, targets=["find.trials", "find.each.seen", "after"], **settings)


def test_it_finds_what_is_best_and_tells_all_that_was_tried(registry: Registry, tmp_path: Path) -> None:
    result = run(registry, tmp_path, workflow())
    assert result.status == "done", result.error
    table = result.values["find.trials"]
    assert isinstance(table, Table)
    assert list(table.columns) == ["trial", "x", "k", "goal"]
    assert list(table.columns["x"]) == result.values["find.each.seen"]
    goals = table.numbers("goal")
    best = int(goals.argmin())
    assert goals[best] == pytest.approx((table.columns["x"][best] - 3) ** 2 + table.columns["k"][best])
    assert result.values["after"] == pytest.approx(2 * table.columns["x"][best])
    again = run(registry, tmp_path / "elsewhere", workflow())
    assert again.values["find.trials"] == table
    other = run(registry, tmp_path, workflow(seed=1))
    assert other.values["find.trials"] != table


def test_names_that_are_not_searched_are_refused_where_they_are_read(registry: Registry) -> None:
    graph = workflow()
    graph.nodes["find"].body.nodes["worth"].wires["values"]["x"] = "find.value.k"  # type: ignore[union-attr, call-overload, index]
    assert any("find.value.k" in str(problem) for problem in validate(graph, registry)[1])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"ranges": {"x": [0, 10, 20]}}, "the range 'x' takes its lowest and its highest number"),
        ({"logarithmic": ["y"]}, "'logarithmic' names 'y'"),
        ({"goal": "pair"}, "'goal' takes one number, and is given a list"),
    ],
)
def test_what_is_wrong_is_named(registry: Registry, tmp_path: Path, params: dict[str, Any], message: str) -> None:
    result = run(registry, tmp_path, workflow(**params), raise_errors=False)
    assert result.status != "done"
    assert message in str(result.error)
