"""What the shipped recipes train can be exported to diffusers, and samples there as it does here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from core.checkpoints.diffusers_folder import refuse_for_diffusers, save_diffusers
from core.checkpoints.diffusers_scheduler import schedule_from_diffusers
from core.checkpoints.latent_diffusion import LatentDiffusion
from core.checkpoints.weights import read_json
from core.conditioning.conditioning import Conditioning
from core.diffusion.schedulers import stored
from core.models.autoencoder import KLAutoencoder
from core.models.denoiser import denoise
from core.models.unet import UNet
from graph_runner.format.workflow import load
from nodes import diffusion, models

WORKFLOWS = Path(__file__).parents[2] / "workflows"
RECIPES = [path.stem for path in sorted(WORKFLOWS.glob("*.json")) if '"unet0"' in path.read_text()]
ANALYSES = ("attention_places", "compression_sweep", "kl_and_vq", "latent_rescaling")
"""Of models like those of the others: not in the fast suite."""
STEPS = 4


def built(recipe: str) -> LatentDiffusion:
    """Its UNet, first stage and noise process, of a sixth of the width and with weights that are neither zero nor one."""
    nodes = load(WORKFLOWS / f"{recipe}.json").nodes
    torch.manual_seed(0)

    def params(id: str) -> dict[str, Any]:
        small = {"model_channels": 8} if id == "unet0" else {}
        return {**nodes[id].params, **small} if id in nodes else {}

    unet = models.unet(None, **params("unet0"))
    autoencoder = models.kl_autoencoder(None, **(params("autoencoder0") or {"model_channels": 8, "norm_groups": 4}))
    for model in (unet, autoencoder):
        for weights in model.parameters():
            torch.nn.init.normal_(weights, 0, 0.05)
    assert isinstance(autoencoder, KLAutoencoder)
    if autoencoder.shift_factor is not None:
        autoencoder.scale_factor.copy_(torch.linspace(0.3, 2, 4)[:, None, None])
        autoencoder.shift_factor.copy_(torch.linspace(-1, 1, 4)[:, None, None])
    kind = getattr(diffusion, nodes["schedule"].type)
    return LatentDiffusion(unet.eval(), autoencoder.eval(), schedule=kind(**nodes["schedule"].params))


@pytest.mark.parametrize(
    "recipe", [pytest.param(each, marks=[pytest.mark.slow] if each in ANALYSES else []) for each in RECIPES]
)
def test_a_recipe_samples_in_diffusers_as_it_does_here(recipe: str, tmp_path: Path) -> None:
    model = built(recipe)
    refuse_for_diffusers(model)
    save_diffusers(model, tmp_path / "m")
    unet, autoencoder, process = model.unet, model.autoencoder, model.schedule
    assert isinstance(unet, UNet)
    assert autoencoder is not None
    assert process is not None
    draw = torch.Generator().manual_seed(1)
    noise = torch.randn(2, 4, 8, 8, generator=draw)
    concat = torch.randn(2, unet.in_channels - 4, 8, 8, generator=draw)
    context = torch.randn(2, 3, unet.context_dim, generator=draw) if unet.context_dim else None
    vector = unet.config["adm_in_channels"]
    y = torch.randn(2, vector, generator=draw) if vector else None
    condition = Conditioning(context, concat if concat.shape[1] else None, y)

    theirs: Any = (diffusers.UNet2DConditionModel if unet.context_dim else diffusers.UNet2DModel).from_pretrained(
        tmp_path / "m/unet"
    )
    scheduler: Any = (
        diffusers.FlowMatchEulerDiscreteScheduler if recipe == "rectified_flow" else diffusers.DDIMScheduler
    )
    scheduler = scheduler.from_pretrained(tmp_path / "m/scheduler")
    scheduler.set_timesteps(STEPS)

    def predict(z: Tensor, t: Tensor) -> Tensor:
        given = [] if context is None else [context]
        prediction: Tensor = theirs(torch.cat([z, concat], 1), t, *given, class_labels=y).sample
        return prediction

    with torch.no_grad():
        z = noise
        for t in scheduler.timesteps:
            z = scheduler.step(predict(z, t), t, z).prev_sample
        place = "vqvae" if context is None and not concat.shape[1] else "vae"  # an LDMPipeline's
        vae = diffusers.AutoencoderKL.from_pretrained(tmp_path / "m" / place)
        wanted = vae.decode(z / vae.config.scaling_factor).sample
        back = schedule_from_diffusers(read_json(tmp_path / "m/scheduler/scheduler_config.json"))
        sampler = stored(back)
        levels = sampler.levels(back, STEPS)
        ours = sampler(lambda z, t: denoise(unet, z, t, condition), levels.prior(noise), levels)
        torch.testing.assert_close(ours, z, rtol=0, atol=1e-4 * float(z.abs().max()))
        torch.testing.assert_close(autoencoder.decode(ours), wanted, rtol=0, atol=1e-4)
