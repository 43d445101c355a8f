"""What the engine's tests share: a registry of toy nodes and one-line runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine, Result
from tests.graph_runner import toys

TOYS = ["tests.graph_runner.toys", "graph_runner.zones"]


@pytest.fixture(autouse=True)
def fresh_logs() -> None:
    toys.CALLS.clear()
    toys.RECORDED.clear()


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry.scan(TOYS)


@pytest.fixture
def engine(registry: Registry, tmp_path: Path) -> Engine:
    return Engine(registry, workspace=tmp_path)


@pytest.fixture
def run(engine: Engine) -> Callable[..., Result]:
    """Run a graph given as a dict of nodes; further arguments are Engine.run's."""

    def call(nodes: dict[str, Any], *targets: str, **options: Any) -> Result:
        return engine.run(graph(nodes), targets=targets, **options)

    return call


def graph(nodes: dict[str, Any], **rest: Any) -> Workflow:
    return Workflow.model_validate({"loom": 1, "nodes": nodes, **rest})
