"""A dry run that was done before is not done again; one of anything else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from graph_runner.base.problems import Problem
from graph_runner.bind.graph import Scope
from graph_runner.bind.paths import Paths
from graph_runner.bind.validate import validate
from graph_runner.contract.registry import Registry
from graph_runner.estimate import known
from graph_runner.estimate.dry import Estimate, NodeEstimate
from graph_runner.format.workflow import Workflow

ASKED = {"dtype": "float32", "devices": 1}
FOUND = Estimate(
    {"a": NodeEstimate("number", {"": "a number"}, 3.0, 2, 1.0, "")},
    [Problem("odd", "a")],
    12,
    "a",
    {"models": 12},
    2,
    True,
)


@pytest.fixture
def registry() -> Registry:
    return Registry.scan(["tests.graph_runner.toys"])


def graph(registry: Registry, workspace: Path, nodes: dict[str, Any], **more: Any) -> Scope:
    return validate(Workflow.model_validate({"loom": 1, "nodes": nodes, **more}), registry, Paths(workspace))[0]


def test_an_estimate_is_kept_whole_and_a_damaged_one_is_none(tmp_path: Path) -> None:
    known.keep(tmp_path, "k", FOUND)
    assert known.find(tmp_path, "k") == FOUND
    assert known.find(tmp_path, "other") is known.find(tmp_path, None) is None
    (tmp_path / known.FOLDER / "k.json").write_text('{"nodes": 3}')
    assert known.find(tmp_path, "k") is None


def test_what_changes_nothing_keeps_the_key_and_all_else_changes_it(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "n.txt"
    path.write_text("1")
    nodes: dict[str, Any] = {
        "a": {"type": "number", "params": {"value": 1}},
        "read": {"type": "read_number", "params": {"path": str(path)}},
    }
    key = known.key_of(graph(registry, tmp_path, nodes), ASKED)
    assert key is not None
    assert key == known.key_of(graph(registry, tmp_path, nodes, title="t", layout={"a": {"at": [1, 2]}}), ASKED)
    others = [
        known.key_of(graph(registry, tmp_path, nodes), {**ASKED, "devices": 2}),
        known.key_of(graph(registry, tmp_path, {**nodes, "a": {"type": "number", "params": {"value": 2}}}), ASKED),
        known.key_of(graph(registry, tmp_path, {"b": nodes["a"], "read": nodes["read"]}), ASKED),
    ]
    path.write_text("10")
    others.append(known.key_of(graph(registry, tmp_path, nodes), ASKED))
    assert len({key, *others}) == 5
