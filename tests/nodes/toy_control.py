"""What a package of a stranger's may bring: a part of a condition, a node that makes it, and a denoiser that reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from einops import rearrange
from pydantic import Field
from torch import Tensor, nn

from core.conditioning.conditioning import Conditioning as _Conditioning
from core.conditioning.parts import PARTS, Context, Part, Place
from core.models.blocks import timestep_embedding
from core.models.denoiser import Takes
from core.models.registry import model
from graph_runner.context import Rng
from graph_runner.contract import node
from nodes.wires import Conditioning, Denoiser, Latent


@PARTS.mark
@dataclass(frozen=True, eq=False)
class Control(Part):
    """What is added to a denoiser's features, at full and at half size: residuals of (b, c, h, w) and (b, c, h/2, w/2)."""

    name = "control"
    about = "residuals for the features"
    shape = "b c h w"
    residuals: tuple[Tensor, ...]
    strength: float = 1.0

    def join(self, other: Control) -> Control:
        """Their sum."""
        return self.together([self, other], lambda pair: pair[0] + pair[1])

    def cut(self, place: Place, size: tuple[int, int]) -> Control:
        """Each residual's share of the tile."""
        y, x = place

        def share(part: Tensor) -> Tensor:
            f = size[0] // part.shape[2]
            return part[..., y.start // f : y.stop // f, x.start // f : x.stop // f]

        return self.map(share)


@model
class Mixer(nn.Module):
    """A denoiser of three convolutions, told by tokens and, where there are any, residuals."""

    def __init__(self, channels: int, width: int, context_dim: int) -> None:
        super().__init__()
        self.takes = Takes(channels, needs=(Context,), may=(Control,))
        self.into = nn.Conv2d(channels, width, 3, padding=1)
        self.told = nn.Linear(width + context_dim, width)
        self.middle = nn.Conv2d(width, width, 3, padding=1)
        self.out = nn.Conv2d(width, channels, 3, padding=1)
        self.width = width
        self.calls: list[int] = []

    def forward(self, z: Tensor, t: Tensor, condition: _Conditioning) -> Tensor:
        """z (b, channels, h, w), t (b,) → the prediction."""
        self.calls.append(len(z))
        told = torch.cat([timestep_embedding(t, self.width), condition[Context].tokens.mean(1)], 1)
        h = self.into(z) + rearrange(self.told(told), "b c -> b c 1 1")
        if (control := condition.get(Control)) is not None:
            full, half = control.residuals
            h = h + control.strength * (full + F.interpolate(half, scale_factor=2)).mean(1, keepdim=True)
        return self.out(F.silu(self.middle(F.silu(h))))


@node(category="toy")
def mixer(
    rng: Rng,
    channels: Annotated[int, Field(ge=1)] = 4,
    width: Annotated[int, Field(ge=2)] = 32,
    context_dim: Annotated[int, Field(ge=1)] = 64,
) -> Denoiser:
    """A small denoiser, untrained.

    channels: of the latent.
    width: of its features.
    context_dim: of the tokens.
    """
    return Mixer(channels, width, context_dim)


@node(category="toy", keep=True)
def control(hint: Latent) -> Conditioning:
    """A picture's latent as residuals."""
    return _Conditioning(parts=[Control((hint, F.avg_pool2d(hint, 2)))])
