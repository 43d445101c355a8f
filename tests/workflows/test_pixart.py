"""The shipped workflows of PixArt-α and PixArt-Σ: the pictures that diffusers' pipelines draw."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from tests.workflows.changing import shipped

sys.path.append(str(Path(__file__).parents[1] / "core" / "checkpoints"))
from tiny_pipelines import PROMPTS, SCALE
from tiny_pixart import pixart_pipeline

STEPS = 5
NEGATIVE = ["blurred", ""]
SMALL: dict[str, dict[str, Any]] = {
    "prompt": {"prompts": PROMPTS},
    "negative": {"prompts": NEGATIVE},
    "noise": {"shape": [len(PROMPTS), 4, 8, 12]},
    "sample": {"steps": STEPS},
    "guide": {"scale": SCALE},
}
SIZE = {"height": 16, "width": 24}


def small(name: str) -> Workflow:
    return shipped(name, SMALL | ({"size": SIZE} if name == "pixart_alpha" else {}))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers' use of numpy
@pytest.mark.parametrize(
    ("name", "kind"), [("pixart_sigma", "sigma"), ("pixart_sigma", "alpha"), ("pixart_alpha", "alpha 1024")]
)
def test_it_draws_the_pipelines_picture(name: str, kind: str, tmp_path: Path) -> None:
    engine = Engine(Registry.installed(), tmp_path / "workspace")
    pipeline = pixart_pipeline(kind)
    pipeline.save_pretrained(engine.workspace / "models" / name.replace("_", "-"))
    result = engine.run(small(name), targets=["decoded", "noise"])
    plain = {"clean_caption": False, "use_resolution_binning": False, "output_type": "pt"}
    options = {"num_inference_steps": STEPS, "guidance_scale": SCALE, "negative_prompt": NEGATIVE}
    pictures = pipeline(PROMPTS, latents=result.values["noise"], **SIZE, **options, **plain).images
    ours, theirs = result.values["decoded"], pictures * 2 - 1
    assert ours.abs().le(1).float().mean() > 0.5, "most pixels are clipped, which hides differences"
    assert theirs[0].sub(theirs[1]).abs().max() > 0.05, "the prompts make no difference"
    torch.testing.assert_close(ours.clamp(-1, 1), theirs, rtol=0, atol=1e-3)
    assert {Path(file.path).name for file in engine.run(small(name)).shown} == {f"{name}.png", f"{name}-2.png"}
