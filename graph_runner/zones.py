"""The zones that know no domain: `repeat`, `for_each`, `every` and `group`. Each is ordinary Python that calls its body."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Protocol, TypeVar

from pydantic import Field

from graph_runner.contract import Body, Formerly, Ports, node
from graph_runner.contract.context import Loop, Turn

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")


class Iteration(Protocol):
    """One iteration of `repeat`: the state and the iteration's number in, the next state out."""

    def __call__(self, state: Ports[S], iteration: Annotated[int, Formerly("turn")]) -> Ports[S]:
        """The next state."""
        ...


class Item(Protocol):
    """One iteration of `for_each`: one item of each list and its index in, any results out."""

    def __call__(self, item: Ports[T], index: Annotated[int, Formerly("turn")]) -> Ports[R]:
        """The item's results."""
        ...


class Once(Protocol):
    """A body without ports, run for its results."""

    def __call__(self) -> Ports[R]:
        """The results."""
        ...


class Callback(Protocol):
    """A body without results, run for what it shows.

    step: of the loop around, the one that has just ended, counted from 0. share: the part of all steps that is done.
    """

    def __call__(self, step: int, share: float) -> None:
        """Show what there is to show."""
        ...


@node(category="zones", words=("loop", "for"))
def repeat(
    body: Body[Iteration],
    state: Ports[S],
    loop: Loop,
    iterations: Annotated[int, Formerly("n"), Field(ge=0, le=10_000_000)] = 10,
) -> Ports[S]:
    """Run the body so many times, each iteration's results being the next one's state: a loop drawn by hand.

    state: named values that enter the first iteration; inside they are read as ports, and the body gives each anew.
    iterations: how many.
    """
    for iteration in loop(iterations):
        state = body(state, iteration)
    return state


@node(category="zones", independent=True, words=("loop", "sweep", "xy plot"))
def for_each(body: Body[Item], over: Ports[list[T]], loop: Loop) -> Ports[list[R]]:
    """Run the body once for each item of the named lists (side by side, of equal length) and collect the results.

    over: named lists, wired or typed in: {"scale": [1, 3, 5]}.
    """
    lengths = {name: len(items) for name, items in over.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the lists of 'over' have different lengths ({lengths}); make them equally long")
    collected: dict[str, list[R]] = {}
    items = [
        ({name: each[index] for name, each in over.items()}, index) for index in range(max(lengths.values(), default=0))
    ]
    done: Iterator[Mapping[str, R]] = loop.map(body, items)
    for results in done:
        for name, value in results.items():
            collected.setdefault(name, []).append(value)
    return collected


@node(category="zones", aside="steps", words=("callback", "validation"))
def every(
    body: Body[Callback],
    turn: Turn,
    steps: Annotated[int, Formerly("n"), Field(ge=1)] = 100,  # noqa: ARG001 - the loop around counts
) -> None:
    """Run the body every so many steps of the zone around it, and after the last: a callback, for previews and validation.

    It reads the zone's ports and this step's values, in eval mode and without gradients; it never changes what the zone
    computes, so it can be edited without computing the zone anew.
    steps: from one run to the next; in a loop that is no training, iterations.
    """
    body(turn.number, turn.share)


@node(category="zones", words=("subgraph",))
def group(body: Body[Once]) -> Ports[R]:
    """Run the body once: a named part of a graph."""
    return body()
