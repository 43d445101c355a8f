"""Denoising under prompts that change from step to step, or join several."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from core.conditioning import prompted
from core.conditioning.prompted import (
    Prompted as Prompted,
)  # scanned, so that conditions of its kind are kept and found
from graph_runner.contract import Axes, node
from nodes.wires import Conditioning, Denoiser, Latent, Prediction, Timestep


@node(
    category="diffusion",
    words=(
        "composable diffusion",
        "prompt editing",
        "prompt scheduling",
        "alternating prompts",
        "conditioning combine",
        "AND",
    ),
)
def denoise_prompt(
    model: Denoiser,
    z: Latent,
    t: Timestep,
    condition: Conditioning,
    step: Annotated[int, Field(ge=0)],
    share: Annotated[float, Field(ge=0, le=1)],
    uncond: Annotated[Prediction | None, Axes("_ c ...")] = None,
) -> Prediction:
    """What a denoiser predicts under a prompt that changes on the way ([a:b:.5], [a|b]) or joins several (AND).

    Several are composed: uncond + Σ wᵢ · (predictionᵢ − uncond) (Liu et al. 2022, equation 11). Any other condition is told as it is.

    model: a UNet or any other denoiser.
    z: noisy latents.
    t: their timestep.
    condition: of text_context, with style a1111 or compel.
    step: of the sampling around, counted from 0.
    share: of its steps that are done.
    uncond: the prediction under the null condition; needed for AND alone.
    """
    return prompted.denoise_prompt(model, z, t, condition, step, share, uncond)
