"""Stable Diffusion 3's transformer as a graph: it trains, an adapter of it trains, it samples, and is saved and loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from core.models.mmdit import MMDiT
from graph_runner.bind.validate import errors, validate
from graph_runner.contract.registry import Registry
from graph_runner.estimate.dry import dry_run
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from graph_runner.run.failures import NodeError

WEIGHTS = {
    "stable-diffusion-3.5-medium": 2_243_171_520,
}
MODEL = {"hidden_size": 16, "depth": 2, "num_heads": 2, "context_dim": 8, "vector_dim": 3, "sample_size": 8}
MODEL |= {"max_positions": 8, "dual_layers": 1}


def training(carried: str, trained: str, *adapted: str) -> dict[str, Any]:
    """A zone that learns velocities of noise. carried: the node whose model trains; adapted: the base, where that is an adapter."""
    predicts = "fit.models.own"
    nodes: dict[str, Any] = {}
    if adapted:
        nodes["with"] = {"type": "add_lora", "wires": {"model": adapted[0], "adapter": predicts}}
    nodes |= {
        "z0": {"type": "gaussian_noise", "params": {"shape": [4, 4, 8, 8], "seed": 3}},
        "eps": {"type": "noise_like", "wires": {"z": "z0"}},
        "t": {"type": "random_timesteps", "wires": {"schedule": "schedule", "z": "z0"}},
        "zt": {"type": "add_noise", "wires": {"schedule": "schedule", "z0": "z0", "noise": "eps", "t": "t"}},
        "v": {
            "type": "denoise",
            "wires": {"model": "with" if adapted else predicts, "z": "zt", "t": "t", "condition": "told"},
        },
        "loss": {
            "type": "diffusion_loss",
            "wires": {"schedule": "schedule", "prediction": "v", "z0": "z0", "noise": "eps", "t": "t"},
        },
        "aim": {"type": "objective", "wires": {"loss": "loss", "models": [predicts], "optimizer": "how"}},
    }
    text = {name: {**node, "wires": _renamed(node.get("wires", {}), trained)} for name, node in nodes.items()}
    return {
        trained: {
            "type": "train",
            "params": {"steps": 2, "batch_size": 4},
            "wires": {"data": "data", "models": {"own": carried}},
            "body": {
                "nodes": {f"{trained}_{name}": node for name, node in text.items()},
                "results": {"objectives": [f"{trained}_aim"]},
            },
        }
    }


def _renamed(wires: dict[str, Any], zone: str) -> dict[str, Any]:
    inside = {"with", "z0", "eps", "t", "zt", "v", "loss"}

    def wire(source: Any) -> Any:
        if isinstance(source, list):
            return [wire(each) for each in source]
        return f"{zone}_{source}" if source in inside else source.replace("fit.", f"{zone}.")

    return {port: wire(source) for port, source in wires.items()}


def graph() -> dict[str, Any]:
    predicted = {"z": "z", "t": "at", "condition": "told"}
    return {
        "data": {"type": "shapes_dataset", "params": {"size": 8, "resolution": 8}},
        "schedule": {"type": "rectified_flow", "params": {"shift": 3.0}},
        "how": {"type": "adamw", "params": {"lr": 0.01}},
        "embedder": {"type": "class_embedder", "params": {"classes": 3, "dim": 8}},
        "tokens": {"type": "class_context", "params": {"classes": [1]}, "wires": {"embedder": "embedder"}},
        "pooled": {"type": "vector_condition", "params": {"vectors": [[0.1, -1.0, 0.4]]}},
        "told": {"type": "combine_conditions", "wires": {"a": "tokens", "b": "pooled"}},
        "fresh": {"type": "mmdit", "params": MODEL},
        **training("fresh", "base"),
        "lora0": {
            "type": "lora_adapter",
            "params": {"rank": 2, "layers": ["*x_block.attn*"]},
            "wires": {"model": "base.models.own"},
        },
        **training("lora0", "tuned", "base.models.own"),
        "merged": {"type": "merge_lora", "wires": {"model": "base.models.own", "adapter": "tuned.models.own"}},
        "z": {"type": "gaussian_noise", "params": {"shape": [2, 4, 8, 8], "seed": 9}},
        "at": {"type": "to_timestep", "params": {"t": 400}},
        "by_fresh": {"type": "denoise", "wires": {"model": "fresh", **predicted}},
        "by_base": {"type": "denoise", "wires": {"model": "base.models.own", **predicted}},
        "by_merged": {"type": "denoise", "wires": {"model": "merged", **predicted}},
        "drawn": {
            "type": "sample",
            "params": {"solver": "euler", "steps": 2},
            "wires": {"noise": "z", "schedule": "schedule"},
            "body": {
                "nodes": {
                    "guess": {
                        "type": "denoise",
                        "wires": {"model": "merged", "z": "drawn.z", "t": "drawn.t", "condition": "told"},
                    }
                },
                "results": {"prediction": "guess"},
            },
        },
        "save": {
            "type": "save_checkpoint",
            "params": {"name": "m"},
            "wires": {"unet": "merged", "schedule": "schedule"},
        },
        "save_for_diffusers": {
            "type": "save_checkpoint",
            "params": {"name": "d", "form": "diffusers"},
            "wires": {"unet": "merged", "schedule": "schedule"},
        },
    }


def run(engine: Engine, nodes: dict[str, Any], *targets: str) -> list[Any]:
    values = engine.run(Workflow.model_validate({"loom": 1, "nodes": nodes}), targets=list(targets)).values
    return [values[target] for target in targets]


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(Registry.installed(), tmp_path)


def test_it_trains_is_adapted_samples_and_is_saved(engine: Engine) -> None:
    fresh, base, merged, drawn = run(engine, graph(), "by_fresh", "by_base", "by_merged", "drawn")
    assert not fresh.any(), "it begins at zero"
    for before, after in ((fresh, base), (base, merged)):
        assert after.isfinite().all()
        assert (after - before).abs().max() > 1e-5
    assert drawn.isfinite().all()
    engine.run(Workflow.model_validate({"loom": 1, "nodes": graph()}))
    for path in ("models/m", "models/d/transformer"):
        nodes = {name: node for name, node in graph().items() if not name.startswith("save")} | {
            "again": {"type": "load_checkpoint", "params": {"path": path}},
            "by_it": {
                "type": "denoise",
                "wires": {"model": "again.denoiser", "z": "z", "t": "at", "condition": "told"},
            },
        }
        model, found = run(engine, nodes, "again.denoiser", "by_it")
        assert isinstance(model, MMDiT)
        torch.testing.assert_close(found, merged, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (
            {"type": "lora", "params": {"path": "l.safetensors"}, "wires": {"unet": "fresh"}},
            "takes unet, and fresh.denoiser is denoiser",
        ),
        ({"type": "save_checkpoint", "params": {"form": "compvis"}, "wires": {"unet": "fresh"}}, "this is a MMDiT"),
    ],
)
def test_what_is_a_unets_alone_is_refused_in_words(node: dict[str, Any], message: str, engine: Engine) -> None:
    nodes = {"fresh": {"type": "mmdit", "params": MODEL}, "x": node}
    with pytest.raises((NodeError, ValueError), match=message):
        engine.run(Workflow.model_validate({"loom": 1, "nodes": nodes}))


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["stable-diffusion-3.5-medium"])
def test_a_dry_run_tells_what_the_published_ones_cost(preset: str) -> None:
    shape = {"shape": [1, 16, 128, 128]}
    call = {"type": "denoise", "wires": {"model": "model", "z": "z", "t": "t", "condition": "told"}}
    nodes = {
        "model": {"type": "preset_mmdit", "params": {"preset": preset}},
        "told": {"type": "preset_condition", "params": {"preset": preset, **shape}},
        "z": {"type": "gaussian_noise", "params": shape},
        "t": {"type": "to_timestep", "params": {"t": 500}},
        "v": call,
    }
    top, problems = validate(Workflow.model_validate({"loom": 1, "nodes": nodes}), Registry.installed())
    assert errors(problems) == []
    found = dry_run(top, Path("/nowhere"))
    weights = WEIGHTS[preset]
    assert found.problems == []
    assert found.nodes["model"].parameters == weights
    assert found.memory > 4 * weights
    # Each token of the latent meets about half of the weights, each of them in a multiplication and an addition.
    assert 0.5 < found.nodes["v"].flops / (4096 * weights) < 3
