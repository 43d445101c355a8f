"""PixArt's transformer as a graph: it trains, an adapter of it trains, it samples, and is saved and loaded."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from core.conditioning.parts import ContextMask, Vector
from core.conditioning.text_condition import text_condition
from core.data.loader import take
from core.models.pixart import PixArt
from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Engine
from graph_runner.run.failures import NodeError
from nodes.lora import save_lora
from nodes.text import batch_context
from tests.nodes import told_transformers as alike
from tests.nodes.told_transformers import run

WEIGHTS = 611_349_152
MODEL = {"hidden_size": 24, "depth": 2, "num_heads": 3, "context_dim": 8, "sample_size": 8, "sizes": True}


def graph() -> dict[str, Any]:
    size = {"type": "resolution_condition", "params": {"height": 64, "width": 96}}
    return alike.graph({"type": "pixart", "params": MODEL}, {"type": "noise_schedule"}, size, "*attn*", "dpmpp_2m")


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(Registry.installed(), tmp_path)


def test_it_trains_is_adapted_samples_and_is_saved(engine: Engine) -> None:
    alike.it_trains_is_adapted_samples_and_is_saved(engine, graph(), PixArt, "context_mask")  # as diffusers' always do


def test_a_lora_file_has_no_place_for_its_tables_in_any_naming(tmp_path: Path) -> None:
    before, after = PixArt(4, **MODEL), PixArt(4, **MODEL)
    after.load_state_dict(before.state_dict())
    with torch.no_grad():
        for name, weight in after.named_parameters():
            if name.endswith(("scale_shift_table", "cross_attn.proj.weight")):
                weight += 1
    for naming in ("kohya", "diffusers"):
        told: list[str] = []
        save_lora(lambda path: tmp_path / Path(path).name, told.append, before, after, naming=naming)
        assert len(told) == 1
        assert told[0].startswith("3 tables changed, such as ")
        assert "kohya" not in told[0]


def test_the_size_to_sample_at_is_height_width_and_their_ratio(engine: Engine) -> None:
    told = run(engine, graph(), "beside")[0]
    assert told[Vector].values.tolist() == [[64.0, 96.0, pytest.approx(64 / 96)]]


def test_only_a_t5_leaves_padding_unread(engine: Engine) -> None:
    nodes: dict[str, Any] = {
        "data": {"type": "shapes_dataset", "params": {"size": 8, "resolution": 8}},
        "words": {"type": "wordpiece_tokenizer", "params": {"length": 8}, "wires": {"data": "data"}},
        "bert": {"type": "bert_text_encoder", "params": {"dim": 8, "layers": 1}, "wires": {"tokenizer": "words"}},
        "masking": {"type": "mask_padding", "wires": {"text_encoder": "bert"}},
    }
    with pytest.raises(NodeError, match="only T5 leaves padding unread, and this is a BERTEmbedder"):
        run(engine, nodes, "masking")


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["pixart-alpha-1024"])
def test_a_dry_run_tells_what_the_published_ones_cost(preset: str) -> None:
    found = alike.published(preset, "pixart", 4)
    assert found.nodes["model"].parameters == WEIGHTS
    assert found.memory > 4 * WEIGHTS
    # Each token of the latent meets nearly all of the weights, each of them in a multiplication and an addition.
    assert 1 < found.nodes["v"].flops / (4096 * WEIGHTS) < 4


@pytest.mark.parametrize("preset", ["pixart-alpha-256", "pixart-alpha-1024", "pixart-sigma-2048"])
def test_conditions_to_measure_with_have_the_published_shapes(preset: str, engine: Engine) -> None:
    node = {"type": "preset_condition", "params": {"preset": preset, "shape": [2, 4, 32, 32]}}
    told = run(engine, {"told": node}, "told")[0]
    assert told.context.shape == (2, 300 if "sigma" in preset else 120, 4096)
    assert told[ContextMask].read.all()
    sizes = told.get(Vector)
    if "1024" in preset:
        assert sizes is not None
        assert sizes.values.tolist() == [[256.0, 256.0, 1.0]] * 2
    else:
        assert sizes is None


def test_captions_that_were_encoded_beforehand_say_what_is_read(engine: Engine) -> None:
    sys.path.append(str(Path(__file__).parents[1] / "core" / "checkpoints"))
    from tiny_pixart import pixart_pipeline

    pixart_pipeline("sigma").save_pretrained(engine.workspace / "models/p")
    nodes = {
        "model": {"type": "load_checkpoint", "params": {"path": "models/p"}},
        "data": {"type": "shapes_dataset", "params": {"size": 5, "resolution": 8}},
        "latents": {"type": "encode_dataset", "wires": {"autoencoder": "model.autoencoder", "data": "data"}},
        "told": {
            "type": "encode_captions",
            "wires": {"text_encoder": "model.text_encoder", "tokenizer": "model.tokenizer", "data": "latents"},
        },
    }
    model, words, data, null = run(engine, nodes, "model.text_encoder", "model.tokenizer", "told.data", "told.null")
    batch = take(data, [0, 3])
    found, wanted = batch_context(batch), text_condition(model, words(batch["captions"]))
    assert torch.equal(found[ContextMask].read, wanted[ContextMask].read)
    assert 0 < found[ContextMask].read.float().mean() < 0.5
    torch.testing.assert_close(found.context, wanted.context)
    assert null[ContextMask].read.sum() == 1, "of no words the end alone"
