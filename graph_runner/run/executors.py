"""Executors: where the items of a sweep, and the runs of a server's queue, are done; chosen by name.

The names are those of entry points (group `latent_loom.executors`); ours arrive by the same door as a stranger's. An entry point
leads to a factory, called with the options that the user gave, and gives an `Executor`, or None for "in this process".

An executor knows nothing of graphs. It gets a `Job`: work that can be pickled, and the numbers of the items that it is to be done
for. It may do them anywhere that sees the workspace, several at once and in any order, and does an item again whose process died:
what is done twice gives the same, and a training goes on from its checkpoint. It tells so (`Again`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from graph_runner.bind.graph import Scope
from graph_runner.run.brought import Brought

GROUP = "latent_loom.executors"
BROUGHT = Brought(GROUP, "executor", given=0)

Tell = Callable[[Any], None]
"""Takes what an item has to tell while it is done: events."""
Hear = Callable[[int, Any], None]
"""Hears what an item told, by its number."""


@dataclass(frozen=True)
class Again:
    """Heard of an item that begins anew, for its process or machine was lost."""


class Work(Protocol):
    """What is done for each item, as data: it is pickled once, and sent to whoever does an item."""

    def __call__(self, item: int, tell: Tell, stop: threading.Event) -> Any:
        """Do one item. It ends soon after `stop` is set. What it gives, and what it tells, can be pickled."""
        ...


@dataclass(frozen=True, eq=False)
class Job:
    """Items to be done. name: for people, of a node or a run.

    What the work alone is made of may be sent; the rest is for whoever wants to know what an item needs: the graph that it
    runs, as validated, and where. device: as the user asked for it. threads: that a process has here, and must have there for
    the same last bits. shared: an item's work may be shared by several processes, which are told of it as `torchrun` tells
    (see `graph_runner.run.together`).
    """

    name: str
    work: Work
    items: Sequence[int]
    graph: Scope
    workspace: Path
    device: str
    dtype: str
    roots: tuple[Path, ...]
    injectables: Mapping[str, Callable[..., Any]]
    threads: int
    shared: bool = False


class LostError(RuntimeError):
    """An item could not be done, for its process or machine was lost again and again, or nobody could take it."""


class Executor(Protocol):
    """Does items."""

    def opened(self) -> AbstractContextManager[None]:
        """While inside, items can be done: what an executor starts for itself, it ends afterwards. Raises LostError."""
        ...

    def __call__(
        self, job: Job, hear: Hear, stop: threading.Event, at_once: threading.Event
    ) -> Iterator[tuple[int, Any]]:
        """Each item's number and what the work gave, as they are done; what they told is heard before, on this thread.

        Once `stop` is set, no item begins any more, and those that run are told; once `at_once` is set, or if they take too
        long, they are ended by force, and nothing is given for them. What the work raises is raised, and so is LostError. A
        caller that listens no more (it closes the iterator) ends what still runs.
        """
        ...


def here() -> None:
    """In this process, one after another: what models the run holds are there already."""


def chosen(text: str) -> Executor | None:
    """The executor that a user names: "here", "ray", "ray:address=auto", "ray://host:port".

    Raises WorkflowError for an unknown name, an absent package, and wrong options.
    """
    if text == "here":
        return None
    name, _, rest = text.partition(":")
    if rest.startswith("//"):
        text = f"{name}:address={text}"
    executor: Executor | None = BROUGHT.chosen(text, BROUGHT.installed())()
    return executor
