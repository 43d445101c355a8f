"""The shipped workflow of Stable Diffusion XL: base and refiner, as diffusers' pipelines draw one after the other."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from core.checkpoints.compvis import save_compvis
from core.checkpoints.diffusers_folder import load_diffusers
from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Engine
from tests.workflows.changing import shipped

sys.path.append(str(Path(__file__).parents[1] / "core" / "checkpoints"))
from tiny_pipelines import PROMPTS, SCALE, STEPS
from tiny_xl import SIZE_DIM, xl_pipeline

SHOWN = (64, 64)
NEGATIVE = ["blurred", ""]
SIZES: dict[str, Any] = {"original": list(SHOWN), "dim": SIZE_DIM}
SMALL: dict[str, dict[str, Any]] = {
    "prompts": {"values": PROMPTS},
    "negatives": {"values": NEGATIVE},
    "sizes": SIZES | {"target": list(SHOWN)},
    "beautiful": SIZES,
    "plain": SIZES,
    "noise": {"shape": [len(PROMPTS), 4, 8, 8]},
    "base": {"steps": STEPS, "end_at_step": 8},
    "refined": {"steps": STEPS, "start_at_step": 8},
    "guide": {"scale": SCALE},
    "refiner_guide": {"scale": SCALE},
}


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(Registry.installed(), tmp_path / "workspace")


@pytest.mark.parametrize("form", ["folders", "single files"])
def test_it_draws_the_pipelines_picture(form: str, engine: Engine, tmp_path: Path) -> None:
    pipelines = {kind: xl_pipeline(tmp_path / kind, kind) for kind in ("base", "refiner")}
    paths = {"base": "models/stable-diffusion-xl", "refiner": "models/stable-diffusion-xl-refiner"}
    for kind, pipeline in pipelines.items():
        pipeline.save_pretrained(engine.workspace / paths[kind])
    given: dict[str, dict[str, Any]] = {}
    if form == "single files":
        for kind, node in (("base", "model"), ("refiner", "refiner_model")):
            folder = engine.workspace / paths[kind]
            save_compvis(load_diffusers(folder), engine.workspace / f"{kind}.safetensors")
            # The wrong one of the two tokenizers, for the base: the encoders pad by themselves.
            given[node] = {"path": f"{kind}.safetensors", "tokenizer": f"{paths[kind]}/tokenizer_2"}
    result = engine.run(shipped("stable_diffusion_xl", SMALL | given), targets=["decoded", "noise"])
    shared = {"num_inference_steps": STEPS, "guidance_scale": SCALE, "negative_prompt": NEGATIVE}
    shape = {"height": 64, "width": 64, "latents": result.values["noise"], "output_type": "latent"}
    between = pipelines["base"](PROMPTS, denoising_end=0.8, **shared, **shape).images
    sizes = {"original_size": SHOWN, "target_size": SHOWN, "negative_original_size": SHOWN}
    refined = pipelines["refiner"](PROMPTS, image=between, denoising_start=0.8, output_type="pt", **shared, **sizes)
    ours, theirs = result.values["decoded"], refined.images * 2 - 1
    assert ours.abs().le(1).float().mean() > 0.5, "most pixels are clipped, which hides differences"
    assert theirs[0].sub(theirs[1]).abs().max() > 0.05, "the prompts make no difference"
    torch.testing.assert_close(ours.clamp(-1, 1), theirs, rtol=0, atol=1e-3)
    assert {Path(file.path).name for file in engine.run(shipped("stable_diffusion_xl", SMALL | given)).shown} == {
        "stable_diffusion_xl.png",
        "stable_diffusion_xl-2.png",
    }
