"""Graphs with other noise processes than betas: trained, sampled, inverted and walked with the nodes that betas have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from core.diffusion.edm import EDM
from core.diffusion.flow import RectifiedFlow
from core.diffusion.process import Process
from core.losses.diffusion import diffusion_loss
from graph_runner.bind.validate import validate
from graph_runner.contract.registry import Registry
from graph_runner.estimate.dry import dry_run
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from graph_runner.run.failures import NodeError
from nodes.wires import ScheduleCodec
from tests.nodes.samples import PARAMS
from tests.outside.package.loom_outside.cosine_flow import CosineFlow

KINDS: dict[str, tuple[dict[str, Any], Process]] = {
    "rectified_flow": ({"density": "logit_normal", "shift": 2}, RectifiedFlow(2, "logit_normal")),
    "edm": ({"sigma_data": 0.5}, EDM(sigma_data=0.5)),
    "cosine_flow": ({}, CosineFlow()),  # of somebody else's package
}
OUTSIDE = "tests.outside.package.loom_outside.cosine_flow"
REGISTRY = Registry.scan(["graph_runner.zones", "nodes", "tests.nodes.toy_models", OUTSIDE])
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(REGISTRY, tmp_path)


def node(type: str, params: dict[str, Any] | None = None, **wires: Any) -> dict[str, Any]:
    return {"type": type, "params": params or {}, "wires": wires}


def graph(kind: str, **more: Any) -> Workflow:
    parts = {
        "schedule": node(kind, KINDS[kind][0]),
        "noise": node("gaussian_noise", {"shape": [2, 4, 8, 8], "seed": 7}),
        "z0": node("gaussian_noise", {"shape": [2, 4, 8, 8], "seed": 5}),
        **more,
    }
    return Workflow.model_validate({"loom": 1, "nodes": parts})


def zone(zone_type: str, id: str, params: dict[str, Any] | None = None, **wires: Any) -> dict[str, Any]:
    """A zone around the exact denoiser of normal data of deviation ½."""
    exact = node("gaussian_denoiser", z=f"{id}.z", t=f"{id}.t", schedule="schedule")
    body = {"nodes": {f"{id}_exact": exact}, "results": {"prediction": f"{id}_exact"}}
    return node(zone_type, params, schedule="schedule", **wires) | {"body": body}


@every_kind
def test_a_denoiser_is_trained_and_sampled_with_it(engine: Engine, tmp_path: Path, kind: str) -> None:
    inside = {
        "latents": node("batch_latents", batch="diffusion.batch"),
        "t": node("random_timesteps", schedule="schedule", z="latents"),
        "eps": node("noise_like", z="latents"),
        "zt": node("add_noise", schedule="schedule", z0="latents", noise="eps", t="t"),
        "p": node("unet_denoise", model="diffusion.models.unet", z="zt", t="t"),
        "loss": node("diffusion_loss", schedule="schedule", prediction="p", z0="latents", noise="eps", t="t"),
        "goal": node("objective", loss="loss", models=["diffusion.models.unet"], optimizer="optimizer"),
    }
    trained = node("train", {"steps": 3, "batch_size": 4}, data="data", models={"unet": "unet0"})
    prediction = node("unet_denoise", model="diffusion.models.unet", z="sample.z", t="sample.t")
    sampled = node("sample", {"steps": 2, "solver": "heun"}, schedule="schedule", noise="noise")
    workflow = graph(
        kind,
        shapes=node("shapes_dataset", {"size": 32, "resolution": 32}),
        autoencoder=node("kl_autoencoder", PARAMS["kl_autoencoder"] | {"channel_mult": [1, 1, 1]}),
        data=node("encode_dataset", {"batch_size": 32}, autoencoder="autoencoder", data="shapes"),
        unet0=node("unet", PARAMS["unet"]),
        optimizer=node("adamw"),
        diffusion=trained | {"body": {"nodes": inside, "results": {"objectives": ["goal"]}}},
        sample=sampled | {"body": {"nodes": {"q": prediction}, "results": {"prediction": "q"}}},
        decoded=node("decode", autoencoder="autoencoder", z="sample"),
        saved=node("save_image", images="decoded"),
    )
    top, problems = validate(workflow, REGISTRY)
    assert problems == []
    estimated = dry_run(top, tmp_path)
    assert estimated.problems == []
    assert "2×4×8×8" in estimated.nodes["sample"].gives.values()
    values = engine.run(workflow, targets=["sample", "schedule"]).values
    assert values["schedule"] == KINDS[kind][1]
    assert values["sample"].isfinite().all()
    assert ScheduleCodec().load(ScheduleCodec().save(values["schedule"])) == values["schedule"]


@every_kind
def test_the_nodes_compute_what_the_process_says(engine: Engine, kind: str) -> None:
    at = {"z": "zt", "t": "t", "schedule": "schedule"}
    workflow = graph(
        kind,
        t=node("random_timesteps", schedule="schedule", z="z0"),
        zt=node("add_noise", schedule="schedule", z0="z0", noise="noise", t="t"),
        p=node("gaussian_denoiser", **at),
        loss=node(
            "diffusion_loss",
            {"weighting": "min_snr"},
            schedule="schedule",
            prediction="p",
            z0="z0",
            noise="noise",
            t="t",
        ),
        estimate=node("estimate_z0", prediction="p", **at),
        score=node("score", prediction="p", **at),
    )
    values = engine.run(workflow, targets=["t", "zt", "p", "loss", "estimate", "score", "z0", "noise"]).values
    process = KINDS[kind][1]
    z0, noise, t, p = (values[name] for name in ("z0", "noise", "t", "p"))
    signal, rate = process.rates(t, like=z0)
    torch.testing.assert_close(values["zt"], signal * z0 + rate * noise)
    torch.testing.assert_close(values["loss"], diffusion_loss(p, z0, noise, t, process, weighting="min_snr"))
    exact = 0.25 * signal * values["zt"] / (0.25 * signal**2 + rate**2)
    torch.testing.assert_close(values["estimate"], exact, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(values["score"], -(values["zt"] - signal * exact) / rate**2, atol=1e-3, rtol=1e-3)


@every_kind
def test_sampling_undoes_inversion(engine: Engine, kind: str) -> None:
    workflow = graph(
        kind,
        half=node("sample_half", z="z0"),
        noising=zone("invert", "noising", {"steps": 150}, z0="half"),
        sample=zone("sample", "sample", {"steps": 150}, noise="noising"),
    )
    values = engine.run(workflow, targets=["half", "noising", "sample"]).values
    assert float((values["sample"] - values["half"]).abs().max()) < 0.12
    assert 0.8 < float(values["noising"].std()) < 1.2


@every_kind
def test_image_to_image_starts_near_the_picture(engine: Engine, kind: str) -> None:
    image = zone("sample", "sample", {"steps": 20, "strength": 0.1, "solver": "euler"}, noise="noise", z0="z0")
    values = engine.run(graph(kind, sample=image), targets=["sample", "z0"]).values
    assert float((values["sample"] - values["z0"]).abs().mean()) < 0.5


@every_kind
def test_langevin_dynamics_walks_down_the_levels(engine: Engine, kind: str) -> None:
    """100 turns at 10 levels: from noise to near the data's deviation ½, at the scale that z has at the last level."""
    inside = {
        "t": node(
            "annealed_timestep", {"levels": 10, "per_level": 10}, schedule="schedule", iteration="walk.iteration"
        ),
        "p": node("gaussian_denoiser", z="walk.state.z", t="t", schedule="schedule"),
        "s": node("score", prediction="p", z="walk.state.z", t="t", schedule="schedule"),
        "z": node("langevin_step", {"ratio": 0.5}, z="walk.state.z", score="s", t="t", schedule="schedule"),
    }
    walk = node("repeat", {"iterations": 100}, state={"z": "noise"}) | {
        "body": {"nodes": inside, "results": {"z": "z"}}
    }
    values = engine.run(graph(kind, walk=walk), targets=["walk.z"]).values
    process = KINDS[kind][1]
    last = process.level(process.timestep_at(process.least))
    assert 0.2 < float(values["walk.z"].std()) / last.signal < 1.2


