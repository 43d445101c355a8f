"""FreeU: better pictures of a trained UNet by how it joins what it has (Si et al. 2023)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from core.models.freeu import FreeU, Stages, Version
from graph_runner.contract import node
from nodes.lora import for_unet
from nodes.wires import Denoiser, UNet

Scale = Annotated[float, Field(ge=0, le=10)]


@node(category="models", words=("free lunch", "freeu_v2", "backbone", "skip connections"))
def freeu(
    unet: UNet,
    b1: Scale = 1.3,
    b2: Scale = 1.4,
    s1: Scale = 0.9,
    s2: Scale = 0.2,
    version: Version = "2",
    stages: Stages = "by width",
) -> Denoiser:
    """A UNet whose features from below are louder and whose skip connections are smoother, without training (Si et al. 2023).

    The numbers are the authors' for Stable Diffusion 1; they advise 1.1, 1.2, 0.9, 0.2 for XL, and for version 1. All 1 changes nothing.

    unet: a trained one, LoRAs already in it; it stays as it is.
    b1: of the features where they are widest.
    b2: of the features where they are half as wide.
    s1: of the lowest frequencies of the skip connections where features are widest.
    s2: of the lowest frequencies of the skip connections where they are half as wide.
    version: 2 counts most where the features are strong, 1 everywhere alike.
    stages: where features are four and two times as wide as the UNet's first (the authors, ComfyUI), or the two lowest levels (diffusers).
    """
    return FreeU(for_unet(unet), (b1, b2), (s1, s2), version, stages)
