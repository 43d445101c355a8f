"""A wire of its own: colours with names, and how the disk keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from torch import Tensor

from graph_runner.context import Rng
from graph_runner.contract import Wire, node
from nodes.wires import Dataset


@dataclass(frozen=True)
class Palette:
    """A colour, (3,) in [-1, 1], for each of some names: `colours` is (n, 3)."""

    names: tuple[str, ...]
    colours: Tensor


class PaletteCodec:
    """Palettes on disk: tensors and what JSON can hold."""

    def save(self, palette: Palette) -> dict[str, Any]:
        """Its names and colours."""
        return {"names": list(palette.names), "colours": palette.colours}

    def load(self, tree: dict[str, Any]) -> Palette:
        """The palette."""
        return Palette(tuple(tree["names"]), tree["colours"])


PaletteWire = Annotated[Palette, Wire("palette", codec=PaletteCodec(), about="colours with names")]


@node(category="outside", keep=True)
def class_palette(data: Dataset, rng: Rng) -> PaletteWire:
    """A colour for each class of a data set, drawn at random.

    data: whose classes have names.
    """
    names = tuple(data.classes)
    return Palette(names, 2 * rng.rand(len(names), 3) - 1)
