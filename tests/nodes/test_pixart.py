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
from graph_runner.bind.validate import errors, validate
from graph_runner.contract.registry import Registry
from graph_runner.estimate.dry import dry_run
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from graph_runner.run.failures import NodeError
from nodes.lora import save_lora
from nodes.text import batch_context
from tests.nodes.test_mmdit import run, training

WEIGHTS = 611_349_152
MODEL = {"hidden_size": 24, "depth": 2, "num_heads": 3, "context_dim": 8, "sample_size": 8, "sizes": True}


def graph() -> dict[str, Any]:
    predicted = {"z": "z", "t": "at", "condition": "told"}
    return {
        "data": {"type": "shapes_dataset", "params": {"size": 8, "resolution": 8}},
        "schedule": {"type": "noise_schedule"},
        "how": {"type": "adamw", "params": {"lr": 0.01}},
        "embedder": {"type": "class_embedder", "params": {"classes": 3, "dim": 8}},
        "tokens": {"type": "class_context", "params": {"classes": [1]}, "wires": {"embedder": "embedder"}},
        "size": {"type": "resolution_condition", "params": {"height": 64, "width": 96}},
        "told": {"type": "combine_conditions", "wires": {"a": "tokens", "b": "size"}},
        "fresh": {"type": "pixart", "params": MODEL},
        **training("fresh", "base"),
        "lora0": {
            "type": "lora_adapter",
            "params": {"rank": 2, "layers": ["*attn*"]},
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
            "params": {"solver": "dpmpp_2m", "steps": 3},
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
        model = run(engine, nodes, "again.denoiser")[0]
        assert isinstance(model, PixArt)
        if model.config["masked"]:  # as diffusers' always are
            with pytest.raises(NodeError, match="needs context_mask"):
                run(engine, nodes, "by_it")
        else:
            torch.testing.assert_close(run(engine, nodes, "by_it")[0], merged, rtol=0, atol=1e-6)


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
    told = run(engine, graph(), "size")[0]
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
    shape = {"shape": [1, 4, 128, 128]}
    nodes = {
        "model": {"type": "preset_pixart", "params": {"preset": preset}},
        "told": {"type": "preset_condition", "params": {"preset": preset, **shape}},
        "z": {"type": "gaussian_noise", "params": shape},
        "t": {"type": "to_timestep", "params": {"t": 500}},
        "v": {"type": "denoise", "wires": {"model": "model", "z": "z", "t": "t", "condition": "told"}},
    }
    top, problems = validate(Workflow.model_validate({"loom": 1, "nodes": nodes}), Registry.installed())
    assert errors(problems) == []
    found = dry_run(top, Path("/nowhere"))
    assert found.problems == []
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
