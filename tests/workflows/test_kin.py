"""Stable Diffusion's kin as shipped: an editor, by depth, an upscaler, of a picture's meaning; each as diffusers' pipeline draws."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Engine, Result
from tests.workflows.changing import shipped

sys.path.append(str(Path(__file__).parents[1] / "core" / "checkpoints"))
from tiny_kin import kin
from tiny_pipelines import PROMPTS, SCALE

STEPS, SEED = 5, 7
NEGATIVE = ["blurred", ""]
WORDS: dict[str, dict[str, Any]] = {"prompt": {"prompts": PROMPTS}, "negative": {"prompts": NEGATIVE}}
SHARED: dict[str, Any] = {"num_inference_steps": STEPS, "guidance_scale": SCALE, "negative_prompt": NEGATIVE}
LATENT: dict[str, Any] = {"noise": {"shape": [2, 4, 8, 8]}}
NOISE_AS: dict[str, Any] = {"noise_as": "diffusers", "noise_seed": SEED}


def picture(side: int, turned: int = 0) -> Image.Image:
    made = Image.linear_gradient("L").resize((side, side)).rotate(turned).convert("RGB")
    made.paste((255, 40, 0), (side // 4, side // 8, side // 2, side // 2))
    return made


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(SEED)


def edited(engine: Engine, pipeline: Any) -> tuple[Result, Tensor]:
    picture(64).save(engine.workspace / "picture.png")
    scales = {"by_words": {"scale": SCALE}, "by_picture": {"scale": 1.5}}
    small = WORDS | LATENT | scales | {"photograph": {"height": 64, "width": 64}, "sample": {"steps": STEPS}}
    ours = engine.run(shipped("instruct_pix2pix", small), targets=["decoded", "noise"])
    options = SHARED | {"image_guidance_scale": 1.5, "latents": ours.values["noise"], "output_type": "pt"}
    # The pipeline halves the rows of a single picture otherwise.
    return ours, pipeline(PROMPTS, image=[picture(64)] * 2, **options).images


def over_depth(engine: Engine, pipeline: Any) -> tuple[Result, Tensor]:
    picture(64).save(engine.workspace / "picture.png")
    picture(64, turned=90).save(engine.workspace / "depth.png")
    sides = {"height": 64, "width": 64}
    small = {"photograph": sides, "depth": sides, "guide": {"scale": SCALE}, "noise": NOISE_AS}
    words = {"prompt": {"prompts": PROMPTS[:1]}, "negative": {"prompts": NEGATIVE[:1]}}
    graph = shipped("depth_to_image", words | small | {"sample": {"steps": STEPS, "strength": 0.8}})
    ours = engine.run(graph, targets=["decoded"])
    depth = torch.tensor(np.array(picture(64, turned=90)), dtype=torch.float32).mean(-1)[None]
    options = SHARED | {"negative_prompt": NEGATIVE[:1], "strength": 0.8, "generator": generator(), "output_type": "pt"}
    return ours, pipeline(PROMPTS[:1], image=picture(64), depth_map=depth, **options).images


def enlarged(engine: Engine, pipeline: Any) -> tuple[Result, Tensor]:
    picture(8).save(engine.workspace / "picture.png")
    small = {"small": {"height": 8, "width": 8}, "noise": {"shape": [1, 4, 8, 8]}, "guide": {"scale": SCALE}}
    words = {"prompt": {"prompts": PROMPTS[:1]}, "negative": {"prompts": NEGATIVE[:1]}}
    small |= {"pixel_noise": NOISE_AS, "sample": {"steps": STEPS}}
    ours = engine.run(shipped("stable_diffusion_upscaler", words | small), targets=["decoded", "noise"])
    options = SHARED | {"negative_prompt": NEGATIVE[:1], "noise_level": 20, "generator": generator()}
    return ours, pipeline(
        PROMPTS[:1], image=picture(8), latents=ours.values["noise"], output_type="pt", **options
    ).images


def varied(engine: Engine, pipeline: Any) -> tuple[Result, Tensor]:
    picture(28).save(engine.workspace / "picture.png")
    seen = {"seen": NOISE_AS | {"noise_level": 300}, "guide": {"scale": SCALE}, "sample": {"steps": STEPS}}
    ours = engine.run(shipped("unclip", WORDS | LATENT | seen), targets=["decoded", "noise"])
    options = SHARED | {"noise_level": 300, "generator": generator(), "latents": ours.values["noise"]}
    sides = {"height": 64, "width": 64, "output_type": "pt"}
    return ours, pipeline(image=picture(28), prompt=PROMPTS, **options, **sides).images


DRAWN: dict[str, tuple[str, Callable[[Engine, Any], tuple[Result, Tensor]]]] = {
    "pix2pix": ("instruct-pix2pix", edited),
    "depth": ("stable-diffusion-depth", over_depth),
    "upscaler": ("stable-diffusion-x4-upscaler", enlarged),
    "unclip": ("stable-diffusion-unclip", varied),
}


@pytest.mark.parametrize("kind", DRAWN)
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_shipped_graph_draws_the_pipelines_picture(
    kind: str, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers.pipelines.stable_diffusion import pipeline_stable_diffusion_depth2img as depth2img

    monkeypatch.setattr(depth2img, "retrieve_latents", lambda found, **_: found.latent_dist.mode())  # as ours encodes
    engine = Engine(registry, tmp_path / "workspace")
    folder, draw = DRAWN[kind]
    pipeline = kin(kind, tmp_path)
    pipeline.save_pretrained(engine.workspace / "models" / folder)
    result, theirs = draw(engine, pipeline)
    ours, theirs = result.values["decoded"], theirs * 2 - 1
    assert ours.abs().le(1).float().mean() > 0.5, "most pixels are clipped, which hides differences"
    torch.testing.assert_close(ours.clamp(-1, 1), theirs, rtol=0, atol=1e-3)
