"""The paper's models by their published names, untrained: to train them, or to measure what they cost."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from core.conditioning.published import random_condition
from core.diffusion.schedule import NoiseSchedule
from core.models.presets import AUTOENCODERS, LATENT_DIFFUSION, build_autoencoder, build_unet, find_latent_diffusion
from graph_runner.context import Device, Rng
from graph_runner.contract import node
from nodes.diffusion import Sizes
from nodes.wires import Autoencoder, Conditioning, Schedule, UNet

AutoencoderPreset = Literal[*AUTOENCODERS]  # type: ignore[valid-type]
LatentDiffusionPreset = Literal[*LATENT_DIFFUSION]  # type: ignore[valid-type]
Side = Annotated[int, Field(ge=0, le=1024)]


class Published(NamedTuple):
    """What a preset says, to be wired into the nodes that build it."""

    preset: str
    first_stage: str
    scale_factor: float
    shape: list[int]
    schedule: Schedule


@node(category="published models")
def published_settings(
    preset: LatentDiffusionPreset = "celeba256", samples: Annotated[int, Field(ge=1, le=65_536)] = 1, size: Side = 0
) -> Published:
    """A published model's settings, so that one name sets a whole graph: first stage, latent shape, noise schedule.

    preset: CompVis' configurations (Rombach et al. 2022, tables 12 to 15), and Stable Diffusion's.
    samples: of the latent shape.
    size: height and width of the latent; 0 for what the model was trained on.
    """
    found = find_latent_diffusion(preset)
    scale = found["scale_factor"]
    side = size or found["latent_size"]
    return Published(
        preset,
        found["first_stage"],
        1.0 if scale == "std" else scale,  # measured on a batch of the data: there is none here
        [samples, found["unet"]["out_channels"], side, side],
        NoiseSchedule.linear(**found["schedule"]),
    )


@node(category="published models")
def published_autoencoder(
    rng: Rng,  # noqa: ARG001 - the engine seeds torch's generators, which initialisation draws from
    preset: AutoencoderPreset = "kl-f8",
    scale_factor: Annotated[float, Field(gt=0)] = 1.0,
) -> Autoencoder:
    """An autoencoder of the paper by its published name, untrained.

    preset: kl-f4 … kl-f32, vq-f4 … vq-f16 (Rombach et al. 2022, table 8).
    scale_factor: of its latents: .18215 for Stable Diffusion.
    """
    return build_autoencoder(preset, scale_factor=scale_factor)


@node(category="published models")
def published_unet(
    rng: Rng,  # noqa: ARG001
    preset: LatentDiffusionPreset = "celeba256",
    gradient_checkpointing: bool = False,
) -> UNet:
    """A UNet of the paper by its published name, untrained.

    preset: CompVis' configurations (Rombach et al. 2022, tables 12 to 15), and Stable Diffusion's.
    gradient_checkpointing: less memory in training, more time.
    """
    return build_unet(preset, gradient_checkpointing=gradient_checkpointing)


@node(category="published models", version=2)
def published_condition(
    rng: Rng,
    device: Device,
    preset: LatentDiffusionPreset = "celeba256",
    shape: Sizes = [1, 3, 64, 64],  # noqa: B006
) -> Conditioning:
    """A condition as a published model takes it, from its own untrained conditioner and random tokens, classes or maps.

    It says nothing; it costs what the real one does.

    preset: the UNet's.
    shape: of the latent.
    """
    return random_condition(preset, shape[0], shape[2], rng).to(device)
