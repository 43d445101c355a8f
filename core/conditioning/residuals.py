"""What other networks add to a UNet's features, as parts of a condition: a ControlNet's residuals, a T2I-Adapter's features.

Both are tensors on the planes of the UNet's levels. Several networks at once are the sum, and zero is nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from core.conditioning.parts import PARTS, Part, Place


@dataclass(frozen=True, eq=False)
class Added(Part):
    """Tensors, (b, c, h, w) each, that are added to features; a plane of one pixel stands for any size."""

    shape = "b c h w"
    added: tuple[Tensor, ...]

    def join(self, other: Part) -> Added:
        """Their sum. Raises ValueError where they were made for UNets of other shapes."""
        if not isinstance(other, Added) or len(other.added) != len(self.added):
            raise ValueError(f"Two parts {self.name} ({self.about}) were made for UNets with other numbers of blocks.")
        return self.together([self, other], lambda pair: self._sum(pair))

    def cut(self, place: Place, size: tuple[int, int]) -> Added:
        """Each tensor's share of the tile."""

        def share(tensor: Tensor) -> Tensor:
            if tensor.shape[2:] == (1, 1):
                return tensor
            y, x = (
                slice(at.start * inner // outer, -(-at.stop * inner // outer))
                for at, inner, outer in zip(place, tensor.shape[2:], size, strict=True)
            )
            return tensor[..., y, x]

        return self.map(share)

    def onto(self, h: Tensor, i: int) -> Tensor:
        """h (b, c, h, w) and the i-th tensor. Raises ValueError where it was made for features of another shape."""
        added = self.added[i].to(h.dtype)
        if added.shape[1] != h.shape[1] or (added.shape[2:] != h.shape[2:] and added.shape[2:] != (1, 1)):
            raise ValueError(
                f"the condition's {self.name} ({self.about}) is {tuple(added.shape[1:])} where the UNet's features are "
                f"{tuple(h.shape[1:])}: it was made for a UNet of another shape, or for a latent of another size"
            )
        return h + added

    def _sum(self, pair: Sequence[Tensor]) -> Tensor:
        if pair[0].shape[1:] != pair[1].shape[1:] and (1, 1) not in (pair[0].shape[2:], pair[1].shape[2:]):
            shapes = " and ".join(str(tuple(each.shape[1:])) for each in pair)
            raise ValueError(f"Two parts {self.name} ({self.about}) do not fit together: {shapes}.")
        return pair[0] + pair[1]


@dataclass(frozen=True, eq=False)
class Control(Added):
    """A ControlNet's residuals, (b, c, h, w) each: one for each skip connection, from the first block on, and at last one for the middle
    block."""

    name = "controlnet"
    about = "residuals of a ControlNet"


@dataclass(frozen=True, eq=False)
class Features(Added):
    """A T2I-Adapter's features, (b, c, h, w) each: one for each level on the way down, and where there is one more, for the middle block."""

    name = "t2i_adapter"
    about = "features of a T2I-Adapter"


for added in (Control, Features):
    PARTS.add(added)
