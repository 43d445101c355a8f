"""One first stage in the place of another: the scale of its latents must be that of the model it serves."""

from __future__ import annotations

from typing import Literal

import torch

from core.checkpoints.latent_scale import PUBLISHED, with_scale
from graph_runner.contract import node
from nodes.wires import Autoencoder

Published = Literal["Stable Diffusion 1 and 2", "Stable Diffusion XL", "Stable Diffusion 3", "Flux"]


@node(category="first stage", words=("vae swap", "vae loader", "scaling factor", "shift factor"))
def scale_latents_for(
    autoencoder: Autoencoder, like: Autoencoder | None = None, model: Published = "Stable Diffusion 1 and 2"
) -> Autoencoder:
    """An autoencoder with the latent scale of the model that it is to serve (Rombach et al. 2022, section 4.3.2).

    A file of an autoencoder alone does not say its scale; with a wrong one pictures are pale or burnt.

    autoencoder: in whose place another one was.
    like: the one that came with the model, whose scale is taken over.
    model: whose published scale is taken where none is wired.
    """
    if like is not None:
        return with_scale(autoencoder, like.scale_factor, like.shift_factor)
    scale = PUBLISHED[model]
    if autoencoder.latent_channels != scale.channels:
        raise ValueError(
            f"{model} has latents of {scale.channels} channels, and this autoencoder {autoencoder.latent_channels}"
        )
    shift = torch.tensor(scale.shift) if scale.shift else None
    return with_scale(autoencoder, torch.tensor(scale.factor), shift)
