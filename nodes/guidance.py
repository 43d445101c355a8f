"""Guidance beyond the classifier-free: rescaled, by a classifier, by an image, by what is known."""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from pydantic import Field

from core.diffusion import guidance
from graph_runner.contract import node
from nodes.wires import Gradient, Image, Latent, LogLikelihood, Mask, Prediction, Schedule, Timestep


@node(category="guidance", words=("rescale cfg",))
def cfg_rescale(guided: Prediction, cond: Prediction, amount: Annotated[float, Field(ge=0, le=1)] = 0.7) -> Prediction:
    """Bring a guided prediction's deviation back to the conditional one's, against over-exposure (Lin et al. 2024).

    guided: what cfg_combine gives.
    cond: the conditional prediction.
    amount: 0 changes nothing.
    """
    return guidance.rescale(guided, cond, amount)


@node(category="guidance")
def dynamic_threshold(
    prediction: Prediction,
    z: Latent,
    t: Timestep,
    schedule: Schedule,
    percentile: Annotated[float, Field(gt=0, le=1)] = 0.995,
    floor: Annotated[float, Field(gt=0, le=1000)] = 1.0,
) -> Prediction:
    """Keep the estimate of the clean latent from growing under strong guidance (Imagen, Saharia et al. 2022, section 2.3).

    prediction: what guidance gives.
    percentile: of each sample's magnitudes, at which they are clipped.
    floor: what they are scaled back to; 1 for pixels in [−1, 1], more for latents, which have no bounds.
    """
    return guidance.dynamic_threshold(prediction, z, t, schedule, percentile, floor)


@node(category="guidance", words=("x0", "denoised"))
def estimate_z0(prediction: Prediction, z: Latent, t: Timestep, schedule: Schedule) -> Latent:
    """The clean latent that a prediction stands for."""
    return schedule.to_z0(prediction, z, t)


@node(category="guidance")
def image_likelihood(seen: Image, wanted: Image) -> LogLikelihood:
    """The image guider, log p = −½‖y − T(D(z0))‖² (Rombach et al. 2022, appendix C).

    seen: the decoded estimate, or what a transformation makes of it, such as its low-resolution version.
    wanted: y.
    """
    return guidance.image_log_likelihood(seen, wanted)


@node(category="guidance", formerly=("shrink",))
def downscale(images: Image, factor: Annotated[int, Field(ge=1, le=32)] = 4) -> Image:
    """Images reduced by averaging, gradients passing: the transformation T of super-resolution by guidance.

    factor: of height and width.
    """
    return F.avg_pool2d(images, factor)


@node(category="guidance", grad=("z",), words=("diffusion posterior sampling", "dps"))
def likelihood_gradient(log_likelihood: LogLikelihood, z: Latent) -> Gradient:
    """∇_z log p(y|z): the nodes between z and the likelihood are run with gradients on.

    log_likelihood: computed from z inside this sampling zone.
    z: the zone's own noisy latent.
    """
    return guidance.gradient(log_likelihood, z)


@node(
    category="guidance",
    formerly=("steer",),
    lazy={"gradient": lambda scale: scale != 0},
    words=("classifier guidance",),
)
def gradient_guidance(
    prediction: Prediction,
    gradient: Gradient,
    t: Timestep,
    schedule: Schedule,
    scale: Annotated[float, Field(ge=-1000, le=1000)] = 1.0,
) -> Prediction:
    """Guidance by a gradient: eps − noise · scale · ∇ log p(y|z) (Dhariwal & Nichol 2021, algorithm 2).

    prediction: the denoiser's.
    gradient: of a classifier's or image guider's likelihood; not computed where scale is 0.
    scale: how strongly; below 0, away from what is likely.
    """
    if scale == 0:
        return prediction
    return guidance.steer(prediction, gradient, t, schedule, scale)


@node(category="guidance", formerly=("keep_known",), words=("inpainting", "set latent noise mask"))
def inpaint_latent(z: Latent, known: Latent, noise: Latent, t: Timestep, mask: Mask, schedule: Schedule) -> Latent:
    """What the denoiser should see where part of the latent is known: the known part, noised.

    z: the zone's own noisy latent.
    known: the clean latent of the picture.
    noise: any, the same at every step.
    mask: 1 where the picture is to be filled; brought to the latent's size.
    """
    return guidance.keep_known(z, known, noise, t, 1 - _shrunk(mask, z), schedule)


@node(category="guidance", formerly=("predict_known",), words=("inpainting", "differential diffusion"))
def inpaint_prediction(
    prediction: Prediction, z: Latent, known: Latent, t: Timestep, mask: Mask, schedule: Schedule
) -> Prediction:
    """A prediction that leads to the known latent outside the mask, whatever the solver.

    A sampling that stops at the schedule's first level, as DDIM's and PLMS' does by default, leaves that level's noise on it
    (.04 of Stable Diffusion's); composite the picture, or sample with a solver that ends without noise, such as euler.

    prediction: of inpaint_latent's result.
    z: the zone's own noisy latent.
    known: the clean latent of the picture.
    mask: 1 where the picture is to be filled; brought to the latent's size.
    """
    return guidance.predict_known(prediction, z, known, t, 1 - _shrunk(mask, z), schedule)


def _shrunk(mask: Mask, z: Latent) -> Mask:
    return F.interpolate((mask >= 0.5).to(z.dtype), size=z.shape[2:], mode="nearest")
