"""The paper's tasks as shipped graphs: valid, canonical, and running on small models."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.checkpoints.compvis import save_compvis
from core.checkpoints.diffusers_folder import load_diffusers
from graph_runner.base import events
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Node, Workflow, load, walk
from graph_runner.run.engine import Engine, Result
from graph_runner.run.failures import NodeError
from tests.workflows.changing import change_what_they_have
from tests.workflows.conftest import Check

sys.path.append(str(Path(__file__).parents[1] / "core" / "checkpoints"))
from tiny_pipelines import PIPELINES, PROMPTS, SCALE, STEPS

WORKFLOWS = Path(__file__).parents[2] / "workflows"
TRAINED_WITH = {  # what the denoiser's training also trains, and what the run shows
    "text_to_image": ("text", {"text_to_image.png", "samples.png", "reconstructions.png"}),
    "text_relations": ("text", {"text_relations.png", "reconstructions.png"}),
    "layout_to_image": ("text", {"layouts.png", "typed_layout.png"}),
    "semantic_synthesis": ("rescaler", {"semantic_synthesis.png"}),
    "super_resolution": ("", {"super_resolution.png"}),
    "inpainting": ("", {"inpainting.png"}),
}
TASKS = [
    *TRAINED_WITH,
    "vq_autoencoder",
    "image_guidance",
    "classifier_guidance",
    "stable_diffusion",
    "stable_diffusion_xl",
    "stable_diffusion_3",
    "pixart_sigma",
    "pixart_alpha",
    "stable_diffusion_controlnet",
    "stable_diffusion_ip_adapter",
    "instruct_pix2pix",
    "depth_to_image",
    "stable_diffusion_upscaler",
    "unclip",
    "published_model",
]
FIRST_STAGE = ("autoencoder0", "discriminator0", "autoencoder_optimizer", "discriminator_optimizer")
FIRST_STAGE += ("autoencoder", "first_stage")
SMALL: dict[str, dict[str, Any]] = {
    "shapes": {"size": 64},
    "scenes": {"size": 64},
    "ones": {"size": 64},
    "twos": {"size": 64},
    "unseen": {"size": 16},
    "autoencoder0": {"model_channels": 8, "norm_groups": 4},
    "discriminator0": {"base_channels": 4},
    "autoencoder": {"steps": 2, "batch_size": 4},
    "first_stage": {"samples": 8},
    "tokenizer": {"samples": 16},
    "text0": {"dim": 16, "layers": 1},
    "unet0": {"model_channels": 8, "num_heads": 2, "norm_groups": 4},
    "unet_optimizer": {"weight_decay": 0.0, "warmup": 0},
    "diffusion": {"steps": 4, "batch_size": 4},
    "classifier0": {"model_channels": 8, "num_head_channels": 8, "norm_groups": 4},
    "training": {"steps": 2, "batch_size": 4},
    "sample": {"steps": 2},
    "sample_again": {"steps": 2},
    "sample_typed": {"steps": 2},
}


@pytest.fixture
def engine(registry: Registry, tmp_path: Path) -> Engine:
    return Engine(registry, tmp_path / "workspace")


def nodes_of(nodes: dict[str, Node]) -> dict[str, Node]:
    """Every node by its id, those in bodies too."""
    return dict(walk(nodes))


def changed(name: str, changes: dict[str, dict[str, Any]]) -> Workflow:
    """A shipped workflow with parameters changed, where it has them, and as wide a context as the small text transformer's."""
    workflow = load(WORKFLOWS / f"{name}.json")
    change_what_they_have(walk(workflow.nodes), changes)
    if "unet0" in workflow.nodes and "context_dim" in workflow.nodes["unet0"].params:
        workflow.nodes["unet0"].params["context_dim"] = SMALL["text0"]["dim"]
    return workflow


def shown(result: Result) -> set[str]:
    return {Path(file.path).name for file in result.shown}


def metrics(result: Result, node: str) -> list[dict[str, float]]:
    return [event.values for event in result.events if isinstance(event, events.Metric) and event.node == node]


