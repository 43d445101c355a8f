"""Nodes that calculate with whatever kinds of numbers and tensors are wired in."""

from __future__ import annotations

from typing import Annotated, TypeVar

import torch
from torch import Tensor

from graph_runner.contract import NamesIn, NumberOrTensor, Ports, Wire, node

N = TypeVar("N", bound=NumberOrTensor)
X = TypeVar("X", bound=Tensor)

Grey = Annotated[Tensor, Wire("grey", "b 1 h w")]
Colour = Annotated[Tensor, Wire("colour", "b 3 h w")]
Each = Annotated[Tensor, Wire("each", "b")]


@node(category="toy")
def grey() -> Grey:
    """Half of everything."""
    return torch.full((2, 1, 4, 4), 0.5)


@node(category="toy")
def colour() -> Colour:
    """Ones."""
    return torch.ones(2, 3, 4, 4)


@node(category="toy")
def each() -> Each:
    """A number for each."""
    return torch.tensor([1.0, 2.0])


@node(category="toy")
def words() -> str:
    """A text."""
    return "a"


@node(category="toy")
def colours() -> list[Colour]:
    """A list."""
    return [torch.ones(2, 3, 4, 4)]


@node(category="toy")
def plus(a: N, b: N) -> N:
    """The kind is that with most axes."""
    return a + b  # type: ignore[no-any-return, operator]


@node(category="toy")
def stacked(items: list[X]) -> X:
    """Tensors alone."""
    return torch.cat([item.expand(2, 3, 4, 4) for item in items])  # type: ignore[return-value]


@node(category="toy")
def total(text: str, values: Annotated[Ports[N], NamesIn("text", r"[a-z]+", r"/")] | None = None) -> N:
    """The sum of what a text names."""
    return sum((values or {}).values())  # type: ignore[return-value, arg-type]


@node(category="toy")
def takes_grey(x: Grey) -> Grey:
    """Takes what is grey."""
    return x


@node(category="toy")
def takes_colour(x: Colour) -> Colour:
    """Takes colours."""
    return x


@node(category="toy")
def takes_whole(n: int = 0) -> int:
    """Takes a whole number."""
    return n
