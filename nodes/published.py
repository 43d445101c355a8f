"""Published models by their names, untrained: to train them, or to measure what they cost."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from core.conditioning.published import random_condition
from core.diffusion.schedule import NoiseSchedule
from core.models.dit import DIT, DiT
from core.models.mmdit import MMDIT, MMDiT
from core.models.pixart import PIXART, PixArt
from core.models.presets import AUTOENCODERS, LATENT_DIFFUSION, build_autoencoder, build_unet, find_latent_diffusion
from graph_runner.context import Device, Rng
from graph_runner.contract import node
from nodes.diffusion import Sizes
from nodes.wires import Autoencoder, Conditioning, Denoiser, Schedule, UNet

AutoencoderPreset = Literal[*AUTOENCODERS]  # type: ignore[valid-type]
LatentDiffusionPreset = Literal[*LATENT_DIFFUSION]  # type: ignore[valid-type]
TransformerPreset = Literal[*DIT]  # type: ignore[valid-type]
MMDiTPreset = Literal[*MMDIT]  # type: ignore[valid-type]
PixArtPreset = Literal[*PIXART]  # type: ignore[valid-type]
ConditionPreset = Literal[*LATENT_DIFFUSION, *MMDIT, *PIXART]  # type: ignore[valid-type]
Side = Annotated[int, Field(ge=0, le=1024)]


class Published(NamedTuple):
    """What a preset says, to be wired into the nodes that build it."""

    preset: str
    first_stage: str
    scale_factor: float
    shape: list[int]
    schedule: Schedule


@node(category="published models", formerly=("published_settings",))
def preset_settings(
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


@node(category="published models", formerly=("published_autoencoder",), words=("vae",))
def preset_autoencoder(
    rng: Rng,  # noqa: ARG001 - the engine seeds torch's generators, which initialisation draws from
    preset: AutoencoderPreset = "kl-f8",
    scale_factor: Annotated[float, Field(gt=0)] = 1.0,
) -> Autoencoder:
    """An autoencoder of the paper by its published name, untrained.

    preset: kl-f4 … kl-f32, vq-f4 … vq-f16 (Rombach et al. 2022, table 8).
    scale_factor: of its latents: .18215 for Stable Diffusion.
    """
    return build_autoencoder(preset, scale_factor=scale_factor)


@node(category="published models", formerly=("published_unet",))
def preset_unet(
    rng: Rng,  # noqa: ARG001
    preset: LatentDiffusionPreset = "celeba256",
    gradient_checkpointing: bool = False,
) -> UNet:
    """A UNet of the paper by its published name, untrained.

    preset: CompVis' configurations (Rombach et al. 2022, tables 12 to 15), and Stable Diffusion's.
    gradient_checkpointing: less memory in training, more time.
    """
    return build_unet(preset, gradient_checkpointing=gradient_checkpointing)


@node(category="published models")
def preset_dit(
    rng: Rng,  # noqa: ARG001
    preset: TransformerPreset = "DiT-B/2",
    in_channels: Annotated[int, Field(ge=1, le=4096)] = 4,
    sample_size: Annotated[int, Field(ge=1, le=4096)] = 32,
    num_classes: Annotated[int, Field(ge=0, le=10_000_000)] = 1000,
    learn_sigma: bool = True,
    gradient_checkpointing: bool = False,
) -> Denoiser:
    """A diffusion transformer by its published name, untrained (Peebles & Xie 2023, table 1).

    preset: size and side of the patches.
    in_channels: channels of the latent.
    sample_size: height and width of the latents it is trained on; others fit too.
    num_classes: classes, and one more, the last, for no class; 0 for none.
    learn_sigma: it also has outputs for the variance, as the published weights do; samplers here leave them out.
    gradient_checkpointing: less memory in training, more time.
    """
    return DiT(
        in_channels,
        **DIT[preset],
        sample_size=sample_size,
        num_classes=num_classes or None,
        learn_sigma=learn_sigma,
        gradient_checkpointing=gradient_checkpointing,
    )


@node(category="published models", words=("stable diffusion 3", "sd3", "mmdit"))
def preset_mmdit(
    rng: Rng,  # noqa: ARG001
    preset: MMDiTPreset = "stable-diffusion-3-medium",
    gradient_checkpointing: bool = False,
) -> Denoiser:
    """The transformer of Stable Diffusion 3 or 3.5 by its published name, untrained (Esser et al. 2024).

    preset: 2,028,328,000, 2,243,171,520 or 8,056,627,520 weights.
    gradient_checkpointing: less memory in training, more time.
    """
    return MMDiT(**MMDIT[preset], gradient_checkpointing=gradient_checkpointing)


@node(category="published models", words=("pixart alpha", "pixart sigma"))
def preset_pixart(
    rng: Rng,  # noqa: ARG001
    preset: PixArtPreset = "pixart-sigma-1024",
    gradient_checkpointing: bool = False,
) -> Denoiser:
    """The transformer of PixArt-α or PixArt-Σ by its published name, untrained (Chen et al. 2023 and 2024).

    preset: 610,856,096 weights; that of α for 1024 pixels, which is told sizes, has 611,349,152.
    gradient_checkpointing: less memory in training, more time.
    """
    return PixArt(**PIXART[preset], gradient_checkpointing=gradient_checkpointing)


@node(category="published models", version=2, formerly=("published_condition",))
def preset_condition(
    rng: Rng,
    device: Device,
    preset: ConditionPreset = "celeba256",
    shape: Sizes = [1, 3, 64, 64],  # noqa: B006
) -> Conditioning:
    """A condition as a published model takes it, from its own untrained conditioner and random tokens, classes or maps.

    It says nothing; it costs what the real one does. Stable Diffusion 3's and PixArt's are normal noise of their shapes: their encoders
    are larger than the rest.

    preset: the denoiser's.
    shape: of the latent.
    """
    return random_condition(preset, shape[0], shape[2], rng).to(device)
