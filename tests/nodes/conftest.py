"""What the tests of nodes share: all of ours and the toys among them, and an engine in an empty workspace."""

from __future__ import annotations

from pathlib import Path

import pytest

from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Engine


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry.scan(["graph_runner.zones", "nodes", "tests.nodes.toy_models"])


@pytest.fixture
def engine(registry: Registry, tmp_path: Path) -> Engine:
    return Engine(registry, tmp_path)
