"""What the tests of the shipped workflows share."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from graph_runner.base.events import Metric
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import write_atomically
from graph_runner.run.engine import Result

GOLDEN = Path(__file__).parent / "golden.json"
"""Losses and picture statistics as they were recorded; `RECORD=1 pytest tests/workflows` writes them anew."""

Check = Callable[[str, Result], None]


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry.scan(["graph_runner.zones", "nodes"])


@pytest.fixture
def golden() -> Check:
    """Hold a run against the recorded one of the same name: the numbers of the first turn, before anything was learned,
    closely; those of the last, where rounding has been through an optimizer, and pictures within a few parts in a hundred.
    """

    def check(name: str, result: Result) -> None:
        found = figures(result)
        known = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
        if os.environ.get("RECORD"):
            write_atomically(
                GOLDEN, (json.dumps(dict(sorted((known | {name: found}).items())), indent=1) + "\n").encode()
            )
            return
        expected = known[name]
        assert found.keys() == expected.keys()
        for what, numbers in found.items():
            for which, number, wanted in zip(("first", "last"), numbers, expected[what], strict=True):
                close = 1e-3 if which == "first" and "/" in what else 0.05
                assert number == pytest.approx(wanted, rel=close, abs=close), f"{what}, {which}"

    return check


def figures(result: Result) -> dict[str, list[float]]:
    """Of each metric the first and the last value; of each saved picture the pixels' mean and deviation, in [0, 1]."""
    found: dict[str, list[float]] = {}
    for event in result.events:
        if isinstance(event, Metric):
            for name, value in event.values.items():
                found.setdefault(f"{event.node}/{name}", [value, value])[1] = value
    for shown in result.shown:
        if shown.media.startswith("image/png") and not shown.preview:
            path = result.folder.parents[1] / shown.path
            with Image.open(path) as picture:
                pixels = np.asarray(picture.convert("RGB"), dtype=np.float64) / 255
            found[path.name] = [float(pixels.mean()), float(pixels.std())]
    return {what: [float(f"{number:.6g}") for number in numbers] for what, numbers in found.items()}
