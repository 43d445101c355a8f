"""The conditioners of the published models by their preset's name, and conditions of the right shape to measure with."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from core.conditioning.classes import ClassEmbedder
from core.conditioning.clip import CLIPTextEmbedder
from core.conditioning.conditioning import Conditioning
from core.conditioning.parts import Context, ContextMask, Vector
from core.conditioning.sdxl import SDXLTextEmbedder
from core.conditioning.spatial import SpatialRescaler, one_hot_map
from core.conditioning.text import BERTEmbedder
from core.conditioning.text_condition import text_condition
from core.models.mmdit import MMDIT
from core.models.pixart import PIXART, TOKENS
from core.models.presets import find_latent_diffusion

KINDS: dict[str, type[nn.Module]] = {
    kind.__name__: kind for kind in (ClassEmbedder, BERTEmbedder, CLIPTextEmbedder, SDXLTextEmbedder, SpatialRescaler)
}

SD3_TOKENS = 77 + 256
"""CLIP's and T5's of a text, as diffusers' pipeline encodes it."""


class Random(Protocol):
    """Where random numbers come from, a row for each sample."""

    def randn(self, *shape: int) -> Tensor:
        """Standard normal numbers."""
        ...

    def randint(self, high: int, *shape: int) -> Tensor:
        """Integers in [0, high)."""
        ...


def build_conditioner(name: str) -> nn.Module | None:
    """The untrained conditioner of a preset of `LATENT_DIFFUSION`; None where it conditions on nothing, or on channels
    as they are. Raises ValueError for an unknown name."""
    found = find_latent_diffusion(name)["conditioner"]
    return KINDS[found["model"]](**found["config"]).eval() if found else None


@torch.no_grad()
def random_condition(name: str, samples: int, size: int, random: Random) -> Conditioning:
    """What the denoiser of a preset is told, made by its own untrained conditioner from random tokens, classes or maps.

    Channels that no conditioner makes (a low-resolution image, a masked latent with its mask) are normal noise, as are the sizes
    in a vector, and all that Stable Diffusion 3 and PixArt are told: their text encoders are larger than the rest. PixArt reads all
    of its tokens, and is told that the picture is eight times the latent.

    samples: rows; size: height and width of the latent. Raises ValueError for an unknown name.
    """
    if name in MMDIT:
        tokens = random.randn(samples, SD3_TOKENS, MMDIT[name]["context_dim"])
        return Conditioning(parts=[Context(tokens), Vector(random.randn(samples, MMDIT[name]["vector_dim"]))])
    if name in PIXART:
        tokens = random.randn(samples, TOKENS[name.split("-")[1]], PIXART[name]["context_dim"])
        told = Conditioning(parts=[Context(tokens), ContextMask.whole(tokens)])
        sizes = torch.tensor([[8.0 * size, 8.0 * size, 1.0]], device=tokens.device)
        return told | Conditioning(parts=[Vector(sizes)] if PIXART[name].get("sizes") else [])
    unet = find_latent_diffusion(name)["unet"]
    conditioner = build_conditioner(name)
    context = concat = None
    if isinstance(conditioner, SpatialRescaler):
        classes, side = conditioner.config["in_channels"], size * 2**conditioner.n_stages
        labels = random.randint(classes, samples, side, side)
        concat = conditioner.to(labels.device)(one_hot_map(labels, classes))
    elif unet["in_channels"] > unet["out_channels"]:
        channels = unet["in_channels"] - unet["out_channels"]
        concat = random.randn(samples, channels, size, size)
    if isinstance(conditioner, ClassEmbedder):
        numbers = random.randint(conditioner.config["n_classes"], samples)
        context = conditioner.to(numbers.device)(numbers)
    elif isinstance(conditioner, BERTEmbedder | CLIPTextEmbedder):
        config = conditioner.config
        length = config["max_seq_len" if isinstance(conditioner, BERTEmbedder) else "max_position_embeddings"]
        tokens = random.randint(config["vocab_size"], samples, length)
        context = conditioner.to(tokens.device)(tokens)
    elif isinstance(conditioner, SDXLTextEmbedder):
        config = conditioner.clip_g.config
        tokens = random.randint(config["vocab_size"], samples, config["max_position_embeddings"])
        told = text_condition(conditioner.to(tokens.device), tokens)
        sizes = random.randn(samples, unet["adm_in_channels"] - conditioner.config["projection_dim"])
        return told | Conditioning(concat=concat, y=sizes)
    return Conditioning(context, concat)
