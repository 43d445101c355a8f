"""ControlNets as shipped: one beside a checkpoint that a person has, and one that is trained on edges of shapes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from core.checkpoints.controlnet import load_controlnet
from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Engine
from tests.workflows.conftest import Check
from tests.workflows.test_tasks import SMALL, changed, metrics

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


TINY: dict[str, dict[str, Any]] = {"some": {"count": 2}, "noise": {"shape": [2, 4, 8, 8]}, "free": {"steps": 2}}


def test_it_trains_beside_the_unet_and_is_saved(engine: Engine, golden: Check) -> None:
    """Of two steps: the zero convolutions have moved, the UNet has not, and diffusers' folder holds what was trained."""
    graph = changed("controlnet", SMALL | TINY)
    result = engine.run(
        graph,
        targets=["network0", "training.models.network", "training.ema.network", "unet", "keep", "save", "numbers"],
    )
    golden("controlnet", result)
    before, after = (result.values[name].state_dict() for name in ("network0", "training.models.network"))
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert {f"zero_convs.{i}.0.weight" for i in range(len(result.values["network0"].zero_convs))} <= moved
    copied = {key: value for key, value in result.values["unet"].state_dict().items() if key.startswith("time_embed")}
    assert all(torch.equal(before[key], value) for key, value in copied.items())
    saved = load_controlnet(engine.workspace / "models" / "shapes_controlnet")
    trained = result.values["training.ema.network"]
    assert all(torch.equal(value, saved.state_dict()[key]) for key, value in trained.state_dict().items())
    (numbers,) = metrics(result, "numbers")
    assert numbers.keys() == {"agreement", "shuffled", "without"}


@pytest.mark.slow
def test_pictures_keep_to_the_edges_that_the_network_was_shown(engine: Engine) -> None:
    """After less than half of the shipped training: well above chance, and above the same noise without it."""
    shorter = {
        "training": {"steps": 400},
        "optimizer": {"horizon": 400},
        "sample": {"steps": 20},
        "free": {"steps": 20},
    }
    result = engine.run(changed("controlnet", shorter), targets=["numbers"], only=True)
    (found,) = metrics(result, "numbers")
    assert found["agreement"] > 0.08 + max(found["shuffled"], found["without"])
