"""Likelihoods drawn as zones: the numbers of the library, by row, foreseen by a dry run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from core.diffusion.schedule import NoiseSchedule
from core.metrics.likelihood import bits_per_dim, flow_log_likelihood, variational_bound
from graph_runner.bind.validate import errors, validate
from graph_runner.estimate.dry import dry_run
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from graph_runner.run.failures import NodeError

TINY = {"in_channels": 4, "model_channels": 8, "channel_mult": [1, 2], "num_res_blocks": 1, "norm_groups": 4}


def node(type: str, params: dict[str, Any] | None = None, **wires: Any) -> dict[str, Any]:
    return {"type": type, "wires": wires, "params": params or {}}


def zone(id: str, type: str, params: dict[str, Any], denoise: dict[str, Any] | None = None) -> dict[str, Any]:
    asked = {f"{id}_eps": node("denoise", model="unet", z=f"{id}.z", t=f"{id}.t"), **(denoise or {})}
    outer = node(type, params, z0="z0", schedule="schedule")
    return {**outer, "body": {"nodes": asked, "results": {"prediction": list(asked)[-1]}}}


def graph(rows: int = 3, first_row: int = 0, **more: Any) -> Workflow:
    nodes = {
        "schedule": node("noise_schedule", {"timesteps": 6, "beta_end": 0.5}),
        "unet": node("unet", TINY | {"attention_factors": [2], "num_heads": 2}),
        "z0": node("gaussian_noise", {"shape": [rows, 4, 4, 4], "seed": 3, "first_row": first_row}),
        "bound": zone("bound", "variational_bound", {"first_row": first_row}),
        "flow": zone("flow", "flow_likelihood", {"steps": 5, "first_row": first_row}),
        "pixels": zone("pixels", "flow_likelihood", {"steps": 5, "values": 256, "first_row": first_row}),
        "snr": node("latent_snr", {"t": 3}, z="z0", schedule="schedule"),
        "told": node(
            "log_metrics", values={"bound": "bound.bits", "flow": "flow", "pixels": "pixels", "snr": "snr.snr"}
        ),
    }
    return Workflow.model_validate({"loom": 1, "nodes": nodes | more})


def test_zones_give_what_the_library_does(engine: Engine) -> None:
    outputs = [f"bound.{name}" for name in ("bits", "prior", "steps", "decoder")]
    found = engine.run(graph(), targets=[*outputs, "flow", "pixels", "unet", "z0", "told", "snr.snr"]).values
    unet, z0 = found["unet"], found["z0"]
    schedule = NoiseSchedule.linear(6, end=0.5)

    with torch.no_grad():
        exact = variational_bound(unet, z0, schedule, torch.randn_like)
        flow = flow_log_likelihood(unet, z0, schedule, torch.randn_like, steps=5)
    assert float(found["bound.prior"]) == pytest.approx(float(bits_per_dim(exact.prior, z0).mean()), rel=1e-5)
    parts = sum(float(found[name]) for name in outputs[1:])
    assert float(found["bound.bits"]) == pytest.approx(parts, rel=1e-5)
    # An untrained UNet predicts 0 wherever it is asked: no noise of the draws, and no divergence, is in the flow's number.
    assert float(found["flow"]) == pytest.approx(float(bits_per_dim(-flow, z0).mean()), rel=1e-5)
    assert float(found["pixels"]) == pytest.approx(float(found["flow"]) + 6.994, abs=0.01)
    assert float(found["snr.snr"]) > 0


def test_each_sample_has_its_own_numbers(engine: Engine) -> None:
    kinds = ("bound.bits", "flow", "pixels")
    whole = engine.run(graph(3), targets=kinds).values
    alone = [engine.run(graph(1, first_row=n), targets=kinds).values for n in range(3)]
    for kind in kinds:
        assert sum(float(each[kind]) for each in alone) / 3 == pytest.approx(float(whole[kind]), rel=1e-5)


def test_a_dry_run_foresees_them(engine: Engine, tmp_path: Path) -> None:
    top, problems = validate(graph(), engine.registry)
    assert errors(problems) == []
    assert dry_run(top, tmp_path).problems == []


def test_guidance_by_a_gradient_has_no_likelihood(engine: Engine) -> None:
    steered = {
        "scores": node("classify", classifier="classifier", z="flow.z", t="flow.t"),
        "likelihood": node("class_likelihood", scores="scores", labels="labels"),
        "slope": node("likelihood_gradient", log_likelihood="likelihood", z="flow.z"),
        "steered": node("gradient_guidance", prediction="flow_eps", gradient="slope", t="flow.t", schedule="schedule"),
    }
    more = {
        "classifier": node("noisy_classifier", TINY | {"num_classes": 3, "num_head_channels": 8, "pool": "average"}),
        "labels": node("class_labels"),
        "flow": zone("flow", "flow_likelihood", {"steps": 1}, steered),
    }
    with pytest.raises(NodeError, match="without guidance by a gradient"):
        engine.run(graph(**more), targets=["flow"])
