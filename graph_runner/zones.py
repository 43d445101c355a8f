"""The zones that know no domain: loops, choices, callbacks and groups. Each is ordinary Python that calls its body."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Generic, Literal, NamedTuple, Protocol, TypeVar

import torch
from pydantic import Field
from torch import Tensor

from graph_runner.contract import Body, Formerly, Ports, node
from graph_runner.contract.context import Device, Loop, Processes, Turn

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")


class Iteration(Protocol):
    """One iteration of `repeat`: the state and the iteration's number in, the next state out."""

    def __call__(self, state: Ports[S], iteration: Annotated[int, Formerly("turn")]) -> Ports[S]:
        """The next state."""
        ...


class Advanced(NamedTuple, Generic[S]):
    """What an iteration of `repeat_until` gives: the next state, and whether it is the last."""

    state: Ports[S]
    until: Any


class Advance(Protocol):
    """One iteration of `repeat_until`: the state and the iteration's number in, the next state and whether to end out."""

    def __call__(self, state: Ports[S], iteration: int) -> Advanced[S]:
        """The next state, and whether it is the last."""
        ...


class Fold(Protocol):
    """One item of `accumulate`: the state, one item of each list and its index in, the next state out."""

    def __call__(self, state: Ports[S], item: Ports[T], index: int) -> Ports[S]:
        """The next state."""
        ...


class Scanned(NamedTuple, Generic[S, R]):
    """What an item of `scan` gives: the next state, and results of its own."""

    state: Ports[S]
    each: Ports[R]


class Scan(Protocol):
    """One item of `scan`: the state, one item of each list and its index in, the next state and the item's results out."""

    def __call__(self, state: Ports[S], item: Ports[T], index: int) -> Scanned[S, R]:
        """The next state, and the item's results."""
        ...


class Collected(NamedTuple, Generic[S, R]):
    """What `scan` gives: the state after the last item, and each item's results as lists."""

    state: Ports[S]
    each: Ports[list[R]]


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


class Timing(NamedTuple, Generic[R]):
    """What `timed` gives: the results of the last run of its body, and how long one took."""

    results: Ports[R]
    seconds: float


class Branch(Protocol):
    """A body without ports that may not be run at all."""

    def __call__(self) -> Ports[S]:
        """What is given where it runs."""
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


def _once(body: Body[Advance], state: Ports[S], loop: Loop, iterations: int, **_: Any) -> Ports[S]:
    """One iteration, in a dry run: when `repeat_until` ends only the run will show."""
    for iteration in loop(iterations):
        state = body(state, iteration).state
    return state


@node(category="zones", dry=_once, words=("while", "while loop", "do while", "until", "break", "convergence"))
def repeat_until(
    body: Body[Advance],
    state: Ports[S],
    loop: Loop,
    processes: Processes,
    iterations: Annotated[int, Field(ge=0, le=10_000_000)] = 100,
) -> Ports[S]:
    """Run the body until it says that it is done, each iteration's state being the next one's: a while loop with a bound.

    The body gives `until` beside the state: true, or a number other than 0, ends the loop with that state.

    state: named values that enter the first iteration; inside they are read as ports, and the body gives each anew.
    iterations: how many at most.
    """
    for iteration in loop(iterations):
        state, until = body(state, iteration)
        if processes.agree(holds(until, "until")):
            loop.end()
    return state


@node(category="zones", words=("reduce", "fold", "running total"))
def accumulate(body: Body[Fold], over: Ports[list[T]], state: Ports[S], loop: Loop) -> Ports[S]:
    """Run the body once for each item of the named lists, each item's results being the next one's state: a fold.

    over: named lists, wired or typed in, side by side and of equal length.
    state: named values that the first item meets; the body gives each anew.
    """
    items = side_by_side(over)
    for index in loop(len(items)):
        state = body(state, items[index], index)
    return state


