"""The shipped workflow of Stable Diffusion 3: the picture that diffusers' pipeline draws."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow, load
from graph_runner.run.engine import Engine

sys.path.append(str(Path(__file__).parents[1] / "core" / "checkpoints"))
from tiny_pipelines import PROMPTS, SCALE
from tiny_sd3 import sd3_pipeline

WORKFLOW = Path(__file__).parents[2] / "workflows" / "stable_diffusion_3.json"

STEPS = 5
NEGATIVE = ["blurred", ""]
SMALL: dict[str, dict[str, Any]] = {
    "prompt": {"prompts": PROMPTS},
    "negative": {"prompts": NEGATIVE},
    "noise": {"shape": [len(PROMPTS), 16, 8, 8]},
    "sample": {"steps": STEPS},
    "guide": {"scale": SCALE},
}


def changed() -> Workflow:
    workflow = load(WORKFLOW)
    body = workflow.nodes["sample"].body
    assert body is not None
    for id, params in SMALL.items():
        (workflow.nodes | body.nodes)[id].params.update(params)
    return workflow


@pytest.mark.parametrize("with_t5", [True, False])
def test_it_draws_the_pipelines_picture(with_t5: bool, tmp_path: Path) -> None:
    engine = Engine(Registry.installed(), tmp_path / "workspace")
    pipeline = sd3_pipeline(tmp_path / "made", "3.5", with_t5)
    pipeline.save_pretrained(engine.workspace / "models/stable-diffusion-3")
    result = engine.run(changed(), targets=["decoded", "noise"])
    shape = {"height": 64, "width": 64, "latents": result.values["noise"], "output_type": "pt"}
    options = {"num_inference_steps": STEPS, "guidance_scale": SCALE, "negative_prompt": NEGATIVE}
    ours, theirs = result.values["decoded"], pipeline(PROMPTS, **shape, **options).images * 2 - 1
    assert ours.abs().le(1).float().mean() > 0.5, "most pixels are clipped, which hides differences"
    assert theirs[0].sub(theirs[1]).abs().max() > 0.05, "the prompts make no difference"
    torch.testing.assert_close(ours.clamp(-1, 1), theirs, rtol=0, atol=1e-3)
    assert {Path(file.path).name for file in engine.run(changed()).shown} == {
        "stable_diffusion_3.png",
        "stable_diffusion_3-2.png",
    }
