"""For all tests: what may take longest begins first, so that no processor waits at the end for the other."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that ask for a time-out of their own come first, longest first; all others stay in order."""

    def patience(item: pytest.Item) -> float:
        asked = item.get_closest_marker("timeout")
        return float(asked.args[0]) if asked else 0.0

    items.sort(key=patience, reverse=True)
