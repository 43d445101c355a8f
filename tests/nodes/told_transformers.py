"""A transformer that is told a text (MMDiT, PixArt) as a graph: it trains, an adapter of it trains, it samples, and is saved and loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from graph_runner.bind.validate import errors, validate
from graph_runner.contract.registry import Registry
from graph_runner.estimate.dry import Estimate, dry_run
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from graph_runner.run.failures import NodeError

Node = dict[str, Any]


def graph(model: Node, schedule: Node, beside: Node, layers: str, solver: str) -> dict[str, Any]:
    """model: makes it. beside: a condition that it is told with its tokens, of 8 numbers. layers: that its adapter names."""
    predicted = {"z": "z", "t": "at", "condition": "told"}
    return {
        "data": {"type": "shapes_dataset", "params": {"size": 8, "resolution": 8}},
        "schedule": schedule,
        "how": {"type": "adamw", "params": {"lr": 0.01}},
        "embedder": {"type": "class_embedder", "params": {"classes": 3, "dim": 8}},
        "tokens": {"type": "class_context", "params": {"classes": [1]}, "wires": {"embedder": "embedder"}},
        "beside": beside,
        "told": {"type": "combine_conditions", "wires": {"a": "tokens", "b": "beside"}},
        "fresh": model,
        **training("fresh", "base"),
        "lora0": {
            "type": "lora_adapter",
            "params": {"rank": 2, "layers": [layers]},
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
            "params": {"solver": solver, "steps": 3},
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


def run(engine: Engine, nodes: dict[str, Any], *targets: str) -> list[Any]:
    values = engine.run(Workflow.model_validate({"loom": 1, "nodes": nodes}), targets=list(targets)).values
    return [values[target] for target in targets]


def it_trains_is_adapted_samples_and_is_saved(engine: Engine, text: dict[str, Any], kind: type, *needs: str) -> None:
    """text: a `graph`. kind: its model's. needs: parts of a condition that the model needs once it was saved for diffusers."""
    fresh, base, merged, drawn = run(engine, text, "by_fresh", "by_base", "by_merged", "drawn")
    assert not fresh.any(), "it begins at zero"
    for before, after in ((fresh, base), (base, merged)):
        assert after.isfinite().all()
        assert (after - before).abs().max() > 1e-5
    assert drawn.isfinite().all()
    engine.run(Workflow.model_validate({"loom": 1, "nodes": text}))
    for path in ("models/m", "models/d/transformer"):
        nodes = {name: node for name, node in text.items() if not name.startswith("save")} | {
            "again": {"type": "load_checkpoint", "params": {"path": path}},
            "by_it": {
                "type": "denoise",
                "wires": {"model": "again.denoiser", "z": "z", "t": "at", "condition": "told"},
            },
        }
        assert isinstance(run(engine, nodes, "again.denoiser")[0], kind)
        if needs and path != "models/m":
            with pytest.raises(NodeError, match=f"needs {', '.join(needs)}"):
                run(engine, nodes, "by_it")
        else:
            torch.testing.assert_close(run(engine, nodes, "by_it")[0], merged, rtol=0, atol=1e-6)


def published(preset: str, kind: str, channels: int) -> Estimate:
    """What a dry run tells of one call of a published model, named "model", for a latent of 128 × 128: in "v"."""
    shape = {"shape": [1, channels, 128, 128]}
    nodes = {
        "model": {"type": f"preset_{kind}", "params": {"preset": preset}},
        "told": {"type": "preset_condition", "params": {"preset": preset, **shape}},
        "z": {"type": "gaussian_noise", "params": shape},
        "t": {"type": "to_timestep", "params": {"t": 500}},
        "v": {"type": "denoise", "wires": {"model": "model", "z": "z", "t": "t", "condition": "told"}},
    }
    top, problems = validate(Workflow.model_validate({"loom": 1, "nodes": nodes}), Registry.installed())
    assert errors(problems) == []
    found = dry_run(top, Path("/nowhere"))
    assert found.problems == []
    return found
