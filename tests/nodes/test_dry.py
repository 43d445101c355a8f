"""The dry run on graphs of real nodes: shapes from end to end, the fused guidance's cost, and a wrong shape told beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from graph_runner.bind.validate import errors, validate
from graph_runner.context import Rng
from graph_runner.contract.registry import Registry
from graph_runner.estimate.dry import Estimate, dry_run
from graph_runner.format.workflow import Workflow, load
from graph_runner.run.engine import Engine
from nodes.data import encode_dataset, shapes_dataset
from nodes.models import kl_autoencoder, unet

ROOT = Path(__file__).parents[2]
UNET: dict[str, Any] = {"model_channels": 16, "channel_mult": [1, 2], "num_res_blocks": 1, "norm_groups": 8}
LEFT_OPEN = {"compression_sweep": {"grid", "save_grid"}}
"""A labelled grid is as large as its labels ask for, and what they are only the run will say."""
NEEDS_FILES = {
    "sample",
    "langevin",
    "ddim_by_hand",
    "heun_by_hand",
    "slerp",
    "guidance_interval",
    "guidance_sweep",
    "sdedit",
    "attention_places",
    "autoguidance",
    "consistency_distillation",
    "dreambooth",
    "textual_inversion",
    "flow_by_hand",
    "inversion_edit",
    "posterior_sampling",
    "progressive_distillation",
    "cascade",
    "rate_distortion",
    "repaint",
    "classifier_guidance",
    "image_guidance",
    "stable_diffusion",
    "stable_diffusion_xl",
    "stable_diffusion_3",
    "pixart_sigma",
    "pixart_alpha",
    "stable_diffusion_controlnet",
    "stable_diffusion_ip_adapter",
    "controlnet",
    "instruct_pix2pix",
    "depth_to_image",
    "stable_diffusion_upscaler",
    "unclip",
    "images_folder",
    "captioned_pictures",
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.installed()


def estimate(workflow: Workflow, registry: Registry) -> Estimate:
    top, problems = validate(workflow, registry)
    assert errors(problems) == []
    return dry_run(top, Path("/nowhere"))


def sampling(shape: list[int], **unet: Any) -> Workflow:
    call = {"type": "denoise", "wires": {"model": "unet", "z": "sample.z", "t": "sample.t"}}
    nodes = {
        "unet": {"type": "unet", "params": UNET | unet},
        "schedule": {"type": "noise_schedule"},
        "noise": {"type": "gaussian_noise", "params": {"shape": shape}},
        "sample": {
            "type": "sample",
            "params": {"steps": 20},
            "wires": {"noise": "noise", "schedule": "schedule"},
            "body": {"nodes": {"denoise": call}, "results": {"prediction": "denoise"}},
        },
        "autoencoder": {"type": "kl_autoencoder"},
        "decoded": {"type": "decode", "wires": {"autoencoder": "autoencoder", "z": "sample"}},
        "grid": {"type": "image_grid", "wires": {"images": "decoded"}},
        "save": {"type": "save_image", "wires": {"images": "grid"}},
    }
    return Workflow.model_validate({"loom": 1, "nodes": nodes})


def test_the_cost_of_sampling_is_what_pytorch_counts_for_one_step_times_the_steps(registry: Registry) -> None:
    found = estimate(sampling([2, 4, 8, 8]), registry)
    assert not found.problems
    assert found.nodes["sample"].gives == {"latent": "2×4×8×8"}
    assert found.nodes["denoise"].runs == 20
    model = unet(Rng(0), **UNET)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(torch.zeros(2, 4, 8, 8), torch.zeros(2))
    # Attention on a CPU is not among what PyTorch counts.
    assert counter.get_total_flops() <= found.nodes["denoise"].flops / 20 <= 1.1 * counter.get_total_flops()
    assert found.nodes["unet"].parameters == sum(p.numel() for p in model.parameters())


def test_a_wrong_shape_is_told_before_the_run_and_by_its_node(registry: Registry) -> None:
    (problem,) = estimate(sampling([2, 3, 8, 8]), registry).problems
    assert problem.node == "denoise"
    assert "3" in problem.message
    assert "4" in problem.message


def test_a_model_in_a_file_is_read_for_its_shapes(registry: Registry, tmp_path: Path) -> None:
    first = {"type": "kl_autoencoder", "params": {"model_channels": 16, "norm_groups": 8}}
    save = {"type": "save_models", "wires": {"models": {"first": "first"}}, "params": {"name": "m"}}
    Engine(registry, tmp_path).run(Workflow.model_validate({"loom": 1, "nodes": {"first": first, "save": save}}))
    (file,) = (tmp_path / "models").rglob("first*")
    nodes = {
        "first": {"type": "load_autoencoder", "params": {"path": str(file)}},
        "noise": {"type": "gaussian_noise", "params": {"shape": [2, 4, 8, 8]}},
        "wrong": {"type": "gaussian_noise", "params": {"shape": [2, 5, 8, 8]}},
        "image": {"type": "decode", "wires": {"autoencoder": "first", "z": "noise"}},
        "misfit": {"type": "decode", "wires": {"autoencoder": "first", "z": "wrong"}},
        "grid": {"type": "image_grid", "wires": {"images": "image"}},
    }
    found = estimate(Workflow.model_validate({"loom": 1, "nodes": nodes}), registry)
    assert found.nodes["image"].gives["image"].startswith("2×3×")
    assert found.memory > 4 * found.nodes["first"].parameters > 0
    assert [problem.node for problem in found.problems] == ["misfit"]


def test_an_encoded_data_set_is_told_whole_from_one_batch(registry: Registry) -> None:
    nodes = {
        "shapes": {"type": "shapes_dataset", "params": {"size": 100, "resolution": 16}},
        "autoencoder": {"type": "kl_autoencoder", "params": {"model_channels": 16, "norm_groups": 8}},
        "latents": {
            "type": "encode_dataset",
            "params": {"batch_size": 10},
            "wires": {"autoencoder": "autoencoder", "data": "shapes"},
        },
        "batch": {"type": "take_batch", "params": {"count": 64}, "wires": {"data": "latents"}},
        "z": {"type": "batch_latents", "wires": {"batch": "batch"}},
        "again": {"type": "decode", "wires": {"autoencoder": "autoencoder", "z": "z"}},
        "grid": {"type": "image_grid", "wires": {"images": "again"}},
    }
    found = estimate(Workflow.model_validate({"loom": 1, "nodes": nodes}), registry)
    assert not found.problems
    assert found.nodes["z"].gives["latent"].startswith("64×")
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        rng = Rng(0)
        encode_dataset(
            kl_autoencoder(rng, model_channels=16, norm_groups=8),
            shapes_dataset(size=100, resolution=16),
            torch.device("cpu"),
            lambda done, total: None,
            batch_size=10,
        )
    assert found.nodes["latents"].flops == pytest.approx(counter.get_total_flops(), rel=0.1)


def prompted(data: str, length: int, *prompts: str) -> dict[str, Any]:
    """Prompts through a tokenizer that is made of the captions of some data."""
    return {
        "tokenizer": {"type": "wordpiece_tokenizer", "wires": {"data": data}, "params": {"length": length}},
        "encoder": {
            "type": "bert_text_encoder",
            "wires": {"tokenizer": "tokenizer"},
            "params": {"dim": 64, "layers": 1},
        },
        "prompt": {
            "type": "text_context",
            "wires": {"text_encoder": "encoder", "tokenizer": "tokenizer"},
            "params": {"prompts": [*prompts]},
        },
    }


def test_a_tokenizer_of_encoded_captions_knows_their_words(registry: Registry) -> None:
    nodes = {
        "shapes": {"type": "shapes_dataset", "params": {"size": 400, "resolution": 16, "objects": 2}},
        "autoencoder": {"type": "kl_autoencoder", "params": {"model_channels": 16, "norm_groups": 8}},
        "latents": {"type": "encode_dataset", "wires": {"autoencoder": "autoencoder", "data": "shapes"}},
        "parts": {"type": "hold_out", "params": {"combinations": ["red circle"]}, "wires": {"data": "latents"}},
        **prompted("parts.training", 10, "a red circle left of a blue square", "a purple cross above a cyan triangle"),
    }
    (told,) = estimate(Workflow.model_validate({"loom": 1, "nodes": nodes}), registry).problems
    assert (told.node, told.severity) == ("prompt", "warning")
    assert "“purple”" in told.message
    assert "“left”" not in told.message


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((ROOT / "workflows").glob("*.json")), ids=lambda path: path.stem)
def test_every_shipped_workflow_goes_through_dry(path: Path, registry: Registry) -> None:
    if path.stem in NEEDS_FILES:
        pytest.skip("it reads files that another workflow writes")
    found = estimate(load(path), registry)
    assert not found.problems
    left_open = {id for id, node in found.nodes.items() if node.open and node.open != "it only has an effect"}
    assert left_open == LEFT_OPEN.get(path.stem, set())
    assert found.flops > 1e9


def test_what_of_a_prompt_is_not_understood_is_told_beforehand(registry: Registry) -> None:
    nodes = {
        "shapes": {"type": "shapes_dataset", "params": {"size": 64}},
        **prompted("shapes", 6, "a red circle", "a purple circle of a red and a blue square <lora:x:1>"),
    }
    found = estimate(Workflow.model_validate({"loom": 1, "nodes": nodes}), registry)
    assert {(problem.node, problem.severity) for problem in found.problems} == {("prompt", "warning")}
    told = " ".join(problem.message for problem in found.problems)
    for word in ("“<lora:x:1>”", "is lost", "“purple”"):
        assert word in told


def test_of_a_loop_over_what_a_missing_file_gives_only_the_file_is_told(registry: Registry) -> None:
    nodes = {
        "each": {
            "type": "for_each",
            "params": {"over": {"power": [1, 2]}},
            "body": {
                "nodes": {
                    "picture": {"type": "load_image", "params": {"path": "missing.png"}},
                    "size": {"type": "mean", "wires": {"x": "picture"}},
                },
                "results": {"size": "size", "power": "each.item.power"},
            },
        },
        "table": {"type": "table", "wires": {"columns": {"size": "each.size", "power": "each.power"}}},
        "save": {"type": "save_table", "wires": {"table": "table"}},
    }
    found = estimate(Workflow.model_validate({"loom": 1, "nodes": nodes}), registry)
    assert [problem.node for problem in found.problems] == ["picture"]
    assert found.nodes["table"].open == "what it reads is not known"
