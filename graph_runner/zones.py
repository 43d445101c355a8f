"""The zones that know no domain: `repeat`, `for_each`, `every` and `group`. Each is ordinary Python that calls its body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Protocol, TypeVar

from pydantic import Field

from graph_runner.contract import Body, Ports, node
from graph_runner.contract.context import Loop

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")


class Turn(Protocol):
    """One turn of `repeat`: the state and the turn's number in, the next state out."""

    def __call__(self, state: Ports[S], turn: int) -> Ports[S]:
        """The next state."""
        ...


class Item(Protocol):
    """One turn of `for_each`: one item of each list in, any results out."""

    def __call__(self, item: Ports[T], turn: int) -> Ports[R]:
        """The item's results."""
        ...


class Once(Protocol):
    """A body without ports, run for its results."""

    def __call__(self) -> Ports[R]:
        """The results."""
        ...


class Aside(Protocol):
    """A body without ports or results, run for what it shows."""

    def __call__(self) -> None:
        """Show what there is to show."""
        ...


@node(category="zones")
def repeat(
    body: Body[Turn], state: Ports[S], loop: Loop, n: Annotated[int, Field(ge=0, le=10_000_000)] = 10
) -> Ports[S]:
    """Turn the body n times, each turn's results being the next turn's state: a loop drawn by hand.

    state: named values that enter the first turn; inside they are read as ports, and the body gives each anew.
    n: how many turns.
    """
    for turn in loop(n):
        state = body(state, turn)
    return state


@node(category="zones")
def for_each(body: Body[Item], over: Ports[list[T]], loop: Loop) -> Ports[list[R]]:
    """Run the body once for each item of the named lists (side by side, of equal length) and collect the results.

    over: named lists, wired or typed in: {"scale": [1, 3, 5]}.
    """
    lengths = {name: len(items) for name, items in over.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the lists of 'over' have different lengths ({lengths}); make them equally long")
    collected: dict[str, list[R]] = {}
    for turn in loop(max(lengths.values(), default=0)):
        results: Mapping[str, R] = body({name: items[turn] for name, items in over.items()}, turn)
        for name, value in results.items():
            collected.setdefault(name, []).append(value)
    return collected


@node(category="zones", aside="n")
def every(body: Body[Aside], n: Annotated[int, Field(ge=1)] = 100) -> None:  # noqa: ARG001 - the loop around counts
    """Run the body after each n-th turn of the zone around it, and after the last: previews and validation.

    It reads the zone's ports and this turn's values, in eval mode and without gradients; it never changes what the zone
    computes, so it can be edited without computing the zone anew.
    n: turns between two runs.
    """
    body()


@node(category="zones")
def group(body: Body[Once]) -> Ports[R]:
    """Run the body once: a named part of a graph."""
    return body()
