"""What a denoiser is told beside the noisy latent, as one value of named parts (`core.conditioning.parts`).

Holding several is the repository's "hybrid" mode (CompVis ldm/models/diffusion/ddpm.py, `DiffusionWrapper`).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from core.conditioning.parts import PARTS, ClassNumber, Concat, Context, ContextMask, Part, Place, Vector

P = TypeVar("P", bound=Part)


@dataclass(frozen=True, eq=False, init=False)
class Conditioning:
    """The condition of one denoiser call: parts by name, at most one of each kind.

    context: (b, n, d) tokens for cross-attention. concat: (b, c, h, w) channels that follow the latent's own. y: (b,) class
    numbers or (b, d) vector, embedded with the time step. parts: any parts.

    A batch size of 1 stands for any batch (`expand`). Raises ValueError for parts of different batch sizes, and for two of a kind.
    """

    parts: Mapping[str, Part]

    def __init__(
        self,
        context: Tensor | None = None,
        concat: Tensor | None = None,
        y: Tensor | None = None,
        *,
        parts: Iterable[Part] | Mapping[str, Part] = (),
    ) -> None:
        given: list[Part] = []
        if context is not None:
            given.append(Context(context))
        if concat is not None:
            given.append(Concat(concat))
        if y is not None:
            given.append(_class_or_vector(y))
        given += parts.values() if isinstance(parts, Mapping) else parts
        named = {part.name: part for part in given}
        if len(named) < len(given):
            raise ValueError(f"A condition holds one part of each kind, not {', '.join(part.name for part in given)}.")
        object.__setattr__(self, "parts", named)
        sizes = {name: part.rows for name, part in named.items()}
        if len(set(sizes.values()) - {1}) > 1:
            raise ValueError(f"The parts of a Conditioning differ in batch size: {sizes}.")

    def get(self, kind: type[P]) -> P | None:
        """The part of this kind; None where there is none."""
        found = self.parts.get(kind.name)
        if found is not None and not isinstance(found, kind):
            raise ValueError(f"The condition's {kind.name} is a {type(found).__name__}, not a {kind.__name__}.")
        return found

    def __getitem__(self, kind: type[P]) -> P:
        """The part of this kind. Raises ValueError where there is none."""
        if (found := self.get(kind)) is None:
            raise ValueError(f"The condition has no {kind.name} ({kind.about}).")
        return found

    @property
    def context(self) -> Tensor | None:
        """The (b, n, d) tokens for cross-attention."""
        part = self.get(Context)
        return None if part is None else part.tokens

    @property
    def concat(self) -> Tensor | None:
        """The (b, c, h, w) channels that follow the latent's own."""
        part = self.get(Concat)
        return None if part is None else part.channels

    @property
    def y(self) -> Tensor | None:
        """The (b,) class numbers, or else the (b, d) vector."""
        if (numbers := self.get(ClassNumber)) is not None:
            return numbers.numbers
        vector = self.get(Vector)
        return None if vector is None else vector.values

    def tensors(self) -> list[Tensor]:
        """All tensors of all parts, in a fixed order."""
        return [tensor for part in self.parts.values() for tensor in part.tensors()]

    @property
    def batch_size(self) -> int:
        """Number of conditions held; 1 where there is none, or one that stands for any batch."""
        return max((part.rows for part in self.parts.values()), default=1)

    def each(self, change: Callable[[Part], Part]) -> Conditioning:
        """The same conditioning with `change` applied to every part; itself where that changes none."""
        changed = [change(part) for part in self.parts.values()]
        return self if all(map(operator.is_, changed, self.parts.values())) else Conditioning(parts=changed)

    def map(self, change: Callable[[Tensor], Tensor]) -> Conditioning:
        """The same conditioning with `change` applied to every tensor it holds."""
        return self.each(lambda part: part.map(change))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Conditioning:
        """Move to a device; change the dtype of floating-point parts (class numbers stay whole)."""
        return self.each(lambda part: part.to(device, dtype))

    def expand(self, batch: int) -> Conditioning:
        """Repeat single conditions to `batch` (a view, no copy).

        Raises ValueError where the conditioning holds a batch of another size.
        """
        return self.each(lambda part: part.expand(batch))

    def null(self) -> Conditioning:
        """What says nothing, part by part."""
        return self.each(lambda part: part.null())

    def cut(self, place: Place, size: tuple[int, int]) -> Conditioning:
        """What belongs to a tile of a latent of this height and width."""
        return self.each(lambda part: part.cut(place, size))

    def __or__(self, other: Conditioning) -> Conditioning:
        """Both conditions at once (hybrid): tokens follow tokens, channels follow channels.

        Raises ValueError where both hold a part that cannot be joined, such as a class.
        """
        batch = max(self.batch_size, other.batch_size)
        first, second = with_masks(self.expand(batch), other.expand(batch))
        parts = dict(first.parts)
        for name, part in second.parts.items():
            parts[name] = parts[name].join(part) if name in parts else part
        return Conditioning(parts=parts)

    @staticmethod
    def cat(conditionings: Sequence[Conditioning]) -> Conditioning:
        """One batch out of several, in order: guidance by one denoiser call instead of two.

        Raises ValueError where one holds a part that another lacks, or where shapes differ beyond the batch.
        """
        expanded = [each.expand(each.batch_size).parts for each in conditionings]
        joined: list[Part] = []
        for name in dict.fromkeys(name for parts in expanded for name in parts):
            if not all(name in parts for parts in expanded):
                raise ValueError(f"Only some of the conditionings hold {name}; give the others a null condition.")
            joined.append(type(expanded[0][name]).cat([parts[name] for parts in expanded]))
        return Conditioning(parts=joined)

    def to_tree(self) -> dict[str, Any]:
        """What the disk keeps: each part's tree by its name. Raises ValueError for a kind that could not be found again."""
        for part in self.parts.values():
            if not PARTS.holds(type(part)):
                raise ValueError(
                    f"A {type(part).__name__} cannot be kept: mark its class with @PARTS.mark, in a package of nodes."
                )
        return {"parts": {name: part.to_tree() for name, part in self.parts.items()}}

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> Conditioning:
        """The condition that `to_tree` took apart, or version 0.1's codec. Raises ValueError for a kind of part not listed."""
        if "parts" not in tree:
            return cls(tree["context"], tree["concat"], tree["y"])
        return cls(parts=[PARTS.find(name).from_tree(part) for name, part in tree["parts"].items()])


def with_masks(*conditionings: Conditioning) -> list[Conditioning]:
    """The same, where one of them masks its context each with a mask: of a context that had none, all tokens are read."""
    if not any(each.get(ContextMask) for each in conditionings):
        return list(conditionings)
    return [
        each
        if each.context is None or each.get(ContextMask)
        else Conditioning(parts=[*each.parts.values(), ContextMask.whole(each.context)])
        for each in conditionings
    ]


def _class_or_vector(y: Tensor) -> Part:
    if y.ndim not in (1, 2):
        raise ValueError(f"Conditioning.y must have shape (b,) or (b, d), not {tuple(y.shape)}.")
    return ClassNumber(y) if y.ndim == 1 else Vector(y)
