"""A part of a condition: the colour that a picture should have."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from core.conditioning.conditioning import Conditioning as Condition
from core.conditioning.parts import PARTS, Part
from graph_runner.context import Device
from graph_runner.contract import node
from nodes.wires import Conditioning, Labels

from .palette import PaletteWire


@PARTS.mark
@dataclass(frozen=True, eq=False)
class Tint(Part):
    """One colour for each sample, (b, 3)."""

    name = "tint"
    about = "the colour of a picture"
    shape = "b 3"
    colours: Tensor

    def join(self, other: Tint) -> Tint:
        """Their mean."""
        return self.together([self, other], lambda pair: (pair[0] + pair[1]) / 2)


@node(category="outside")
def tint_of_labels(palette: PaletteWire, labels: Labels) -> Conditioning:
    """The colours of classes as a condition.

    labels: class numbers, which count the palette's colours.
    """
    return Condition(parts=[Tint(palette.colours.to(labels.device)[labels])])


@node(category="outside", keep=True)
def tint(palette: PaletteWire, device: Device, names: list[str]) -> Conditioning:
    """Colours as a condition, by their names.

    names: of the palette, one for each sample.
    """
    if unknown := [name for name in names if name not in palette.names]:
        raise ValueError(f"the palette has no {', '.join(unknown)}; it has {', '.join(palette.names)}")
    rows = [palette.names.index(name) for name in names]
    return Condition(parts=[Tint(palette.colours[rows].to(device))])
