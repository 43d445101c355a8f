"""Nodes that ask what the shipped ones do not: bounds, lists of lists, one or many, plain and nominal, what no disk holds."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, Protocol, TypeVar

from torch import Tensor, nn

from graph_runner.contract import Body, Ports, Wire, node

T = TypeVar("T")
M = TypeVar("M", bound=nn.Module)
E = TypeVar("E", bound=Exception)


class Thing:
    """A value that neither the disk nor JSON can hold."""


Grey = Annotated[Tensor, Wire("grey", "b 1 h w")]
Colour = Annotated[Tensor, Wire("colour", "b 3 h w", accepts=("grey",))]
Title = Annotated[str, Wire("title")]
Titles = Annotated[list[str], Wire("titles")]
Net = Annotated[nn.Linear, Wire("net")]
Trouble = Annotated[ValueError, Wire("trouble")]
Secret = Annotated[Thing, Wire("secret")]


class Both(NamedTuple):
    """Two outputs."""

    grey: Grey
    title: Title


class Paired(Protocol):
    """Two lists in, one of each out."""

    def __call__(self, left: Ports[T], turn: int) -> Both:
        """The results."""
        ...


@node(category="toy")
def make_both() -> Both:
    """Two outputs."""
    raise NotImplementedError


@node(category="toy")
def make_titles() -> Titles:
    """A nominal list of texts."""
    raise NotImplementedError


@node(category="toy")
def make_net() -> Net:
    """A module."""
    raise NotImplementedError


@node(category="toy")
def make_trouble() -> Trouble:
    """An exception."""
    raise NotImplementedError


@node(category="toy", keep=True)
def make_secret() -> Secret:
    """What no disk can hold."""
    raise NotImplementedError


@node(category="toy")
def make_colours() -> list[Colour]:
    """A list."""
    raise NotImplementedError


@node(category="toy")
def sizes(values: list[list[int]]) -> list[list[int]]:
    """A list of lists."""
    return values


@node(category="toy", effect=True)
def take_either(x: Colour | list[Colour], named: Ports[Grey | list[Grey]] | None = None) -> None:
    """One or many."""


@node(category="toy", effect=True)
def take_lists(x: list[Colour], y: list[list[Colour]] | None = None, texts: list[str] = [], text: str = "") -> None:  # noqa: B006
    """Lists, and lists of lists."""


@node(category="toy", effect=True)
def take_numbers(
    size: tuple[int, int] = (1, 1),
    shapes: list[list[int]] = [],  # noqa: B006
    scale: float | list[float] = 1.0,
    any_of: int | str = 0,
    table: dict[str, int] = {},  # noqa: B006
) -> None:
    """Plain values."""


@node(category="toy")
def same_module(module: M, others: list[M] | None = None) -> M:
    """A module, and others of its kind."""
    return module


@node(category="toy")
def choose(a: T, b: T, rest: list[T] | None = None) -> T:
    """One of two alike."""
    return a


@node(category="toy")
def first(items: list[T]) -> T:
    """The first of a list."""
    return items[0]


@node(category="toy")
def wrap(item: T) -> list[T]:
    """A list of one."""
    return [item]


@node(category="toy", effect=True)
def blame(error: E, anything: Any = None) -> None:
    """Takes exceptions alone."""


@node(category="toy")
def pair(body: Body[Paired], left: Ports[list[T]]) -> Both:
    """A zone with several results."""
    raise NotImplementedError


@node(category="toy", grad=("x",))
def slope(y: Colour, x: Colour) -> Colour:
    """The gradient of y with respect to x, a port of the zone around."""
    raise NotImplementedError
