"""No node makes the host wait for the device in a step of a training or sampling, but those that say why here."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.conditioning.conditioning import Conditioning
from core.diffusion.schedule import NoiseSchedule
from core.diffusion.solvers import SOLVERS, sample
from core.losses.autoencoder import adaptive_weight, generator_loss
from core.losses.diffusion import diffusion_loss
from core.models.denoiser import denoise
from core.models.discriminator import NLayerDiscriminator
from core.models.unet import UNet
from core.training.objective import Objective
from core.training.optimizers import SGD
from core.training.recipe import Clip, Recipe
from core.training.trainer import Trainer
from graph_runner.contract.spec import NodeSpec
from tests.nodes.samples import WIRES
from tests.nodes.test_contract import ELSEWHERE, OPTIONAL, REGISTRY, arguments
from tests.waits import Waits

ON_THE_HOST = {
    "decode": "looks whether latents and images are numbers, once after a sampling",
    "decode_tiles": "the same",
    "layout_tokens": "layouts become token ids on the host",
    "layout_objects": "the same, once a run",
    "null_layout": "the same, once a run",
    "rescale_latents": "looks whether the scale is a number, once after a training",
    "encode_captions": "captions are encoded once, before a training, and kept on the host",
    "drop_captions": "reads numbers that it drew on the host: text is there",
    "apply_ip_adapter": "looks whether pictures are numbers, once a run",
    "image_vector": "the same",
    "canny_edges": "asks whether edges still grow: of a given picture, once a run",
    "random_mask": "draws its strokes on the host, from numbers that it drew there",
    "degrade_images": "pictures are compressed and degraded on the host",
    "langevin_step": "reads a timestep that lies on the CPU; on another device it does not",
    "scale_loss": "reads a weight that lies on the CPU; on another device it does not",
    "guidance_interval": "reads t, once a step of a sampling: whether the null prediction is computed is decided on the host",
    "to_number": "a number of Python is what it is for",
    "table": "cells are numbers of Python, once a run",
    "labelled_grid": "letters are drawn and pictures laid out on the host, once a run",
}
CATEGORIES = {
    "metrics",
    "images",
    "data",
    "data shaping",
    "data sources",
    "published",
    "checkpoints",
    "models",
    "text encoders",
}
"""Of nodes that are not of a step: they measure, show, load and prepare."""


@pytest.mark.parametrize("spec", REGISTRY.values(), ids=list(REGISTRY))
def test_a_node_of_a_step_does_not_look_at_what_it_computes(spec: NodeSpec, tmp_path: Path) -> None:
    if spec.type in ELSEWHERE or spec.type in OPTIONAL or spec.effect or spec.body or spec.category in CATEGORIES:
        pytest.skip("not called in a step, or by tests of its own")
    torch.manual_seed(0)
    kwargs = arguments(spec, tmp_path)
    with torch.no_grad():
        spec.function(**kwargs)  # what is done once a run is done
        with Waits() as waits:
            spec.function(**kwargs)
    assert bool(waits.found) is (spec.type in ON_THE_HOST), waits.found


def small() -> UNet:
    return UNet(4, 4, 8, [1, 2], 1, [2], num_heads=2, context_dim=6, norm_groups=4)


def test_a_training_step_looks_at_nothing_until_its_losses_are_told() -> None:
    unet, schedule = small(), NoiseSchedule.linear()
    discriminator = NLayerDiscriminator(4, 4, 1)
    trainer = Trainer({"unet": unet, "discriminator": discriminator}, ema=0.9)
    recipe = Recipe(SGD(lr=0.01), clip=Clip(norm=1.0))
    z0, told = torch.randn(3, 4, 8, 8), Conditioning(torch.randn(3, 5, 6))

    def step() -> None:
        t, noise = schedule.timesteps(torch.rand(3)), torch.randn_like(z0)
        prediction = denoise(unet, schedule.add_noise(z0, noise, t), t, told)
        loss = diffusion_loss(prediction, z0, noise, t, schedule, weighting="min_snr")
        fake = discriminator(prediction)
        generator = generator_loss(fake)
        weight = adaptive_weight(loss, generator, unet.out[2].weight)
        aims = [
            Objective(loss + weight * generator, (unet,), recipe, "unet"),
            Objective(fake.mean(), (discriminator,), recipe, "discriminator"),
        ]
        trainer.accumulate(aims, 1.0)
        trainer.step()

    step()
    with Waits() as waits:
        step()
        assert waits.found == []
        trainer.report()
        assert len(waits.found) == 1, "the losses, in one copy"


@pytest.mark.parametrize("name", [name for name in SOLVERS if name != "ddim_inversion"])
@pytest.mark.parametrize("gradients", [False, True])
def test_a_sampling_looks_at_nothing(name: str, gradients: bool) -> None:
    unet, schedule, told = small().eval(), NoiseSchedule.linear(), Conditioning(torch.randn(1, 5, 6))
    z = torch.randn(2, 4, 8, 8)

    def predict(z: Tensor, t: Tensor) -> Tensor:
        return denoise(unet, z, t, told).detach()

    def run() -> Any:
        return sample(predict, z, schedule, name, steps=4)

    with nullcontext() if gradients else torch.no_grad():
        run()
        with Waits() as waits:
            run()
    assert waits.found == []


def test_what_looks_is_noticed() -> None:
    x = torch.arange(4.0)
    for look in (
        lambda: bool(x[0] > 0),
        lambda: float(x[1]),
        lambda: x[x > 1],
        lambda: x.nonzero(),
        lambda: x.sum().item(),
        lambda: x.masked_select(x > 1),
        lambda: x.tolist(),
    ):
        with Waits() as waits:
            look()
        assert waits.found, look
    with Waits() as waits:
        x.add(1).clamp(0, 2)[:2].sum()
        x[torch.tensor([1, 2])]
    assert waits.found == []


def test_random_numbers_are_drawn_where_they_are_used() -> None:
    """On the meta device there is nothing that could be copied there: numbers that came from the host would be refused."""
    rng = arguments(REGISTRY["noise_like"], Path())["rng"]
    like = WIRES["latent"]().to("meta")
    assert rng.randn_like(like).device.type == "meta"
    assert rng.on("meta").rand(3).device.type == "meta"
    assert torch.equal(rng.on("cpu").rand(3), type(rng)(rng.seed).rand(3))
