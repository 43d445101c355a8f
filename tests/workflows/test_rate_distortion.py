"""The shipped rate–distortion curve, small: its numbers against numpy, and its whole rate against the variational bound's terms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Node, Workflow
from graph_runner.run.engine import Engine
from tests.workflows.changing import shipped


def small(timesteps: list[int]) -> Workflow:
    """Few pictures, and a process of 40 steps instead of 1000."""
    return shipped(
        "rate_distortion",
        {
            "shapes": {"size": 32},
            "some": {"count": 32},
            "schedule": {"timesteps": 40},
            "timesteps": {"values": timesteps},
        },
    )


def test_rate_and_distortion_are_those_of_the_formulas(registry: Registry, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    timesteps = [39, 20, 3, 0]
    workflow = small(timesteps)
    walk = workflow.nodes["walk"].body
    assert walk is not None
    walk.results |= {"each.estimate": "estimate", "each.decoded": "decoded"}
    targets = ["table", "walk.each.estimate", "walk.each.decoded", "z0", "images", "back"]
    values = Engine(registry, tmp_path).run(workflow, targets=targets).values
    table, z0 = values["table"], values["z0"].double().numpy()
    assert list(table.columns["t"]) == timesteps

    kept = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 40) ** 2)  # ᾱ_t
    snr = kept / (1 - kept)
    rate = (kept[39] * z0**2 + (1 - kept[39]) - 1 - np.log(1 - kept[39])).mean() / 2
    rates = [rate]
    for now, then, found in zip(timesteps, timesteps[1:], values["walk.each.estimate"], strict=False):
        error = ((z0 - found.double().numpy()) ** 2).mean()
        rates.append(rates[-1] + (snr[then] - snr[now]) * error / 2)
    assert table.columns["rate"] == pytest.approx([nats / np.log(2) for nats in rates], rel=1e-4)

    images = values["images"].double().numpy()

    def rmse(pictures: Any) -> float:
        seen = (pictures.double().numpy().clip(-1, 1) + 1) * 127.5
        return float(np.sqrt(((seen - (images + 1) * 127.5) ** 2).mean()))

    assert table.columns["distortion"] == pytest.approx(
        [rmse(batch) for batch in values["walk.each.decoded"]], rel=1e-4
    )
    assert table.columns["first_stage"] == pytest.approx([rmse(values["back"])] * 4, rel=1e-4)


def test_the_model_is_told_nothing_of_the_pictures(registry: Registry, tmp_path: Path) -> None:
    """Whatever it is told beforehand would cost no bits."""
    values = Engine(registry, tmp_path).run(small([39]), targets=["condition", "embedder"]).values
    embedder = values["embedder"]
    torch.testing.assert_close(values["condition"].context, embedder(embedder.indices([])))


def test_over_all_timesteps_the_rate_is_what_the_variational_bound_says(registry: Registry, tmp_path: Path) -> None:
    """Two estimates with noise of their own, of 32 pictures: the sums of their terms, decoder apart."""
    workflow = small(list(range(39, -1, -1)))
    workflow.nodes["bound"] = Node.model_validate(
        {
            "type": "variational_bound",
            "wires": {"z0": "z0", "schedule": "schedule"},
            "body": {
                "nodes": {
                    "told": {
                        "type": "denoise",
                        "wires": {"model": "unet", "z": "bound.z", "t": "bound.t", "condition": "condition"},
                    }
                },
                "results": {"prediction": "told"},
            },
        }
    )
    values = Engine(registry, tmp_path).run(workflow, targets=["table", "bound.prior", "bound.steps"]).values
    whole = float(values["bound.prior"] + values["bound.steps"])
    assert values["table"].columns["rate"][0] == pytest.approx(float(values["bound.prior"]), rel=1e-4)
    assert values["table"].columns["rate"][-1] == pytest.approx(whole, rel=0.1)
