"""The shipped workflow of Stable Diffusion 3: the picture that diffusers' pipeline draws."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Node
from graph_runner.run.engine import Engine
from tests.workflows.changing import shipped

sys.path.append(str(Path(__file__).parents[1] / "core" / "checkpoints"))
from tiny_pipelines import PROMPTS, SCALE
from tiny_sd3 import sd3_pipeline

STEPS = 5
NEGATIVE = ["blurred", ""]
SMALL: dict[str, dict[str, Any]] = {
    "prompt": {"prompts": PROMPTS},
    "negative": {"prompts": NEGATIVE},
    "noise": {"shape": [len(PROMPTS), 16, 8, 8]},
    "sample": {"steps": STEPS},
    "guide": {"scale": SCALE},
}


@pytest.mark.parametrize("with_t5", [True, False])
def test_it_draws_the_pipelines_picture(with_t5: bool, tmp_path: Path) -> None:
    engine = Engine(Registry.installed(), tmp_path / "workspace")
    pipeline = sd3_pipeline(tmp_path / "made", "3.5", with_t5)
    pipeline.save_pretrained(engine.workspace / "models/stable-diffusion-3")
    result = engine.run(shipped("stable_diffusion_3", SMALL), targets=["decoded", "noise"])
    shape = {"height": 64, "width": 64, "latents": result.values["noise"], "output_type": "pt"}
    options = {"num_inference_steps": STEPS, "guidance_scale": SCALE, "negative_prompt": NEGATIVE}
    ours, theirs = result.values["decoded"], pipeline(PROMPTS, **shape, **options).images * 2 - 1
    assert ours.abs().le(1).float().mean() > 0.5, "most pixels are clipped, which hides differences"
    assert theirs[0].sub(theirs[1]).abs().max() > 0.05, "the prompts make no difference"
    torch.testing.assert_close(ours.clamp(-1, 1), theirs, rtol=0, atol=1e-3)
    assert {Path(file.path).name for file in engine.run(shipped("stable_diffusion_3", SMALL)).shown} == {
        "stable_diffusion_3.png",
        "stable_diffusion_3-2.png",
    }


def test_skip_layer_guidance_is_the_pipelines(tmp_path: Path) -> None:
    """Drawn with an expression, where 10 to 70 % of the steps are done."""
    engine = Engine(Registry.installed(), tmp_path / "workspace")
    pipeline = sd3_pipeline(tmp_path / "made", "3.5", False)
    pipeline.save_pretrained(engine.workspace / "models/stable-diffusion-3")
    workflow = shipped("stable_diffusion_3", SMALL)
    body = workflow.nodes["sample"].body
    assert body is not None
    workflow.nodes["worse"] = Node(type="skip_layers", params={"layers": [0]}, wires={"model": "model.denoiser"})
    call = {"model": "worse", "z": "sample.z", "t": "sample.t", "condition": "prompt"}
    body.nodes["skipped"] = Node(type="denoise", wires=call)
    values = {"g": "guide", "share": "sample.share", "cond": "cond", "skipped": "skipped"}
    formula = "g + (share > 0.1 and share < 0.7) * 2.8 * (cond - skipped)"
    body.nodes["led"] = Node(type="expression", params={"formula": formula}, wires={"values": values})
    body.results["prediction"] = "led"
    result = engine.run(workflow, targets=["sample", "noise"])
    options = {"num_inference_steps": STEPS, "guidance_scale": SCALE, "negative_prompt": NEGATIVE}
    slg = {"skip_guidance_layers": [0], "skip_layer_guidance_start": 0.1, "skip_layer_guidance_stop": 0.7}
    shape = {"height": 64, "width": 64, "latents": result.values["noise"], "output_type": "latent"}
    theirs = pipeline(PROMPTS, **shape, **options, **slg).images
    plain = pipeline(PROMPTS, **shape, **options).images
    assert (theirs - plain).abs().max() > 0.1, "what is skipped makes no difference"
    ours = result.values["sample"]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-3)
