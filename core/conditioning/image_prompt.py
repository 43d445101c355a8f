"""Pictures as prompts, as a part of a condition: what a UNet's cross-attentions find in them besides the text (Ye et al. 2023).

An IP-Adapter makes keys and values of a picture for each cross-attention. They depend on no step, so they are what the condition holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from core.conditioning.parts import PARTS, Part

Attended = tuple[Tensor, Tensor]
"""Keys and values for one cross-attention, (b, m, width) each."""


@dataclass(frozen=True, eq=False)
class ImagePrompt(Part):
    """Keys and values (b, m, width) of each adapter for each cross-attention of a UNet: of the way down, the way up, and the middle, as
    files count.

    Zero values are nothing, and a part of them counts so much less.
    """

    name = "image_prompt"
    about = "keys and values of an IP-Adapter"
    shape = "b m width"
    adapters: tuple[tuple[Attended, ...], ...]

    def join(self, other: Part) -> ImagePrompt:
        """Both adapters' at once. Raises ValueError where they were made for UNets of other shapes."""
        if not isinstance(other, ImagePrompt) or other.widths != self.widths:
            raise ValueError("Two IP-Adapters at once are for one UNet; these were made for UNets of other shapes.")
        return replace(self, adapters=(*self.adapters, *other.adapters))

    @property
    def widths(self) -> list[int]:
        """Of each cross-attention that it is for."""
        return [keys.shape[-1] for keys, _ in self.adapters[0]] if self.adapters else []

    def of(self, first: int, count: int) -> Sequence[Sequence[Attended]]:
        """What each of so many cross-attentions is told, from this one on."""
        return [[told[i] for told in self.adapters] for i in range(first, first + count)]

    def scaled(self, strength: float) -> ImagePrompt:
        """The same, counting so much: what attention gives is linear in the values."""
        scaled = tuple(tuple((keys, strength * values) for keys, values in told) for told in self.adapters)
        return replace(self, adapters=scaled)


PARTS.add(ImagePrompt)