@node(category="zones", words=("carry", "trajectory", "cumulative", "recurrence"))
def scan(body: Body[Scan], over: Ports[list[T]], state: Ports[S], loop: Loop) -> Collected[S, R]:
    """As accumulate, and besides the state the body gives results of each item, which are collected as lists.

    over: named lists, wired or typed in, side by side and of equal length.
    state: named values that the first item meets; the body gives each anew.
    """
    items = side_by_side(over)
    each: dict[str, list[R]] = {}
    for index in loop(len(items)):
        state, results = body(state, items[index], index)
        for name, value in results.items():
            each.setdefault(name, []).append(value)
    return Collected(state, each)


@node(
    category="zones",
    conditional="when",
    lazy={"otherwise": lambda when: not when},
    words=("if", "condition", "branch", "gate", "bypass"),
)
def switch(
    body: Body[Branch], processes: Processes, when: bool | float = True, otherwise: Ports[S] | None = None
) -> Ports[S]:
    """Run the body where a value says so; elsewhere nothing of it is computed, and what is wired in otherwise passes by.

    when: true, or a number other than 0, runs the body. Where several processes train together, the first one's counts.
    otherwise: what is given where the body does not run, by the names of the body's results.
    """
    return body() if processes.agree(holds(when, "when")) else otherwise or {}


@node(category="zones", independent=True, words=("loop", "sweep", "xy plot"))
def for_each(body: Body[Item], over: Ports[list[T]], loop: Loop) -> Ports[list[R]]:
    """Run the body once for each item of the named lists (side by side, of equal length) and collect the results.

    over: named lists, wired or typed in: {"scale": [1, 3, 5]}.
    """
    collected: dict[str, list[R]] = {}
    items = [(item, index) for index, item in enumerate(side_by_side(over))]
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


@node(category="zones", whole=True, words=("benchmark", "throughput", "latency", "stopwatch", "duration", "speed"))
def timed(
    body: Body[Once],
    loop: Loop,
    device: Device,
    runs: Annotated[int, Field(ge=1, le=10_000)] = 1,
    clock: Literal["wall", "processor"] = "wall",
) -> Timing[R]:
    """Run the body and tell how many seconds that took: the least of so many runs.

    All of the body counts each time, its constants too; with two runs or more, warming up does not. A value that is in the cache keeps
    the seconds of the run that computed it.

    runs: how often; each is another turn, with random numbers of its own, and the results are those of the last.
    clock: wall is the time on the clock, to the end of what an accelerator was asked for; processor counts only what this process
        computes on its processors, all threads together, so that other programs on the machine do not count.
    """
    now = time.perf_counter if clock == "wall" else time.process_time
    results: Mapping[str, R] = {}
    seconds = float("inf")
    for _ in loop(runs):
        _settle(device)
        began = now()
        results = body()
        _settle(device)
        seconds = min(seconds, now() - began)
    return Timing(results, seconds)


def _settle(device: torch.device) -> None:
    """Wait for what the run's device was asked for; a processor is asked for nothing that it has not done."""
    accelerator = torch.accelerator.current_accelerator()
    if accelerator is not None and device.type == accelerator.type:
        # One whose backend is written in Python does at once what it is asked for, and has nothing to wait by.
        wait = getattr(torch.get_device_module(device), "synchronize", None)
        if wait is not None:
            wait(device)


def side_by_side(over: Mapping[str, Sequence[T]]) -> list[dict[str, T]]:
    """The items of named lists, one of each at a time. Raises ValueError where they are not equally long."""
    lengths = {name: len(items) for name, items in over.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the lists of 'over' have different lengths ({lengths}); make them equally long")
    return [{name: each[i] for name, each in over.items()} for i in range(max(lengths.values(), default=0))]


def holds(value: Any, name: str) -> bool:
    """Whether a condition holds: true, or a number other than 0, of whatever shape that is one number.

    Raises ValueError, naming the port, for what says neither, which a number that is none does not.
    """
    if isinstance(value, bool | int | float) or (isinstance(value, Tensor) and value.numel() == 1):
        if bool(value != value):
            raise ValueError(
                f"{name!r} is not a number (nan), which says neither yes nor no; look at what it is made of"
            )
        return bool(value)
    what = f"{value.numel()} numbers" if isinstance(value, Tensor) else f"a {type(value).__name__}"
    raise ValueError(f"{name!r} takes true, false or one number, and is given {what}")
