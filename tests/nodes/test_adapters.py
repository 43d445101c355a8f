"""LoRA as a graph: an adapter trains as any model does, the model that it adapts stays, and what is merged is what was trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.checkpoints.lora import merge_lora, read_lora
from core.models.adapter import Adapter
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from graph_runner.run.failures import NodeError

UNET = {"model_channels": 8, "channel_mult": [1, 2], "num_res_blocks": 1, "attention_factors": [2], "num_heads": 2}


def graph(steps: int = 3, optimizer: str = "adamw", **adapter: Any) -> dict[str, Any]:
    """An adapter learns a denoiser on noise; a term holds it close to the model without it."""
    denoise = {"z": "zt", "t": "t"}
    return {
        "data": {"type": "shapes_dataset", "params": {"size": 8, "resolution": 8}},
        "asleep": {"type": "unet", "params": {**UNET, "context_dim": 8, "norm_groups": 4}},
        "unet0": {"type": "awakened_unet", "wires": {"model": "asleep"}},
        "adapter0": {
            "type": "lora_adapter",
            "params": {"layers": ["*attn*", "out.2"], "rank": 2, **adapter},
            "wires": {"model": "unet0"},
        },
        "embedder": {"type": "class_embedder", "params": {"classes": 3, "dim": 8}},
        "told": {"type": "class_context", "params": {"classes": [1]}, "wires": {"embedder": "embedder"}},
        "schedule": {"type": "noise_schedule"},
        "how": {"type": optimizer, "params": {"lr": 0.01}},
        "fit": {
            "type": "train",
            "params": {"steps": steps, "batch_size": 4, "ema": 0.5},
            "wires": {"data": "data", "models": {"lora": "adapter0"}},
            "body": {
                "nodes": {
                    "z0": {"type": "gaussian_noise", "params": {"shape": [4, 4, 8, 8], "seed": 3}},
                    "eps": {"type": "noise_like", "wires": {"z": "z0"}},
                    "t": {"type": "random_timesteps", "wires": {"schedule": "schedule", "z": "z0"}},
                    "zt": {
                        "type": "add_noise",
                        "wires": {"schedule": "schedule", "z0": "z0", "noise": "eps", "t": "t"},
                    },
                    "adapted": {"type": "add_lora", "wires": {"model": "unet0", "adapter": "fit.models.lora"}},
                    "new": {"type": "denoise", "wires": {"model": "adapted", "condition": "told", **denoise}},
                    "old": {"type": "denoise", "wires": {"model": "unet0", "condition": "told", **denoise}},
                    "loss": {
                        "type": "diffusion_loss",
                        "wires": {"schedule": "schedule", "prediction": "new", "z0": "z0", "noise": "eps", "t": "t"},
                    },
                    "apart": {
                        "type": "expression",
                        "params": {"formula": "(a - b) ** 2"},
                        "wires": {"values": {"a": "new", "b": "old"}},
                    },
                    "prior": {"type": "mean_loss", "wires": {"x": "apart"}},
                    "both": {
                        "type": "add_losses",
                        "params": {"weights": [1, 0.5]},
                        "wires": {"losses": ["loss", "prior"]},
                    },
                    "aim": {
                        "type": "objective",
                        "wires": {"loss": "both", "models": ["fit.models.lora"], "optimizer": "how"},
                    },
                },
                "results": {"objectives": ["aim"]},
            },
        },
        "merged": {"type": "merge_lora", "wires": {"model": "unet0", "adapter": "fit.models.lora"}},
        "z": {"type": "gaussian_noise", "params": {"shape": [2, 4, 8, 8], "seed": 9}},
        "at": {"type": "to_timestep", "params": {"t": 400}},
        "with": {"type": "add_lora", "wires": {"model": "unet0", "adapter": "fit.models.lora"}},
        **{
            name: {"type": "denoise", "wires": {"model": model, "z": "z", "t": "at", "condition": "told"}}
            for name, model in {"by_merged": "merged", "by_adapter": "with", "by_base": "unet0"}.items()
        },
    }


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan(["graph_runner.zones", "nodes", "tests.nodes.toy_models"])


@pytest.fixture
def make_engine(registry: Registry, tmp_path: Path) -> Callable[..., Engine]:
    return lambda name="w", **options: Engine(registry, tmp_path / name, **options)


def run(engine: Engine, nodes: dict[str, Any], *targets: str) -> list[Any]:
    values = engine.run(Workflow.model_validate({"loom": 1, "nodes": nodes}), targets=list(targets)).values
    return [values[target] for target in targets]


def test_it_trains_and_the_model_stays_and_more_steps_go_on_from_fewer(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine()
    base, fresh = run(engine, graph(), "unet0", "adapter0")
    before = {key: value.clone() for key, value in base.state_dict().items()}
    merged, adapted, plain = run(engine, graph(2), "by_merged", "by_adapter", "by_base")
    torch.testing.assert_close(merged, adapted, rtol=1e-4, atol=1e-5)
    assert (adapted - plain).abs().max() > 1e-4
    (lora,) = run(engine, graph(4), "fit.models.lora")
    assert isinstance(lora, Adapter)
    (straight,) = run(make_engine("other"), graph(4), "fit.models.lora")
    assert all(torch.equal(straight.state_dict()[key], value) for key, value in lora.state_dict().items())
    assert not any(factors.up.any() for _, factors in fresh.factors())
    (now,) = run(engine, graph(), "unet0")
    assert all(torch.equal(now.state_dict()[key], value) for key, value in before.items())
    kept = make_engine()
    (again,) = run(kept, graph(4), "fit.models.lora")
    assert all(torch.equal(again.state_dict()[key], value) for key, value in lora.state_dict().items())


def test_half_precision_and_another_optimizer(make_engine: Callable[..., Engine]) -> None:
    for dtype, optimizer in (("bfloat16", "lion"), ("float16", "sgd")):
        if optimizer == "lion":
            pytest.importorskip("pytorch_optimizer")
        engine = make_engine(optimizer, dtype=dtype, weights="float8")
        (lora,) = run(engine, graph(16, optimizer, dora=True, dropout=0.1), "fit.ema.lora")  # float16 finds its scale
        assert all(parameter.dtype == torch.float32 for parameter in lora.parameters())
        assert any(factors.up.any() for _, factors in lora.factors())


@pytest.mark.parametrize("naming", ["kohya", "diffusers", "peft"])
def test_what_is_saved_is_loaded_again(naming: str, make_engine: Callable[..., Engine], tmp_path: Path) -> None:
    wires = {"unet": "unet0", "adapter": "fit.models.lora"}
    params = {"naming": naming, "precision": "float32", "name": "mine"}
    save = {"save": {"type": "save_lora_adapter", "params": params, "wires": wires}}
    nodes = graph(2, alpha=3.0, rank_stabilised=True) | save
    engine = make_engine()
    base, merged = run(engine, nodes, "unet0", "merged")
    engine.run(Workflow.model_validate({"loom": 1, "nodes": nodes}), targets=["save"])
    name = "mine" if naming == "peft" else "mine.safetensors"
    loaded = merge_lora(base, read_lora(tmp_path / "w/models" / name))
    for key, value in merged.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[key], value, rtol=1e-5, atol=1e-6)


def test_what_would_lose_it_is_refused(make_engine: Callable[..., Engine]) -> None:
    nodes = graph(1)
    nodes["save"] = {"type": "save_models", "params": {"name": "m"}, "wires": {"models": {"u": "with"}}}
    with pytest.raises(NodeError, match=r"merge them first \(merge_lora\)"):
        run(make_engine(), nodes, "save")
    nodes["save"] = {"type": "save_checkpoint", "params": {"form": "diffusers"}, "wires": {"unet": "with"}}
    with pytest.raises(NodeError, match=r"merge them first \(merge_lora\)"):
        run(make_engine(), nodes, "save")
