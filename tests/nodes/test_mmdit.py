"""Stable Diffusion 3's transformer as a graph: it trains, an adapter of it trains, it samples, and is saved and loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.models.mmdit import MMDiT
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from graph_runner.run.failures import NodeError
from tests.nodes import told_transformers as alike

WEIGHTS = {
    "stable-diffusion-3.5-medium": 2_243_171_520,
}
MODEL = {"hidden_size": 16, "depth": 2, "num_heads": 2, "context_dim": 8, "vector_dim": 3, "sample_size": 8}
MODEL |= {"max_positions": 8, "dual_layers": 1}


def graph() -> dict[str, Any]:
    pooled = {"type": "vector_condition", "params": {"vectors": [[0.1, -1.0, 0.4]]}}
    flow = {"type": "rectified_flow", "params": {"shift": 3.0}}
    return alike.graph({"type": "mmdit", "params": MODEL}, flow, pooled, "*x_block.attn*", "euler")


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(Registry.installed(), tmp_path)


def test_it_trains_is_adapted_samples_and_is_saved(engine: Engine) -> None:
    alike.it_trains_is_adapted_samples_and_is_saved(engine, graph(), MMDiT)


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
    found, weights = alike.published(preset, "mmdit", 16), WEIGHTS[preset]
    assert found.nodes["model"].parameters == weights
    assert found.memory > 4 * weights
    # Each token of the latent meets about half of the weights, each of them in a multiplication and an addition.
    assert 0.5 < found.nodes["v"].flops / (4096 * weights) < 3