@pytest.mark.parametrize("name", TASKS)
def test_the_file_says_what_it_shows(name: str) -> None:
    workflow = load(WORKFLOWS / f"{name}.json")
    assert workflow.exposed.outputs
    assert any(place.kind == "note" and place.text for place in workflow.layout.values())


@pytest.mark.parametrize(
    ("name", "like"),
    [(name, "quickstart") for name in ("text_to_image", "super_resolution", "inpainting")]
    + [("layout_to_image", "semantic_synthesis")],
)
def test_a_first_stage_is_trained_once_for_all_that_share_it(name: str, like: str) -> None:
    """Equal nodes have equal keys: those of single shapes share the quickstart's, those of scenes another one."""
    ours, theirs = load(WORKFLOWS / f"{name}.json"), load(WORKFLOWS / f"{like}.json")
    data = ours.nodes["autoencoder"].wires["data"]
    for id in (data, *FIRST_STAGE, "schedule"):
        assert ours.nodes[id] == theirs.nodes[id], f"{id} differs from that of {like}"


@pytest.mark.parametrize("name", TRAINED_WITH)
def test_it_trains_both_stages_and_what_reads_the_condition_samples_and_saves(
    name: str, engine: Engine, golden: Check
) -> None:
    conditioner, files = TRAINED_WITH[name]
    models = ["unet"] + ([conditioner] if conditioner else [])
    targets = [f"{stage}.{which}" for stage in ("diffusion.models", "diffusion.ema") for which in models]
    result = engine.run(changed(name, SMALL), targets=[*targets, *(f"{model}0" for model in models), "decoded"])
    assert files - {"samples.png", "reconstructions.png"} <= shown(result)
    assert torch.isfinite(result.values["decoded"]).all()
    for model in models:
        before, after = (result.values[id].state_dict() for id in (f"{model}0", f"diffusion.models.{model}"))
        assert any(not torch.equal(before[key], after[key]) for key in before), f"{model} does not learn"
    golden(name, result)
    kept = engine.workspace / "models" / name
    assert (kept / "unet.safetensors").exists()
    assert (kept / "conditioner.safetensors").exists() == bool(conditioner)


def test_a_saved_text_to_image_model_draws_the_same_again(engine: Engine) -> None:
    """load_checkpoint reads what save_checkpoint wrote, tokenizer and all, in the graph made for Stable Diffusion."""
    trained = engine.run(changed("text_to_image", SMALL), targets=["decoded", "prompts"]).values
    again = changed(
        "stable_diffusion",
        {
            "model": {"path": "models/text_to_image"},
            "prompt": {"prompts": trained["prompts"]},
            "noise": {"shape": [8, 4, 8, 8], "seed": 7},
            "sample": {"steps": 2},
            "guide": {"scale": 3},
        },
    )
    torch.testing.assert_close(engine.run(again, targets=["decoded"]).values["decoded"], trained["decoded"])


def test_a_codebook_is_trained_and_its_use_reported(engine: Engine, golden: Check) -> None:
    result = engine.run(changed("vq_autoencoder", SMALL | {"autoencoder": {"steps": 3, "batch_size": 4}}))
    [inside], [at_the_end] = metrics(result, "codebook"), metrics(result, "numbers")
    assert inside.keys() == {"used", "perplexity"}
    assert 0 < at_the_end["used"] <= 1
    assert 1 <= at_the_end["perplexity"] <= 256
    assert "vq_reconstructions.png" in shown(result)
    golden("vq_autoencoder", result)


