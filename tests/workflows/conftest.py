"""What the tests of the shipped workflows share."""

from __future__ import annotations

import pytest

from graph_runner.registry import Registry


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry.scan(["graph_runner.zones", "nodes"])
