"""The paper's single files of DiT (facebookresearch/DiT, DiT-XL-2-256x256.pt and the like): what their weights tell.

Its names are ours, so that a file is read as it is. It holds the transformer alone, and its positions, which are computed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.checkpoints.files import CheckpointError
from core.checkpoints.forms import UNET, count
from core.checkpoints.latent_diffusion import LatentDiffusion
from core.checkpoints.model_io import build
from core.diffusion.schedule import NoiseSchedule
from core.models.dit import SIZES, DiT

OWN = ("x_embedder.proj.weight", "blocks.0.adaLN_modulation.1.weight", "y_embedder.embedding_table.weight")
"""What such a file is known by."""
HEADS = {shape["hidden_size"]: shape["num_heads"] for shape in SIZES.values()}
"""By the width of the tokens, as the weights do not show them."""
POSITIONS = "pos_embed"
OTHER = (
    "SiT's files hold the same names and shapes as DiT's, and nothing in this one says which it is: it is taken for a DiT, which predicts "
    "eps; a SiT, whose flow is not known here, gives wrong pictures"
)
UNTOLD = (
    "the file does not say for how large pictures it was trained: the positions are those of 256 pixels; for DiT for 512 pixels load a "
    "file with pos_embed, or diffusers' folder"
)


def is_dit(state: Mapping[str, Tensor]) -> bool:
    """Whether a file holds such a transformer, with CompVis' prefix or without."""
    return all(name in state or UNET + name in state for name in OWN)


def dit_from_file(state: Mapping[str, Tensor], source: str | Path, dtype: torch.dtype | None) -> LatentDiffusion:
    """The transformer, and the noise process of the paper (betas from 0.0001 to 0.02). Raises CheckpointError, naming `source`, where
    it is incomplete or none of the paper's widths."""
    own = {key.removeprefix(UNET): value for key, value in state.items()}
    try:
        config = detect_dit(own)
    except (KeyError, IndexError) as error:
        raise CheckpointError(f"{source} holds an incomplete DiT (there is no {error}).") from error
    except ValueError as error:
        raise CheckpointError(f"{source} holds no DiT that is known here: {error}.") from error
    weights = {key: value for key, value in own.items() if key != POSITIONS}
    unet = build(DiT, config, weights, source, dtype)
    untold = (OTHER,) if POSITIONS in own else (OTHER, UNTOLD)
    return LatentDiffusion(unet, schedule=NoiseSchedule.plain_linear(1000, 0.0001, 0.02), untold=untold)


def detect_dit(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """`DiT`'s arguments from its weights. Raises KeyError where they are none of such a transformer, ValueError for a width that the
    paper has not."""
    hidden, channels, patch = state["x_embedder.proj.weight"].shape[:3]
    if hidden not in HEADS:
        raise ValueError(f"its tokens have {hidden} channels, and the paper's {', '.join(map(str, HEADS))}, so that the number of heads does not show")  # fmt: skip
    positions = state.get(POSITIONS)
    return {
        "in_channels": channels,
        "hidden_size": hidden,
        "depth": count(state, r"blocks\.(\d+)\."),
        "num_heads": HEADS[hidden],
        "patch_size": patch,
        "sample_size": 32 if positions is None else math.isqrt(positions.shape[1]) * patch,
        "mlp_ratio": state["blocks.0.mlp.fc1.weight"].shape[0] / hidden,
        "num_classes": state["y_embedder.embedding_table.weight"].shape[0] - 1,
        "learn_sigma": state["final_layer.linear.weight"].shape[0] == 2 * channels * patch**2,
    }
