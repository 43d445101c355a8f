"""Regional prompts: what is to be where, each part of the picture with a prompt of its own."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import Field

from core.diffusion import regions
from graph_runner.contract import node
from nodes.wires import Conditioning, Denoiser, Latent, Mask, Prediction, Timestep

First = Annotated[float, Field(ge=0, le=4096)]
Length = Annotated[float, Field(gt=0, le=4096)]
Strength = Annotated[float, Field(ge=-10, le=10)]


class Predicted(NamedTuple):
    """The prediction for a rectangle, zero elsewhere, and how much it counts in each cell."""

    prediction: Prediction
    weight: Mask


@node(
    category="diffusion",
    words=(
        "regional prompts",
        "area composition",
        "conditioning set area",
        "multidiffusion",
        "region",
        "latent couple",
    ),
)
def denoise_area(
    model: Denoiser,
    z: Latent,
    t: Timestep,
    condition: Conditioning | None = None,
    top: First = 0.0,
    left: First = 0.0,
    height: Length = 1.0,
    width: Length = 1.0,
    unit: regions.Unit = "share",
) -> Predicted:
    """What a denoiser predicts for a rectangle of the latent, as if it were all: one of several regions with prompts of their own.

    regional_prediction joins the regions by the weights, which run out over eight cells before an edge that is not the latent's.

    model: a UNet or any other denoiser of latents with height and width.
    z: noisy latents.
    t: their timestep.
    condition: what it is told; channels beside the latent are cut with it.
    top: where the rectangle begins.
    left: where the rectangle begins.
    height: of the rectangle, in cells a multiple of what the UNet halves, 8 for Stable Diffusion; what reaches beyond is cut off.
    width: of the rectangle, in cells a multiple of what the UNet halves.
    unit: of these four: shares of the latent's height and width, or cells of it, 8 pixels each for Stable Diffusion.
    """
    place = regions.area((z.shape[2], z.shape[3]), top, left, height, width, unit)
    return Predicted(*regions.denoise_area(model, z, t, condition, place))


@node(
    category="guidance",
    words=("regional prompts", "conditioning set mask", "masked prompt", "composition", "attention couple", "combine"),
)
def regional_prediction(
    predictions: list[Prediction],
    masks: list[Mask],
    strengths: list[Strength] = [],  # noqa: B006
) -> Prediction:
    """Several predictions for one latent as one, each where its mask is: Σ s · m · p / Σ s · m. For the inside of sample.

    Each part of a picture follows a prompt of its own. Where no mask is, nothing is predicted.

    predictions: one for each region, of denoise or denoise_area.
    masks: one for each: painted, or denoise_area's weight. One of another size is interpolated to the latent's.
    strengths: one for each; none for 1 each.
    """
    return regions.joined(predictions, masks, strengths or [1.0] * len(predictions))
