"""Single files of PixArt-α and PixArt-Σ, under the papers' names (the repositories' .pth, ComfyUI's) or diffusers': what their weights tell.

They hold the transformer alone. What a file may hold besides is left out: the positions, which are computed, and the null caption of
the training (`y_embedder.y_embedding`), for which the empty caption stands, as in diffusers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.checkpoints.diffusers_pixart import renamed_from_diffusers
from core.checkpoints.diffusers_scheduler import schedule_from_diffusers
from core.checkpoints.files import CheckpointError
from core.checkpoints.forms import UNET, count
from core.checkpoints.latent_diffusion import LatentDiffusion
from core.checkpoints.model_io import build
from core.models.dit import grid_embedding
from core.models.pixart import PIXART, SIZED, XL, PixArt

State = dict[str, Tensor]

OF_DIFFUSERS = ("pos_embed.proj.weight", "adaln_single.linear.weight", "caption_projection.linear_1.weight")
"""What diffusers' names of one are known by."""
OWN = ("blocks.0.scale_shift_table", "t_block.1.weight", "y_embedder.y_proj.fc1.weight")
"""What the papers' are."""
HEAD = XL["hidden_size"] // XL["num_heads"]
"""Channels of a head, in every published transformer."""
SCALES: tuple[float, ...] = tuple(dict.fromkeys(each.get("interpolation_scale", 1.0) for each in PIXART.values()))
"""Of the positions, in every published transformer."""
NEAR = 0.01
"""By how much positions differ that were rounded to half precision; those of another scale differ by much more."""
SCHEDULER = {
    "_class_name": "DPMSolverMultistepScheduler",
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
}
"""Of every published model, in diffusers' folders."""
UNTOLD = (
    "the file does not say for how large pictures it was trained: the positions are those of 512 pixels, which PixArt-α for 512 and "
    "PixArt-Σ of every size have; for PixArt-α for 256 load diffusers' folder"
)


def is_pixart(state: Mapping[str, Tensor]) -> bool:
    """Whether a file holds such a transformer, under the papers' names or diffusers', with CompVis' prefix or without."""
    return any(all(name in state or UNET + name in state for name in names) for names in (OWN, OF_DIFFUSERS))


def pixart_from_file(state: Mapping[str, Tensor], source: str | Path, dtype: torch.dtype | None) -> LatentDiffusion:
    """The transformer, and the noise process of every published one. Raises CheckpointError, naming `source`, where it is incomplete
    or of another kind."""
    try:
        own = in_papers_names(state)
        config = detect_pixart(own)
    except (KeyError, IndexError) as error:
        raise CheckpointError(f"{source} holds an incomplete PixArt (there is no {error}).") from error
    except ValueError as error:
        raise CheckpointError(f"{source} holds no PixArt that is known here: {error}.") from error
    weights = {key: value for key, value in own.items() if key not in ("pos_embed", "y_embedder.y_embedding")}
    told = config["sizes"] or "pos_embed" in own
    unet = build(PixArt, config, weights, source, dtype)
    return LatentDiffusion(unet, schedule=schedule_from_diffusers(SCHEDULER), untold=() if told else (UNTOLD,))


def in_papers_names(state: Mapping[str, Tensor]) -> State:
    """The transformer under the papers' names, without what stands before them. Raises KeyError and ValueError for one of diffusers'
    names that is incomplete, or has others besides."""
    own = {key.removeprefix(UNET): value for key, value in state.items() if key.startswith(UNET)} or dict(state)
    if OF_DIFFUSERS[0] not in own:
        return own
    own.pop("pos_embed.pos_embed", None)
    return renamed_from_diffusers(own, count(own, r"transformer_blocks\.(\d+)\."))


def detect_pixart(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """`PixArt`'s arguments from its weights. Raises KeyError where they are none of such a transformer, ValueError for what has not
    been published."""
    hidden, channels, patch = state["x_embedder.proj.weight"].shape[:3]
    if hidden % HEAD:
        raise ValueError(
            f"its tokens have {hidden} channels, no multiple of {HEAD}, so that the number of heads does not show"
        )
    sizes = "csize_embedder.mlp.0.weight" in state
    sample_size, scale = (SIZED, 2.0) if sizes else (64, 1.0)
    if (positions := state.get("pos_embed")) is not None:
        side = math.isqrt(positions.shape[1])
        sample_size, scale = side * patch, _scale(positions, side, hidden)
    return {
        "in_channels": channels,
        "hidden_size": hidden,
        "depth": count(state, r"blocks\.(\d+)\."),
        "num_heads": hidden // HEAD,
        "context_dim": state["y_embedder.y_proj.fc1.weight"].shape[1],
        "patch_size": patch,
        "sample_size": sample_size,
        "interpolation_scale": scale,
        "mlp_ratio": state["blocks.0.mlp.fc1.weight"].shape[0] / hidden,
        "sizes": sizes,
        "learn_sigma": state["final_layer.linear.weight"].shape[0] == 2 * channels * patch**2,
    }


def _scale(positions: Tensor, side: int, hidden: int) -> float:
    """Which scale a file's positions, (1, side², hidden), have."""
    for scale in SCALES:
        grid = grid_embedding(side, side, side / scale, hidden, positions.device)
        if positions[0].shape == grid.shape and (positions[0].float() - grid).abs().max() < NEAR:
            return scale
    raise ValueError(f"its positions have none of the scales {', '.join(map(str, SCALES))}")
