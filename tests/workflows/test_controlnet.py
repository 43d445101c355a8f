"""A ControlNet as shipped: beside a checkpoint that a person has."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Engine
from tests.workflows.test_tasks import changed

sys.path.append(str(Path(__file__).parents[1] / "core" / "checkpoints"))
from tiny_ldm import randomise
from tiny_pipelines import PIPELINES, PROMPTS, SCALE, quiet

STEPS = 6


@pytest.fixture
def engine(registry: Registry, tmp_path: Path) -> Engine:
    return Engine(registry, tmp_path / "workspace")


@pytest.mark.parametrize("guess", [False, True])
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_it_draws_along_a_picture_what_diffusers_draws(guess: bool, engine: Engine, tmp_path: Path) -> None:
    """The shipped graph as it is, on a random pipeline, from the same noise and edges."""
    import diffusers

    base = PIPELINES["Stable Diffusion 1"](tmp_path)
    net = diffusers.ControlNetModel.from_unet(base.unet, conditioning_embedding_out_channels=(8, 12, 16, 24))
    pipeline = quiet(
        diffusers.StableDiffusionControlNetPipeline(
            **base.components, controlnet=randomise(net, 11), requires_safety_checker=False
        )
    )
    base.save_pretrained(engine.workspace / "models" / "stable-diffusion")
    net.save_pretrained(engine.workspace / "models" / "controlnet")
    picture = Image.linear_gradient("L").resize((80, 64)).convert("RGB")
    picture.paste((255, 40, 0), (20, 10, 50, 40))
    picture.save(engine.workspace / "picture.png")
    control: dict[str, Any] = {"strength": 0.8, "start": 0.0, "end": 0.5, "guess": guess}
    changes = {"photograph": {"height": 64, "width": 64}, "noise": {"shape": [2, 4, 8, 8]}, "sample": {"steps": STEPS}}
    changes |= {"prompt": {"prompts": PROMPTS}, "guide": {"scale": SCALE}, "control": control}
    graph = changed("stable_diffusion_controlnet", changes)
    graph.nodes["sample"].body.nodes["control"].params["guess"] = guess
    found = engine.run(graph, targets=["decoded", "edges", "noise"]).values
    images = pipeline(
        PROMPTS,
        image=(found["edges"] / 2 + 0.5).expand(2, 3, 64, 64),
        num_inference_steps=STEPS,
        guidance_scale=SCALE,
        latents=found["noise"],
        controlnet_conditioning_scale=0.8,
        control_guidance_end=0.5,
        guess_mode=guess,
        output_type="pt",
    ).images
    torch.testing.assert_close((found["decoded"] / 2 + 0.5).clamp(0, 1), images, rtol=0, atol=1e-3)
