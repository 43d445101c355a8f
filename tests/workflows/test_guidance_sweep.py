"""The shipped sweep, small: its table against distances computed anew, its means against the statistics of Python."""

from __future__ import annotations

import csv
import statistics
from pathlib import Path

import pytest

from core.data.loader import take
from core.data.shapes import Shapes
from core.metrics.features import SmallFeatures
from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Engine
from tests.workflows.changing import shipped
from tests.workflows.judging import frechet, within


def test_the_table_has_a_row_for_each_scale_and_seed_and_the_means_are_over_seeds(
    registry: Registry, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    workflow = shipped(
        "guidance_sweep",
        {
            "shapes": {"size": 64},
            "scales": {"values": [1, 4]},
            "seeds": {"values": [0, 1]},
            "classes": {"values": list(range(8))},
            "noise": {"shape": [8, 4, 8, 8]},
            "sample": {"steps": 2},
        },
    )
    result = Engine(registry, tmp_path).run(workflow, targets=["table", "means", "sweep.images", "grid"])
    table, means = result.values["table"], result.values["means"]
    assert [row[:2] for row in table.rows()] == [(1, 0), (1, 1), (4, 0), (4, 1)]

    network = SmallFeatures()
    real = network(take(Shapes(32, 64), range(64))["images"]).double().numpy()
    for row, images in enumerate(result.values["sweep.images"]):
        distance, precision, recall = (table.columns[name][row] for name in ("distance", "precision", "recall"))
        generated = network(images).double().numpy()
        assert distance == pytest.approx(frechet(real, generated), rel=1e-2)
        assert (precision, recall) == pytest.approx((within(generated, real), within(real, generated)))
    pairs = [table.columns["distance"][:2], table.columns["distance"][2:]]
    assert means.columns["distance_mean"] == pytest.approx([statistics.fmean(pair) for pair in pairs])
    assert means.columns["distance_deviation"] == pytest.approx([statistics.stdev(pair) for pair in pairs])

    written = {Path(shown.path).name: tmp_path / shown.path for shown in result.shown}
    assert set(written) == {
        *(f"guidance{name}.csv" for name in ("", "-means", "-best")),
        "guidance.png",
        "guidance-grid.png",
    }
    with written["guidance-best.csv"].open(newline="") as file:
        [best] = csv.DictReader(file)
    assert float(best["distance_mean"]) == min(means.columns["distance_mean"])
    assert result.values["grid"].shape[1] == 3