def test_image_guidance_pulls_samples_towards_the_picture(engine: Engine, golden: Check) -> None:
    """With the quickstart's models untrained: the gradient's path is what is tested, not the pictures."""
    quickstart = load(WORKFLOWS / "quickstart.json").nodes
    saved = {
        "autoencoder": quickstart["autoencoder0"].model_dump(exclude_defaults=True),
        "unet": quickstart["unet0"].model_dump(exclude_defaults=True),
        "embedder": quickstart["embedder0"].model_dump(exclude_defaults=True),
        "keep": {"type": "save_models", "params": {"name": "quickstart"}, "wires": {"models": {}}},
    }
    saved["keep"]["wires"]["models"] = {name: name for name in ("autoencoder", "unet", "embedder")}
    engine.run(Workflow.model_validate({"loom": 1, "nodes": saved}))
    result = engine.run(changed("image_guidance", {"sample": {"steps": 4}, "free": {"steps": 4}}))
    [numbers] = metrics(result, "numbers")
    assert numbers["guided"] > numbers["unguided"]
    assert "image_guidance.png" in shown(result)
    golden("image_guidance", result)


@torch.no_grad()
def their_pictures(pipeline: nn.Module, noise: Tensor) -> Tensor:
    options = {"num_inference_steps": STEPS, "guidance_scale": SCALE, "latents": noise}
    images: Tensor = pipeline(PROMPTS, height=64, width=64, output_type="pt", **options).images
    return images * 2 - 1


@pytest.mark.parametrize("kind", ["Stable Diffusion 1", "Stable Diffusion 2", "LDM text"])
def test_a_diffusers_folder_gives_the_pipelines_picture(kind: str, engine: Engine, tmp_path: Path) -> None:
    """Pixels in [-1, 1] to 1e-3, from the same noise, tokenizer and text encoder included."""
    pipeline = PIPELINES[kind](tmp_path)
    pipeline.save_pretrained(engine.workspace / "models" / "stable-diffusion")
    channels = 3 if kind == "LDM text" else 4
    graph = changed(
        "stable_diffusion",
        {
            "prompt": {"prompts": PROMPTS},
            "noise": {"shape": [len(PROMPTS), channels, 8, 8]},
            "sample": {"steps": STEPS},
            "guide": {"scale": SCALE},
        },
    )
    result = engine.run(graph, targets=["decoded", "noise"])
    ours, theirs = result.values["decoded"], their_pictures(pipeline, result.values["noise"])
    assert ours.abs().le(1).float().mean() > 0.5, "most pixels are clipped, which hides differences"
    assert theirs[0].sub(theirs[1]).abs().max() > 0.1, "the prompts make no difference"
    torch.testing.assert_close(ours.clamp(-1, 1), theirs, rtol=0, atol=1e-3)
    assert shown(result) == {"stable_diffusion.png", "stable_diffusion-2.png"}


def test_a_single_file_draws_the_same_with_a_tokenizer_from_a_folder(engine: Engine, tmp_path: Path) -> None:
    folder = engine.workspace / "models" / "stable-diffusion"
    PIPELINES["Stable Diffusion 1"](tmp_path).save_pretrained(folder)
    save_compvis(load_diffusers(folder), engine.workspace / "sd.safetensors")
    small = {"noise": {"shape": [1, 4, 8, 8]}, "sample": {"steps": 2}}
    expected = engine.run(changed("stable_diffusion", small), targets=["decoded"]).values["decoded"]
    graph = changed("stable_diffusion", small | {"model": {"path": "sd.safetensors"}})
    with pytest.raises(NodeError, match=r"^model: it gives no tokenizer"):
        engine.run(graph)
    graph.nodes["model"].params["tokenizer"] = "models/stable-diffusion/tokenizer"
    torch.testing.assert_close(engine.run(graph, targets=["decoded"]).values["decoded"], expected)


