"""The diffusion process in latent space: noise, denoiser, guidance, loss (Rombach et al. 2022, section 3.2)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.diffusion import guidance, langevin, tiles
from core.diffusion import torch_noise as drawn_noise
from core.diffusion.edm import EDM
from core.diffusion.flow import Density, FlowParametrisation, RectifiedFlow
from core.diffusion.schedule import NoiseSchedule, Parametrisation
from core.diffusion.torch_noise import Way
from core.losses import diffusion as losses
from core.models import denoiser
from graph_runner.context import Device, Rng
from graph_runner.contract import Axes, Formerly, Neutral, Seed, node
from nodes.wires import Conditioning, Denoiser, Latent, Loss, Prediction, Schedule, Score, Timestep

Beta = Annotated[float, Field(gt=0, lt=1)]
Side = Annotated[int, Field(ge=1, le=4096)]
Sizes = Annotated[list[Annotated[int, Field(ge=1, le=65_536)]], Field(min_length=4, max_length=4)]
FirstRow = Annotated[int, Field(ge=0, le=2**62)]
"""Which sample of a larger batch a node's batch begins with: its random numbers are keyed by the sample's number."""


@node(category="diffusion", words=("scheduler", "beta schedule", "v-prediction", "zero terminal snr"))
def noise_schedule(
    kind: Literal["linear", "plain_linear", "cosine"] = "linear",
    timesteps: Annotated[int, Field(ge=2, le=100_000)] = 1000,
    beta_start: Beta = 0.0015,
    beta_end: Beta = 0.0195,
    parametrisation: Parametrisation = "eps",
    zero_terminal_snr: bool = False,
) -> Schedule:
    """How much noise at which timestep, and what the denoiser predicts there.

    kind: LDM's linear (even in √β), betas in even steps (DDPM), or cosine (Nichol & Dhariwal 2021).
    timesteps: T.
    beta_start: the first variance; cosine has its own.
    beta_end: the last variance; cosine has its own.
    parametrisation: the prediction type: the noise eps, the velocity v, or the clean latent x0.
    zero_terminal_snr: end in pure noise (Lin et al. 2024); needs v or x0, and trailing spacing.
    """
    if kind == "cosine":
        schedule = NoiseSchedule.cosine(timesteps, parametrisation="v" if zero_terminal_snr else parametrisation)
    else:
        make = NoiseSchedule.linear if kind == "linear" else NoiseSchedule.plain_linear
        schedule = make(timesteps, beta_start, beta_end, "v" if zero_terminal_snr else parametrisation)
    return schedule.with_zero_terminal_snr(parametrisation) if zero_terminal_snr else schedule


@node(category="diffusion", words=("flow matching", "scheduler"))
def rectified_flow(
    shift: Annotated[float, Field(gt=0, le=100)] = 1.0,
    density: Density = "uniform",
    mean: Annotated[float, Field(ge=-10, le=10)] = 0.0,
    std: Annotated[float, Field(gt=0, le=10)] = 1.0,
    parametrisation: FlowParametrisation = "velocity",
) -> Schedule:
    """Straight paths from data to noise, z = (1 − u) · z0 + u · eps (Liu et al. 2023, Lipman et al. 2023, Esser et al. 2024).

    The denoiser is told t = 1000 u. A model trained with another process has to be trained anew.

    shift: more than 1 spends more time near noise, in training and sampling; 3 in Stable Diffusion 3, for large latents.
    density: of random_timesteps: all alike, or logit-normal, which trains the middle of the way more.
    mean: of the logit, where logit-normal; more than 0 is towards noise.
    std: of the logit, where logit-normal.
    parametrisation: the prediction type: the velocity eps − z0, or the clean latent x0.
    """
    return RectifiedFlow(shift, density, mean, std, parametrisation)


@node(category="diffusion", words=("scheduler",))
def edm(
    sigma_min: Annotated[float, Field(gt=0, le=1)] = 0.002,
    sigma_max: Annotated[float, Field(gt=1, le=100_000)] = 80.0,
    sigma_data: Annotated[float, Field(gt=0, le=1000)] = 1.0,
    rho: Annotated[float, Field(ge=1, le=100)] = 7.0,
    p_mean: Annotated[float, Field(ge=-10, le=10)] = -1.2,
    p_std: Annotated[float, Field(gt=0, le=5)] = 1.2,
) -> Schedule:
    """EDM: noise by sigma, and a preconditioned denoiser (Karras et al. 2022).

    Noisy latents on wires are c_in · (z0 + sigma · eps), of unit variance; the denoiser is told t = c_noise = ln(sigma) / 4 and
    predicts F. diffusion_loss without a weighting is the paper's weighted loss.

    sigma_min: where sampling ends, before its last step to no noise.
    sigma_max: where it starts.
    sigma_data: deviation of the data: 1 for scaled latents, 0.5 for the paper's pictures.
    rho: how much sampling dwells on little noise.
    p_mean: of ln(sigma) in random_timesteps, which is normal.
    p_std: of ln(sigma) in random_timesteps.
    """
    return EDM(sigma_min, sigma_max, sigma_data, rho, p_mean, p_std)


@node(category="diffusion", version=2, words=("empty latent", "latent image", "txt2img"))
def gaussian_noise(
    rng: Rng,
    shape: Sizes = [1, 4, 32, 32],  # noqa: B006
    first_row: FirstRow = 0,
) -> Latent:
    """Standard normal noise: where sampling starts. Each sample has its own, whatever the number of samples.

    shape: samples, channels, height and width of the latent.
    first_row: begin with this sample of a larger batch, counted from 0: so one picture of many is made again alone, with the
        same first_row where it is sampled.
    """
    return rng.from_row(first_row).randn(*shape)


@node(
    category="diffusion", words=("manual_seed", "a1111 seed", "comfyui seed", "empty latent", "latent image", "philox")
)
def torch_noise(
    device: Device,
    shape: Sizes = [1, 4, 64, 64],  # noqa: B006
    seed: Seed = 0,
    noise_as: Way = "diffusers",
    first_row: FirstRow = 0,
) -> Latent:
    """Standard normal noise as another program draws it from a seed, to make its pictures again; sample has the same choice.

    shape: samples, channels, height and width of the latent.
    seed: the program's.
    noise_as: diffusers and ComfyUI draw a batch at once, A1111 each picture from the next seed. On the CPU, or as an NVIDIA GPU
        does, which is A1111's default; ComfyUI's starts on the CPU in either case.
    first_row: begin with this sample of a larger batch, counted from 0; A1111's alone.
    """
    return drawn_noise.start(noise_as, seed, first_row)(*shape).to(device)


@node(category="diffusion", version=2, draws_when=lambda given: given.get("noise_as", "by row") == "by row")
def noise_like(
    z: Latent,
    rng: Rng,
    first_row: FirstRow = 0,
    noise_as: Annotated[Literal["by row", Way], Neutral("by row")] = "by row",
    noise_seed: Annotated[Seed, Neutral(0)] = 0,
) -> Latent:
    """Standard normal noise of a latent's shape.

    first_row: the sample of a larger batch that z begins with, counted from 0.
    noise_as: how it is drawn: by row, or as a program does, to make its pictures again (torch_noise).
    noise_seed: the program's seed; "by row" has the node's own.
    """
    if noise_as != "by row":
        return drawn_noise.start(noise_as, noise_seed, first_row)(*z.shape).to(z)
    return rng.from_row(first_row).randn_like(z)


@node(category="diffusion", version=2, draws_when=lambda given: given["strength"] > 0)
def offset_noise(noise: Latent, rng: Rng, strength: Annotated[float, Field(ge=0, le=1)] = 0.1) -> Latent:
    """Noise with a random shift of each channel's mean, so that a model learns very dark and very bright pictures too.

    For training; it goes both to add_noise and to the loss (Guttenberg 2023).

    noise: standard normal.
    strength: deviation of the shift.
    """
    return losses.offset_noise(noise, rng.randn_like(noise[:, :, :1, :1]), strength)


@node(category="diffusion", version=2)
def random_timesteps(schedule: Schedule, z: Latent, rng: Rng) -> Timestep:
    """A timestep for each sample of a batch, drawn as the process is trained: by betas all are equally likely."""
    return schedule.timesteps(rng.rand(len(z)))


@node(category="diffusion", words=("forward diffusion", "q_sample"))
def add_noise(schedule: Schedule, z0: Latent, noise: Latent, t: Timestep) -> Latent:
    """The forward process, signal · z0 + noise · eps: by betas √ᾱ_t · z0 + √(1 − ᾱ_t) · eps (Ho et al. 2020, eq. 4).

    z0: clean latents.
    t: a timestep for each.
    """
    return schedule.add_noise(z0, noise, t)


@node(
    category="diffusion",
    batched=("z", "t", "condition"),
    formerly=("unet_denoise",),
    words=("unet", "model", "apply model", "noise prediction"),
)
def denoise(
    model: Denoiser, z: Latent, t: Timestep, condition: Annotated[Conditioning | None, Formerly("context")] = None
) -> Prediction:
    """What a denoiser predicts for noisy latents at a timestep, under a condition.

    model: a UNet or any other denoiser.
    z: noisy latents.
    t: their timestep.
    condition: what it is told; guidance wires the null condition here, not nothing.
    """
    return denoiser.denoise(model, z, t, condition)


@node(
    category="diffusion",
    batched=("z", "t", "condition"),
    formerly=("unet_denoise_tiles",),
    words=("unet", "tiled diffusion", "multidiffusion"),
)
def denoise_tiles(
    model: Denoiser,
    z: Latent,
    t: Timestep,
    condition: Annotated[Conditioning | None, Formerly("context")] = None,
    kernel: Side = 128,
    stride: Side = 64,
) -> Prediction:
    """What a denoiser predicts, tile by tile: for latents that are larger than memory, or than it was trained on.

    Tiles overlap and are blended by the distance to their borders, as in CompVis' super-resolution.

    model: a UNet or any other denoiser of latents with height and width.
    z: noisy latents.
    t: their timestep.
    condition: what it is told; channels beside the latent are cut with it.
    kernel: height and width of a tile of the latent.
    stride: from one tile to the next, at most the kernel.
    """
    return tiles.denoise_tiles(model, z, t, condition, kernel, stride)


@node(
    category="guidance",
    lazy={"uncond": lambda scale: scale != 1},
    words=("cfg", "guidance scale", "classifier-free guidance", "negative prompt"),
)
def cfg_combine(
    cond: Annotated[Prediction, Axes("_ c ...")],
    uncond: Annotated[Prediction, Axes("_ c ...")],
    scale: Annotated[float, Field(ge=-100, le=100)] = 7.5,
) -> Prediction:
    """Classifier-free guidance: uncond + scale · (cond − uncond) (Ho & Salimans 2021).

    cond: under the condition.
    uncond: under the null condition; not computed where scale is 1.
    scale: 1 gives the conditional prediction; larger values follow the condition more closely, those below 0 flee it.
    """
    if scale == 1:
        return cond
    return guidance.classifier_free(cond, uncond, scale)


@node(category="losses")
def diffusion_loss(
    schedule: Schedule,
    prediction: Prediction,
    z0: Latent,
    noise: Latent,
    t: Timestep,
    norm: Literal["l1", "l2"] = "l2",
    weighting: Literal["none", "min_snr", "elbo"] = "none",
    gamma: Annotated[float, Field(gt=0)] = 5.0,
) -> Loss:
    """The distance of a prediction from its target (Rombach et al. 2022, eq. 2); the schedule says what that is.

    prediction: at add_noise(z0, noise, t).
    norm: squared or absolute.
    weighting: none (the simple loss), min-SNR (Hang et al. 2023), or the variational bound's, which wants betas.
    gamma: of min-SNR.
    """
    return losses.diffusion_loss(prediction, z0, noise, t, schedule, norm, weighting, gamma)


@node(category="diffusion")
def score(prediction: Prediction, z: Latent, t: Timestep, schedule: Schedule) -> Score:
    """The score ∇ log q(z_t) = −eps / noise that a prediction stands for, noise being √(1 − ᾱ_t) by betas (Song et al. 2021)."""
    return langevin.score(prediction, z, t, schedule)
