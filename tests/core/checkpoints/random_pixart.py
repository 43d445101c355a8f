"""Random configurations of diffusers' PixArtTransformer2DModel: what its options can be, and the comparison."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.checkpoints.load import load_checkpoint
from core.conditioning.conditioning import Conditioning
from core.conditioning.parts import Context, ContextMask, Part, Vector
from core.models.denoiser import denoise

Config = dict[str, Any]

TIMES = torch.tensor([7, 500])
PIXART: dict[str, list[Any]] = {
    "num_attention_heads": [6],
    "attention_head_dim": [4, 16],
    "in_channels": [3, 16],
    "out_channels": [4, None, 6, 32],
    "num_layers": [3],
    "dropout": [0.1],
    "norm_num_groups": [8],
    "cross_attention_dim": [None, 12],
    "attention_bias": [False],
    "sample_size": [32, 256, 9],
    "patch_size": [1, 4],
    "activation_fn": ["geglu", "gelu"],
    "num_embeds_ada_norm": [500],
    "upcast_attention": [True],
    "norm_type": ["ada_norm_zero"],
    "norm_elementwise_affine": [True],
    "norm_eps": [1e-5, 1e-3],
    "interpolation_scale": [0.5, 2, 4],
    "use_additional_conditions": [True, False],
    "caption_channels": [None, 24],
    "attention_type": ["gated"],
}


def pixart(draw: random.Random) -> Config:
    """A small one."""
    return {
        "num_attention_heads": 3,
        "attention_head_dim": 8,
        "num_layers": draw.choice([1, 2]),
        "cross_attention_dim": 24,
        "caption_channels": 10,
        "sample_size": draw.choice([8, 64, 128]),
    }


def captioned(theirs: Any, config: Config, folder: Path, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """What a PixArt predicts, told which tokens are read, and the sizes where it takes them."""
    arguments = caption(config, generator)
    unet = load_checkpoint(folder).unet
    assert unet is not None
    condition = condition_of(arguments, sizes=unet.config["sizes"])
    for h, w in ((8, 8), (16, 24)):
        z = torch.randn(2, config["in_channels"], h, w, generator=generator)
        wanted = theirs(z, timestep=TIMES, **arguments).sample[:, : config["in_channels"]]
        yield denoise(unet, z, TIMES, condition), wanted


def condition_of(arguments: Config, *, sizes: bool) -> Conditioning:
    """What `caption` gives, as our model is told it."""
    parts: list[Part] = [
        Context(arguments["encoder_hidden_states"]),
        ContextMask(arguments["encoder_attention_mask"].bool()),
    ]
    if sizes:
        told = arguments["added_cond_kwargs"]
        parts.append(Vector(torch.cat([told["resolution"], told["aspect_ratio"]], dim=1)))
    return Conditioning(parts=parts)


def caption(config: Config, generator: torch.Generator) -> Config:
    """The arguments of PixArtTransformer2DModel's forward beside the latent and the time."""
    width = config["caption_channels"] or config["cross_attention_dim"]
    resolution = torch.tensor([[64.0, 96.0], [1024.0, 512.0]])
    return {
        "encoder_hidden_states": torch.randn(2, 5, width, generator=generator),
        "encoder_attention_mask": torch.tensor([[1, 1, 0, 0, 0], [1, 1, 1, 1, 1]]),
        "added_cond_kwargs": {"resolution": resolution, "aspect_ratio": resolution[:, :1] / resolution[:, 1:]},
    }