@pytest.mark.parametrize(
    ("scheduler", "options", "solver"),
    [
        (
            "DDIMScheduler",
            {"timestep_spacing": "trailing", "rescale_betas_zero_snr": True, "clip_sample": False},
            "ddim",
        ),
        ("EulerDiscreteScheduler", {"timestep_spacing": "linspace"}, "euler"),
        ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}, "dpmpp_2m"),
    ],
)
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers' use of numpy
def test_a_folder_is_sampled_as_its_scheduler_says(
    scheduler: str, options: dict[str, Any], solver: str, engine: Engine, tmp_path: Path
) -> None:
    """The shipped graph as it is, 7 steps; and the folder that is written from it has that scheduler again."""
    import diffusers

    pipeline = PIPELINES["Stable Diffusion 2"](tmp_path)
    pipeline.scheduler = getattr(diffusers, scheduler).from_config(pipeline.scheduler.config, **options)
    pipeline.save_pretrained(engine.workspace / "models" / "stable-diffusion")
    changes = {"prompt": {"prompts": PROMPTS}, "noise": {"shape": [2, 4, 8, 8]}, "sample": {"steps": 7}}
    graph = changed("stable_diffusion", changes | {"guide": {"scale": SCALE}})
    parts = {each: f"model.{each}" for each in ("unet", "autoencoder", "text_encoder", "tokenizer", "schedule")}
    graph.nodes["kept"] = Node(type="save_checkpoint", params={"name": "kept", "form": "diffusers"}, wires=parts)
    result = engine.run(graph, targets=["decoded", "noise", "kept"])
    told = [event.message for event in result.events if isinstance(event, events.Log) and event.node == "sample"]
    assert any(f"sampled by {solver} in 7 steps" in each for each in told)
    options = {"num_inference_steps": 7, "guidance_scale": SCALE, "latents": result.values["noise"]}
    theirs = pipeline(PROMPTS, height=64, width=64, output_type="pt", **options).images
    torch.testing.assert_close((result.values["decoded"] / 2 + 0.5).clamp(0, 1), theirs, rtol=0, atol=1e-3)
    again = diffusers.StableDiffusionPipeline.from_pretrained(engine.workspace / "models" / "kept").scheduler
    assert type(again).__name__ == scheduler
    assert {key: value for key, value in again.config.items() if key[0] != "_"} == {
        key: value for key, value in pipeline.scheduler.config.items() if key[0] != "_"
    }


def test_a_published_model_takes_a_step(engine: Engine) -> None:
    """The smallest preset, on latents of 8 × 8; the large ones differ in the preset's name alone."""
    graph = changed("published_model", {"settings": {"preset": "bsr_sr"}})
    graph.nodes["settings"].params["size"] = 8
    result = engine.run(graph, targets=["decoded", "condition", "settings.scale_factor"])
    assert result.values["decoded"].shape == (1, 3, 32, 32)
    assert result.values["condition"].concat.shape == (1, 3, 8, 8)
    assert result.values["settings.scale_factor"] == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the module resource tells the memory of a process")
def test_a_class_conditional_imagenet_model_takes_a_step_at_full_size_within_8_gb(tmp_path: Path) -> None:
    """As a user runs it; docs/tasks.md has the numbers of the larger ones."""
    command = [sys.executable, "-m", "graph_runner", str(WORKFLOWS / "published_model.json"), "--device", "cpu"]
    command += ["--set", "preset=cin256-v2", "--workspace", str(tmp_path)]
    # By a small process between: a child's peak begins with what its parent holds, and this one may hold gigabytes.
    between = "import resource, subprocess, sys; code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)"
    between += "; print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
    began = [sys.executable, "-c", between, *command]
    process = subprocess.run(began, cwd=WORKFLOWS.parent, stdout=subprocess.PIPE, text=True, check=False)
    kilobytes = int(process.stdout) / (1024 if sys.platform == "darwin" else 1)
    print(f"{kilobytes / 1e6:.1f} GB at most")
    assert process.returncode == 0
    assert [path.name for path in tmp_path.glob("runs/*/outputs/*")] == ["published_model.png"]
    assert kilobytes < 8e6


@pytest.mark.parametrize("name", TASKS)
def test_every_exposed_name_leads_somewhere(name: str, registry: Registry) -> None:
    workflow = load(WORKFLOWS / f"{name}.json")
    nodes = nodes_of(workflow.nodes)
    for reference in workflow.exposed.params.values():
        id, _, param = reference.partition(".")
        assert param in registry[nodes[id].type].params, reference
        assert param not in nodes[id].wires, f"{reference} is wired, so setting it does nothing"
    assert set(workflow.exposed.outputs.values()) <= set(workflow.nodes)
