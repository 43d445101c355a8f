"""Models of a stranger's package: one with arguments, marked, and one without, which needs no mark."""

from __future__ import annotations

import itertools
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from core.models.registry import model
from graph_runner.context import Rng
from graph_runner.contract import Wire, node
from nodes.wires import Batch, Loss


@model(name="Blurrer")
class Softener(nn.Module):
    """Convolutions of a width; files know it by the name that it had first."""

    def __init__(self, width: int = 4, *, layers: int = 1) -> None:
        super().__init__()
        widths = [3, *[width] * layers, 3]
        pairs = itertools.pairwise(widths)
        self.layers = nn.Sequential(*(nn.Conv2d(a, b, 3, padding=1) for a, b in pairs))

    def forward(self, x: Tensor) -> Tensor:
        """(b, 3, h, w) → (b, 3, h, w)."""
        return self.layers(x)


class Shade(nn.Module):
    """One convolution: nothing to remember of it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(b, 3, h, w) → (b, 3, h, w)."""
        return self.conv(x)


Painter = Annotated[Softener | Shade, Wire("painter", about="a network of one's own")]


@node(category="toy")
def softener(rng: Rng, width: Annotated[int, Field(ge=1)] = 4, layers: Annotated[int, Field(ge=1)] = 1) -> Painter:
    """Convolutions, untrained."""
    return Softener(width, layers=layers)


@node(category="toy")
def shade(rng: Rng) -> Annotated[Shade, Wire("shade")]:
    """One convolution, untrained."""
    return Shade()


@node(category="toy")
def identity_loss(net: Annotated[nn.Module, Wire("painter", accepts=("shade",))], batch: Batch) -> Loss:
    """How far a network is from changing nothing."""
    return (net(batch["images"]) - batch["images"]).square().mean()
