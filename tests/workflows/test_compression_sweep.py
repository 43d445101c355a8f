"""The sweep over downsampling factors, small: its tables against distances computed anew, f = 1 against plain pixels."""

from __future__ import annotations

import csv
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.data.loader import take
from core.data.shapes import Shapes
from core.metrics.features import SmallFeatures
from core.models.identity_autoencoder import IdentityAutoencoder
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from tests.workflows.changing import shipped
from tests.workflows.judging import frechet
from tests.workflows.test_tasks import nodes_of

SMALL: dict[str, dict[str, Any]] = {
    "shapes": {"size": 32, "resolution": 32},
    "held_out": {"resolution": 32},
    "real": {"count": 32},
    "count": {"formula": "6"},
    "classes": {"values": list(range(6))},
    "seeds": {"values": [0, 1]},
    "train_steps": {"values": [1, 2]},
    "sampling_steps": {"values": [2, 1]},
    "early": {"steps": 2},
    "compress": {"steps": 2},
    "first_stage": {"samples": 8},
    "sweep": {
        "over": {
            "factor": [1, 4],
            "first_stage": [[1], [1, 2, 2]],
            "z_channels": [3, 3],
            "shape": [[6, 3, 32, 32], [6, 3, 8, 8]],
            "channels": [8, 16],
            "unet": [[1, 1], [1, 2]],
            "batch_size": [2, 4],
        }
    },
}


def small() -> Workflow:
    return shipped("compression_sweep", SMALL)


@pytest.mark.slow
def test_its_tables_hold_a_row_for_each_factor_seed_and_number_of_steps(registry: Registry, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    workflow = small()
    speed = nodes_of(workflow.nodes)["speed"].body
    repetition = nodes_of(workflow.nodes)["repetition"].body
    sweep = workflow.nodes["sweep"].body
    assert speed is not None
    assert repetition is not None
    assert sweep is not None
    speed.results["pictures"] = "clock.results.images"
    repetition.results["pictures"] = "speed.pictures"
    sweep.results["pictures"] = "repetition.pictures"
    targets = ["progress_table", "progress_means", "speed_table", "speed_means", "sweep.pictures", "grid"]
    result = Engine(registry, tmp_path).run(workflow, targets=targets)

    progress, means = result.values["progress_table"], result.values["progress_means"]
    assert [row[:3] for row in progress.rows()] == [
        (factor, seed, steps) for factor in (1, 4) for seed in (0, 1) for steps in (1, 3)
    ], "steps add up"
    first = [row for row in progress.rows() if (row[0], row[2]) == (4, 3)]
    assert list(means.rows())[-1][:2] == (4, 3)
    assert means.columns["distance_mean"][-1] == pytest.approx(statistics.fmean(row[3] for row in first))
    assert means.columns["distance_deviation"][-1] == pytest.approx(statistics.stdev(row[3] for row in first))

    # What only the first stage costs: for pixels that is what other pictures of the data are away from it.
    network = SmallFeatures()
    real = network(take(Shapes(32, 32), range(32))["images"]).double().numpy()
    held_out = network(take(Shapes(32, 6, seed=1), range(6))["images"]).double().numpy()
    floors = dict(zip(progress.columns["factor"], progress.columns["first_stage"], strict=True))
    assert floors[1] == pytest.approx(frechet(real, held_out), rel=1e-2)
    assert floors[4] > floors[1]

    table = result.values["speed_table"]
    assert [row[:3] for row in table.rows()] == [
        (factor, seed, steps) for factor in (1, 4) for seed in (0, 1) for steps in (2, 1)
    ]
    pictures = [batch for factor in result.values["sweep.pictures"] for seed in factor for batch in seed]
    for batch, found in zip(pictures, table.columns["distance"], strict=True):
        assert batch.abs().max() <= 1
        assert found == pytest.approx(frechet(real, network(batch).double().numpy()), rel=1e-2)
    assert all(np.isfinite(table.columns["throughput"]))
    assert result.values["grid"].shape[1] == 3

    names = {Path(shown.path).name for shown in result.shown}
    tables = {f"compression-{of}{means}.csv" for of in ("training", "sampling") for means in ("", "-means")}
    assert names == tables | {"compression-sweep.png", "compression-pictures.png"}
    [path] = [tmp_path / s.path for s in result.shown if Path(s.path).name == "compression-sampling-means.csv"]
    with path.open(newline="") as file:
        assert [row["sampling_steps"] for row in csv.DictReader(file)] == ["2", "1", "2", "1"]


def test_pixels_are_their_own_latents_scaled() -> None:
    images = torch.rand(3, 3, 5, 7) * 2 - 1
    model = IdentityAutoencoder(per_channel_scale=True)
    torch.testing.assert_close(model.encode(images), images, rtol=0, atol=0)
    model.measure_scale(images)
    z = model.encode(images)
    torch.testing.assert_close(z.mean(dim=(0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(z.std(dim=(0, 2, 3)), torch.ones(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(model.decode(z), images, rtol=0, atol=1e-6)
    assert (model.factor, model.latent_channels) == (1, 3)