@every_kind
def test_what_is_not_defined_for_it_is_refused_with_the_node(engine: Engine, kind: str) -> None:
    name = type(KINDS[kind][1]).__name__
    for params, message in (
        ({"solver": "lcm"}, f"not for {name}: choose one of ddim"),
        ({"spacing": "leading"}, f"which {name} has not: choose one of trailing"),
    ):
        with pytest.raises(NodeError, match=message) as refused:
            engine.run(graph(kind, sample=zone("sample", "sample", params, noise="noise")), targets=["sample"])
        assert refused.value.node == "sample"
    saved = node("save_checkpoint", {"form": "compvis"}, unet="unet", schedule="schedule")
    with pytest.raises(NodeError, match=f"'compvis' says a noise process by its betas, and {name} has none"):
        engine.run(graph(kind, unet=node("unet", PARAMS["unet"]), saved=saved))


@pytest.mark.parametrize("kind", ["rectified_flow", "edm"])
def test_our_checkpoints_keep_it(engine: Engine, kind: str) -> None:
    saved = node("save_checkpoint", {"name": "m"}, unet="unet", schedule="schedule")
    engine.run(graph(kind, unet=node("unet", PARAMS["unet"]), saved=saved))
    parts = {"model": node("load_checkpoint", {"path": "models/m"})}
    loaded = engine.run(Workflow.model_validate({"loom": 1, "nodes": parts}), targets=["model.schedule"])
    assert loaded.values["model.schedule"] == KINDS[kind][1]
