"""Shipped graphs of guidance in an interval and of SDEdit, held against a few lines of PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.diffusion.schedule import NoiseSchedule
from core.models.denoiser import denoise
from graph_runner.bind.paths import SHIPPED
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow, load
from graph_runner.run.engine import Engine
from tests.nodes.test_sampling import assert_close

STEPS = 10


def small(name: str, *zones: str) -> Workflow:
    workflow = load(SHIPPED / f"{name}.json")
    for id in zones:
        workflow.nodes[id].params["steps"] = STEPS
    return workflow


def ddim(values: dict[str, Any], z: Tensor, steps: list[tuple[int, int]], scale_at: Any) -> Tensor:
    """DDIM (Song et al. 2021, eq. 12) from timestep to timestep, guided by a scale for each sigma."""
    schedule: NoiseSchedule = values["schedule"]
    kept = schedule.alphas_cumprod.double()
    with torch.no_grad():
        for now, then in steps:
            signal, noise = float(kept[now].sqrt()), float((1 - kept[now]).sqrt())
            t = torch.full((len(z),), float(now))
            cond, uncond = (denoise(values["unet"], z, t, values[name]) for name in ("prompt", "null"))
            eps = uncond + scale_at(noise / signal) * (cond - uncond)
            z = float(kept[then].sqrt()) * (z - noise * eps) / signal + float((1 - kept[then]).sqrt()) * eps
    return z


def visited() -> list[tuple[int, int]]:
    """The timesteps of latent-diffusion's DDIM, each with the next."""
    at = [1 + 1000 // STEPS * i for i in reversed(range(STEPS))]
    return list(zip(at, [*at[1:], 0], strict=True))


@pytest.fixture
def engine(registry: Registry, tmp_path: Path) -> Engine:
    return Engine(registry, tmp_path)


def test_guidance_in_an_interval_is_the_papers(engine: Engine) -> None:
    targets = ["sample", "always", "unet", "noise", "prompt", "null", "schedule"]
    values = engine.run(small("guidance_interval", "sample", "always"), targets=targets, only=True).values
    interval = ddim(values, values["noise"], visited(), lambda sigma: 5.0 if 0.3 < sigma <= 4.0 else 1.0)
    assert_close(values["sample"], interval)
    assert_close(values["always"], ddim(values, values["noise"], visited(), lambda _: 5.0))
    assert not torch.allclose(values["sample"], values["always"], atol=0.1)


def test_an_edit_starts_from_the_noised_picture(engine: Engine) -> None:
    workflow = small("sdedit", "start")
    body = workflow.nodes["edits"].body
    assert body is not None
    body.nodes["sample"].params["steps"] = STEPS
    body.results["latents"] = "sample"
    targets = ["edits.latents", "z0", "unet", "noise", "prompt", "null", "schedule"]
    values = engine.run(workflow, targets=targets, only=True).values
    kept = values["schedule"].alphas_cumprod
    for strength, latent in zip((0.3, 0.5, 0.7, 0.9), values["edits.latents"], strict=True):
        part = visited()[STEPS - round(strength * STEPS) :]
        share = float(kept[part[0][0]])
        z = share**0.5 * values["z0"] + (1 - share) ** 0.5 * values["noise"]
        assert_close(latent, ddim(values, z, part, lambda _: 3.0))
