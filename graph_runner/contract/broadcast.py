"""Numbers and tensors that are calculated with together: the bound of their type variables, and of which kind a result is."""

from __future__ import annotations

import re
from abc import ABC
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graph_runner.contract.spec import PortType


class NumberOrTensor(ABC):  # noqa: B024 - it only says what fits
    """`TypeVar("N", bound=NumberOrTensor)`: numbers and tensors, of another kind at each port, as long as they broadcast.

    The variable stands for the kind of the result: see `broadest`. With `bound=Tensor` the same, without numbers.
    """

    @classmethod
    def __subclasshook__(cls, kind: type) -> bool:
        fits = any(base in (int, float) or is_tensor(base) for base in kind.__mro__)
        return True if fits else NotImplemented


def is_tensor(base: type | None) -> bool:
    """Whether this class is torch's `Tensor`; torch itself is not imported for that."""
    return base is not None and (base.__module__, base.__name__) == ("torch", "Tensor")


NUMBERS = ("bool", "int", "float")


def broadest(kinds: Iterable[PortType]) -> PortType:
    """The kind that broadcasting gives: the one with most axes, and most of them not 1; among alike kinds the first.

    So a latent times a number is a latent, and so is one times a mask ("b 1 h w") or a number for each sample ("b").
    """
    return max(kinds, key=_breadth)


def _breadth(kind: PortType) -> tuple[int, int]:
    if kind.name in NUMBERS:
        return -1, NUMBERS.index(kind.name)
    axes = kind.wire.shape.split() if kind.wire is not None else []
    return len(axes), sum(axis != "1" for axis in axes)


@dataclass(frozen=True)
class NamesIn:
    """Marks `Ports` whose names stand in a text, another parameter of the node: `Annotated[Ports[N], NamesIn("formula", …)]`.

    parameter: the text's name. pattern: finds the names in it, in order. fraction: where it is found, the result of whole
    numbers need not be whole. Both are regular expressions that Python (re.ASCII) and JavaScript read alike: the canvas shows a port
    for each name as the text changes.
    """

    parameter: str
    pattern: str
    fraction: str = ""

    def names(self, text: str) -> list[str]:
        """The names in a text, each once."""
        return list(dict.fromkeys(re.findall(self.pattern, text, re.ASCII)))

    def fractional(self, text: str) -> bool:
        """Whether whole numbers may give a fraction."""
        return bool(self.fraction) and re.search(self.fraction, text, re.ASCII) is not None
