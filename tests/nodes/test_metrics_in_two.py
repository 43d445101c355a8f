"""Every metric, beside the turns of a training and outside of it, in two processes as in one."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from graph_runner.base import events
from graph_runner.context import Processes
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from tests.world import in_two

sys.path.append(str(Path(__file__).parents[1] / "core" / "metrics"))
from tiny_pretrained import clip, dinov2

ROWS = 8
UNET = {"in_channels": 4, "model_channels": 8, "channel_mult": [1, 2], "num_res_blocks": 1, "norm_groups": 4}


def node(type: str, params: dict[str, Any] | None = None, **wires: Any) -> dict[str, Any]:
    return {"type": type, "wires": wires, "params": params or {}}


def measured(start: str, images: str, made: str, z: str, labels: str) -> dict[str, Any]:
    """Nodes that measure, their ids beginning with `start`, and one that tells all numbers."""

    def name(id: str) -> str:
        return f"{start}_{id}"

    def bits(id: str, type: str, params: dict[str, Any]) -> dict[str, Any]:
        eps = node("denoise", model="unet", z=f"{name(id)}.z", t=f"{name(id)}.t")
        body = {"nodes": {name(f"{id}_eps"): eps}, "results": {"prediction": name(f"{id}_eps")}}
        return {**node(type, params, z0=z, schedule="schedule"), "body": body}

    both = {"real": name("real"), "generated": name("fake")}
    pair = {"images": made, "originals": images}
    scores = {"scores": name("scores"), "labels": labels}
    nodes = {
        "real": node("image_features", network="small", images=images),
        "fake": node("image_features", network="small", images=made),
        "real_dino": node("image_features", network="dino", images=images),
        "fake_dino": node("image_features", network="dino", images=made),
        "reference": node("feature_statistics", features=name("real")),
        "fid": node("frechet_distance", **both),
        "kid": node("kernel_distance", **both),
        "fd_dino": node("frechet_distance", real=name("real_dino"), generated=name("fake_dino")),
        "by_reference": node("frechet_to_statistics", statistics=name("reference"), generated=name("fake")),
        "pr": node("precision_recall", **both),
        "dc": node("density_coverage", {"neighbours": 2}, **both),
        "psnr": node("psnr", **pair),
        "ssim": node("ssim", **pair),
        "distance": node("perceptual_distance", network="haar", **pair),
        "clip": node("clip_score", {"texts": ["a red circle"]}, network="clip", images=images),
        "scores": node("classify", classifier="classifier", z=z, t="t"),
        "nll": node("classification_loss", **scores),
        "right": node("classification_accuracy", **scores),
        "bound": bits("bound", "variational_bound", {}),
        "flow": bits("flow", "flow_likelihood", {"steps": 2}),
        "snr": node("latent_snr", {"t": 2}, z=z, schedule="schedule"),
    }
    ports = {
        "pr": ["precision", "recall"],
        "dc": ["density", "coverage"],
        "bound": ["bits"],
        "snr": ["snr", "variance"],
    }
    inner = ("real", "fake", "real_dino", "fake_dino", "reference", "scores")
    told = {
        f"{id}_{port}".strip("_"): f"{name(id)}.{port}" if port else name(id)
        for id in nodes
        if id not in inner
        for port in ports.get(id, [""])
    }
    return {name(id): each for id, each in nodes.items()} | {name("told"): node("log_metrics", values=told)}


def graph(folder: Path) -> Workflow:
    step = {
        "images": node("batch_images", batch="fit.batch"),
        "labels": node("batch_labels", batch="fit.batch"),
        "z": node("encode", autoencoder="fit.models.kl", images="images"),
        "made": node("decode", autoencoder="fit.models.kl", z="z"),
        "loss": node("reconstruction_loss", {"reduction": "mean"}, a="made", b="images"),
        "objective": node("objective", loss="loss", models=["fit.models.kl"], optimizer="adam"),
        "look": {
            **node("every", {"steps": 2}),
            "body": {"nodes": measured("in", "images", "made", "z", "labels")},
        },
    }
    nodes = {
        "shapes": node("shapes_dataset", {"size": 32}),
        "kl0": node("kl_autoencoder", {"model_channels": 8, "channel_mult": [1, 1, 2], "norm_groups": 4}),
        "adam": node("adamw", {"lr": 1e-4}),
        "fit": {
            **node("train", {"steps": 2, "batch_size": ROWS}, data="shapes", models={"kl": "kl0"}),
            "body": {"nodes": step, "results": {"objectives": ["objective"]}},
        },
        "schedule": node("noise_schedule", {"timesteps": 4, "beta_end": 0.5}),
        "unet": node("unet", UNET | {"attention_factors": [], "num_heads": 2}),
        "classifier": node("noisy_classifier", UNET | {"num_classes": 24, "num_head_channels": 8, "sample_size": 8}),
        "t": node("annealed_timestep", {"iteration": 0}, schedule="schedule"),
        "small": node("small_features"),
        "haar": node("haar_network"),
        "dino": node("dinov2_network", {"path": str(folder / "dino")}),
        "clip": node("clip_score_network", {"path": str(folder / "clip")}),
        "some": node("take_batch", {"count": ROWS}, data="shapes"),
        "some_images": node("batch_images", batch="some"),
        "some_labels": node("batch_labels", batch="some"),
        "some_z": node("encode", autoencoder="fit.models.kl", images="some_images"),
        "some_made": node("decode", autoencoder="fit.models.kl", z="some_z"),
        **measured("out", "some_images", "some_made", "some_z", "some_labels"),
    }
    return Workflow.model_validate({"loom": 1, "nodes": nodes})


def in_a_world(processes: Processes) -> dict[str, Any]:
    """What was told by one process, and by both together."""
    registry = Registry.scan(["graph_runner.zones", "nodes"])
    found = {}
    for name, world in (("one", Processes()), ("two", processes)):
        if world.world == 1 and processes.rank > 0:
            continue
        workspace = Path(world.agree(tempfile.mkdtemp()))
        if world.rank == 0:
            clip(workspace / "clip")
            dinov2(workspace / "dino")
        world.agree(None)
        result = Engine(registry, workspace, processes=world).run(graph(workspace))
        told = [each for each in result.events if isinstance(each, events.Metric) and each.node.endswith("_told")]
        found[name] = {(each.node, each.turn): each.values for each in told}
    return found


@pytest.mark.slow
def test_all_metrics_are_alike_in_two_processes_and_in_one(tmp_path: Path) -> None:
    first, _ = in_two("tests.nodes.test_metrics_in_two:in_a_world", tmp_path)
    assert {node for node, _ in first["one"]} == {"in_told", "out_told"}
    assert first["one"].keys() == first["two"].keys()
    for which, wanted in first["one"].items():
        assert len(wanted) == 18, wanted
        # Means over rows that lie in other batches differ by rounding, and a Fréchet distance of few images most.
        assert first["two"][which] == pytest.approx(wanted, rel=2e-3, abs=1e-4), which
