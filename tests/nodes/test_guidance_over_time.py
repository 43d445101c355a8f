"""Guidance that costs nothing where it does nothing, in an interval of noise levels, and of a negative scale."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from core.diffusion import guidance
from core.diffusion.levels import Levels
from core.diffusion.process import Level
from core.diffusion.solvers import sample as solve
from core.models.denoiser import denoise
from graph_runner.run.engine import Engine
from tests.nodes.test_sampling import SCHEDULE, assert_close, call, guided, nodes, sampling

STEPS = 6
LOW, HIGH = 0.5, 3.0


def batches(engine: Engine, **zones: Any) -> tuple[list[int], dict[str, Any]]:
    """The rows of each call of the UNet, and what the run gave."""
    unet = engine.run(nodes(), targets=["unet"]).values["unet"]
    asked: list[int] = []
    hook = unet.register_forward_pre_hook(lambda _, args: asked.append(len(args[0])))
    values = engine.run(nodes(**zones), targets=["sample", "unet", "noise", "prompt", "null"]).values
    hook.remove()
    return asked, values


def drawn_in_torch(values: dict[str, Any], scale_at: Any) -> Tensor:
    def denoiser(z: Tensor, t: Tensor) -> Tensor:
        cond, uncond = (denoise(values["unet"], z, t, values[name]) for name in ("prompt", "null"))
        return uncond + scale_at(float(SCHEDULE.sigma(float(t[0])))) * (cond - uncond)

    with torch.no_grad():
        return solve(denoiser, values["noise"], SCHEDULE, "ddim", steps=STEPS)


@pytest.mark.parametrize("scale", [1.0, 0.0, -2.0])
def test_a_scale_of_one_asks_for_no_null_prediction(engine: Engine, scale: float) -> None:
    asked, values = batches(engine, sample=sampling(guided("sample", scale), steps=STEPS))
    assert asked == [2 if scale == 1 else 4] * STEPS
    assert_close(values["sample"], drawn_in_torch(values, lambda _: scale))


def test_guidance_in_an_interval_is_computed_there_alone(engine: Engine) -> None:
    body = guided("sample")
    scale = {
        "type": "guidance_interval",
        "params": {"scale": 4, "sigma_low": LOW, "sigma_high": HIGH},
        "wires": {"t": "sample.t", "schedule": "schedule"},
    }
    body["nodes"]["guide"] = {"type": "cfg_combine", "wires": {"cond": "cond", "uncond": "uncond", "scale": "scale"}}
    body["nodes"]["scale"] = scale
    asked, values = batches(engine, sample=sampling(body, steps=STEPS))

    def scale_at(sigma: float) -> float:
        return 4.0 if LOW < sigma <= HIGH else 1.0

    assert_close(values["sample"], drawn_in_torch(values, scale_at))
    guided_at = [t for t in (level.t for level in _levels()) if scale_at(float(SCHEDULE.sigma(t))) != 1]
    assert asked.count(4) == len(guided_at)
    assert asked.count(2) == STEPS - len(guided_at)
    assert 0 < len(guided_at) < STEPS


def _levels() -> tuple[Level, ...]:
    return Levels.of(SCHEDULE, STEPS, "leading").levels[:-1]


def test_a_gradient_of_scale_zero_is_not_taken(engine: Engine) -> None:
    """Nor is what leads to it computed; a negative one leads away."""

    def sampled(scale: float) -> Tensor:
        body = call("prediction", "sample") | {
            "z0": {"type": "estimate_z0", "wires": {"prediction": "prediction", "z": "sample.z", "t": "sample.t",
                                                    "schedule": "schedule"}},
            "seen": {"type": "decode", "wires": {"autoencoder": "autoencoder", "z": "z0"}},
            "likelihood": {"type": "image_likelihood", "wires": {"seen": "seen", "wanted": "wanted"}},
            "slope": {"type": "likelihood_gradient", "wires": {"log_likelihood": "likelihood", "z": "sample.z"}},
            "steered": {"type": "gradient_guidance", "params": {"scale": scale},
                        "wires": {"prediction": "prediction", "gradient": "slope", "t": "sample.t", "schedule": "schedule"}},
        }  # fmt: skip
        graph = nodes(
            target={"type": "gaussian_noise", "params": {"shape": [2, 4, 8, 8], "seed": 9}},
            wanted={"type": "decode", "wires": {"autoencoder": "autoencoder", "z": "target"}},
            sample=sampling({"nodes": body, "results": {"prediction": "steered"}}, steps=2),
        )
        autoencoder = engine.run(graph, targets=["autoencoder", "wanted"]).values["autoencoder"]
        seen: list[int] = []
        hook = autoencoder.decoder.register_forward_pre_hook(lambda _, args: seen.append(1))
        value: Tensor = engine.run(graph, targets=["sample"]).values["sample"]
        hook.remove()
        assert len(seen) == (0 if scale == 0 else 2)
        return value

    towards, free, away = (sampled(scale) for scale in (0.5, 0.0, -0.5))
    moved = (towards - free).flatten(), (away - free).flatten()
    assert torch.nn.functional.cosine_similarity(*moved, dim=0) < 0


def test_one_scale_wants_one_timestep() -> None:
    t = torch.tensor([10.0, 700.0])
    with pytest.raises(ValueError, match="several timesteps"):
        guidance.in_interval(t, SCHEDULE, 3, LOW, HIGH)
