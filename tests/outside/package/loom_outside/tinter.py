"""A model: a denoiser that is told colours."""

from __future__ import annotations

from typing import Annotated

import torch
from einops import rearrange
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from core.conditioning.conditioning import Conditioning
from core.models.blocks import timestep_embedding
from core.models.denoiser import Takes
from core.models.global_batch import GlobalDropout
from core.models.registry import model
from graph_runner.context import Rng
from graph_runner.contract import node
from nodes.wires import Denoiser

from .tint import Tint


@model(name="outside.Tinter")
class Tinter(nn.Module):
    """Three convolutions, told the time step and a colour, with dropout between them."""

    def __init__(self, channels: int = 4, width: int = 16, dropout: float = 0.1) -> None:
        super().__init__()
        self.takes = Takes(channels, needs=(Tint,))
        self.width = width
        self.into = nn.Conv2d(channels, width, 3, padding=1)
        self.told = nn.Linear(width + 3, width)
        self.middle = nn.Conv2d(width, width, 3, padding=1)
        self.dropout = GlobalDropout(dropout)  # its masks are alike, however many processes train
        self.out = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, z: Tensor, t: Tensor, condition: Conditioning) -> Tensor:
        """z (b, channels, h, w), t (b,) and a condition with a tint → the prediction, of z's shape."""
        told = self.told(torch.cat([timestep_embedding(t, self.width), condition[Tint].colours], dim=1))
        h = F.silu(self.into(z) + rearrange(told, "b c -> b c 1 1"))
        return self.out(self.dropout(F.silu(self.middle(h))))


@node(category="outside")
def tinter(
    rng: Rng, channels: Annotated[int, Field(ge=1)] = 4, width: Annotated[int, Field(ge=2, le=512)] = 16
) -> Denoiser:
    """A denoiser that is told colours, untrained.

    channels: of the latent.
    width: channels of its convolutions.
    """
    return Tinter(channels, width)
