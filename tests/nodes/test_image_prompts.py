"""Pictures as prompts in graphs: loaded and applied on both sides of guidance, for a while, trained and saved."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from core.checkpoints.ip_adapter import load_ip_adapter, save_ip_adapter
from core.checkpoints.model_io import save_models
from core.conditioning.image_prompt import ImagePrompt
from core.diffusion.guidance import classifier_free
from core.diffusion.schedule import NoiseSchedule
from core.diffusion.solvers import sample
from core.layerwise import narrowed
from core.models.denoiser import denoise
from core.models.ip_adapter import IPAdapter, image_prompted
from core.models.unet import UNet
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from graph_runner.run.failures import NodeError
from nodes.image_prompts import apply_ip_adapter, load_image_encoder
from tests.nodes.samples import WIRES

sys.path.append(str(Path(__file__).parents[1] / "core" / "metrics"))
from tiny_pretrained import clip_vision

STEPS = 4
EMBEDDING = 8


def randomised(model: Any, seed: int) -> Any:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@pytest.fixture
def models(tmp_path: Path) -> dict[str, Any]:
    """A UNet and an adapter, in files; an image encoder in a folder."""
    torch.manual_seed(0)
    unet = randomised(UNet(4, 4, 8, (1, 2), 1, (1, 2), num_heads=2, context_dim=16, norm_groups=4), 1)
    net = randomised(IPAdapter.beside(unet, EMBEDDING), 2)
    save_models({"unet": unet}, tmp_path / "m")
    save_ip_adapter(net, tmp_path / "m" / "ip-adapter.safetensors")
    clip_vision(tmp_path / "encoder")
    return {"unet": unet, "net": net}


NODES: dict[str, Any] = {
    "adapter": {"type": "load_ip_adapter", "params": {"path": "m/ip-adapter.safetensors"}},
    "encoder": {"type": "load_image_encoder", "params": {"path": "encoder"}},
    "unet": {"type": "load_unet", "params": {"path": "m/unet.safetensors"}},
    "embedder": {"type": "class_embedder", "params": {"classes": 4, "dim": 16}},
    "schedule": {"type": "noise_schedule"},
    "shapes": {"type": "shapes_dataset", "params": {"size": 8, "resolution": 40}},
}


def graph(**params: Any) -> Workflow:
    """Guidance, shown two pictures at once from within sampling."""
    told = {"adapter": "adapter", "encoder": "encoder", "pictures": ["first", "second"], "share": "sample.share"}
    calls = {
        side: {
            "type": "denoise",
            "wires": {"model": "unet", "z": "sample.z", "t": "sample.t", "condition": f"shown.{side}"},
        }
        for side in ("condition", "negative")
    }
    body = {
        "shown": {
            "type": "apply_ip_adapter",
            "params": params,
            "wires": told | {"condition": "prompt", "negative": "null"},
        },
        **calls,
        "guide": {"type": "cfg_combine", "wires": {"cond": "condition", "uncond": "negative"}, "params": {"scale": 3}},
    }
    nodes = NODES | {
        "prompt": {"type": "class_context", "wires": {"embedder": "embedder"}, "params": {"classes": [1, 2]}},
        "null": {"type": "class_context", "wires": {"embedder": "embedder"}},
        "first": {"type": "take_images", "wires": {"data": "shapes"}, "params": {"count": 1}},
        "second": {"type": "take_images", "wires": {"data": "shapes"}, "params": {"count": 2}},
        "noise": {"type": "gaussian_noise", "params": {"shape": [2, 4, 8, 8]}},
        "sample": {
            "type": "sample",
            "params": {"steps": STEPS},
            "wires": {"noise": "noise", "schedule": "schedule"},
            "body": {"nodes": body, "results": {"prediction": "guide"}},
        },
    }
    return Workflow.model_validate({"loom": 1, "nodes": nodes})


@pytest.mark.parametrize("dtype", ["as in the file", "bfloat16", "float8_e4m3fn"])
def test_the_encoder_is_kept_in_fewer_bytes(dtype: str, tmp_path: Path) -> None:
    """Computed are float32s: what it sees differs by what the weights were rounded by."""
    clip_vision(tmp_path).half().save_pretrained(tmp_path)
    picture = WIRES["image"]()
    wanted = load_image_encoder(str(tmp_path))
    found = load_image_encoder(str(tmp_path), dtype)  # type: ignore[arg-type]
    kept = found.get_submodule("network.vision_model.encoder.layers.0.mlp.fc1").weight.dtype
    assert kept == (torch.float16 if dtype == "as in the file" else getattr(torch, dtype))
    share = {"as in the file": 1e-5, "bfloat16": 0.03, "float8_e4m3fn": 0.3}[dtype]
    for tokens in (False, True):
        seen, whole = found(picture, tokens=tokens), wanted(picture, tokens=tokens)
        assert seen.dtype == torch.float32
        assert (seen - whole).abs().mean() < share * whole.abs().mean()


@torch.no_grad()
def test_so_is_the_one_of_unclip() -> None:
    embedder, picture = WIRES["image_embedder"](), WIRES["image"]()
    whole = embedder(picture)
    assert (narrowed(embedder, torch.float8_e4m3fn)(picture) - whole).abs().mean() < 0.3 * whole.abs().mean()


@torch.no_grad()
def test_a_graph_is_what_a_few_lines_are(models: dict[str, Any], engine: Engine) -> None:
    targets = ["sample", "first", "second", "prompt", "null", "noise", "encoder"]
    found = engine.run(graph(strength=0.7, end=0.5), targets=targets).values
    step = 0

    def guided(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        nonlocal step
        both = [found["prompt"], found["null"]]
        if step / STEPS < 0.5:
            pictures = [found["first"], found["second"]]
            both = [
                image_prompted(models["net"], found["encoder"], pictures, told, 0.7, nothing=i == 1)
                for i, told in enumerate(both)
            ]
        step += 1
        return classifier_free(*(denoise(models["unet"], z, t, told) for told in both), 3)

    expected = sample(guided, found["noise"], NoiseSchedule.linear(1000), "ddim", steps=STEPS)
    torch.testing.assert_close(found["sample"], expected, rtol=1e-4, atol=1e-4)
    plain = engine.run(graph(strength=0.0), targets=["sample"]).values["sample"]
    assert (plain - expected).abs().max() > 1e-3


def test_a_share_of_the_steps_needs_the_steps(models: dict[str, Any], engine: Engine) -> None:
    changed = graph(end=0.5)
    body = changed.nodes["sample"].body
    assert body is not None
    del body.nodes["shown"].wires["share"]
    with pytest.raises(NodeError, match=r"^shown: start and end are shares of the steps: wire sample\.share"):
        engine.run(changed, targets=["sample"])


def test_pictures_in_other_numbers_are_told() -> None:
    net, encoder, picture = WIRES["ip_adapter"](), WIRES["image_encoder"](), WIRES["image"]()
    made = apply_ip_adapter(net, encoder, [picture, picture[:1]])
    assert made.negative is None
    assert made.condition[ImagePrompt].rows == 2
    assert made.condition[ImagePrompt].adapters[0][0][0].shape == (2, 2 * 4, 16)
    with pytest.raises(ValueError, match="give one for each sample, or one for all"):
        apply_ip_adapter(net, encoder, [picture, torch.cat([picture, picture[:1]])])


def test_it_is_trained_and_saved_as_others_load_it(models: dict[str, Any], engine: Engine) -> None:
    """One of the authors' training steps, drawn: all of it learns, the file holds what was trained, the UNet stays as it was."""
    body = {
        "images": {"type": "batch_images", "wires": {"batch": "fit.batch"}},
        "t": {"type": "random_timesteps", "wires": {"schedule": "schedule", "z": "noise"}},
        "eps": {"type": "noise_like", "wires": {"z": "noise"}},
        "zt": {"type": "add_noise", "wires": {"schedule": "schedule", "z0": "noise", "noise": "eps", "t": "t"}},
        "told": {
            "type": "apply_ip_adapter",
            "wires": {"adapter": "fit.models.adapter", "encoder": "encoder", "pictures": "images", "condition": "null"},
        },
        "prediction": {
            "type": "denoise",
            "wires": {"model": "unet", "z": "zt", "t": "t", "condition": "told.condition"},
        },
        "loss": {
            "type": "diffusion_loss",
            "wires": {"schedule": "schedule", "prediction": "prediction", "z0": "noise", "noise": "eps", "t": "t"},
        },
        "learn": {
            "type": "objective",
            "wires": {"loss": "loss", "models": ["fit.models.adapter"], "optimizer": "optimizer"},
        },
    }
    nodes = NODES | {
        "fresh": {"type": "ip_adapter", "wires": {"unet": "unet", "encoder": "encoder"}},
        "null": {"type": "class_context", "wires": {"embedder": "embedder"}},
        "noise": {"type": "gaussian_noise", "params": {"shape": [4, 4, 8, 8]}},
        "optimizer": {"type": "adamw", "params": {"lr": 0.003}},
        "fit": {
            "type": "train",
            "params": {"steps": 20, "batch_size": 4},
            "wires": {"data": "shapes", "models": {"adapter": "fresh"}},
            "body": {"nodes": body, "results": {"objectives": ["learn"]}},
        },
        "keep": {"type": "save_ip_adapter", "params": {"name": "taught"}, "wires": {"adapter": "fit.models.adapter"}},
    }
    del nodes["adapter"]
    result = engine.run(
        Workflow.model_validate({"loom": 1, "nodes": nodes}), targets=["fresh", "fit.models.adapter", "unet", "keep"]
    )
    before, after = (result.values[name].state_dict() for name in ("fresh", "fit.models.adapter"))
    assert all(not torch.equal(before[key], value) for key, value in after.items())
    saved = load_ip_adapter(engine.workspace / "models" / "taught.safetensors").state_dict()
    assert saved.keys() == after.keys()
    assert all(torch.equal(saved[key], value) for key, value in after.items())
    assert all(
        torch.equal(value, models["unet"].state_dict()[key])
        for key, value in result.values["unet"].state_dict().items()
    )
