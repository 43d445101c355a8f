"""What the compiler makes and the interpreter walks: flat tuples of steps over numbered slots, as data.

A plan holds no function but those of its nodes' specifications, and nobody changes it: how a step is called is the
interpreter's argument (`graph_runner.run.interpreter`). No graph is walked, nothing looked up by name and nothing validated
once a plan runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graph_runner.bind.graph import Slot
from graph_runner.contract import NodeSpec, PortType


@dataclass(frozen=True, eq=False, slots=True)
class Need:
    """What says whether a value is needed: a function, its literals, and the slots that it reads; both are inputs of a node."""

    node: str
    asks: Callable[..., Any]
    constants: Mapping[str, Any]
    singles: tuple[tuple[str, int], ...]

    def holds(self, frame: list[Any]) -> bool:
        """Whether it is, as the values in a frame say; so it is where they cannot: the node that reads it tells what is wrong."""
        try:
            return bool(self.asks(**self.constants, **{name: frame[slot] for name, slot in self.singles}))
        except (RuntimeError, TypeError, ValueError):
            return True


@dataclass(frozen=True, eq=False, slots=True)
class Step:
    """One call of a node: where its arguments lie in the frame, and where its values go.

    constants: literals. singles, lists, dicts: inputs, and the slots that they read. stores: slots, and the outputs that go
    there. copied: inputs that it changes and others read. paths: wired paths of files, and what they lead to ("file",
    "folder", …). grads: it runs with gradients on, because a later node differentiates through it. captures: what its body
    reads of the scope around it (slot outside, slot inside). key, lineage: see `graph_runner.compile.keys`. whole: in lists,
    the slots of lists whose items go in. handed: of a zone, a key of what its body is handed. needed: if any, the call is made
    only where one of these says so.
    """

    id: str
    spec: NodeSpec
    constants: Mapping[str, Any]
    singles: tuple[tuple[str, int], ...] = ()
    lists: tuple[tuple[str, tuple[int, ...]], ...] = ()
    dicts: tuple[tuple[str, tuple[tuple[str, int], ...]], ...] = ()
    stores: tuple[tuple[int, Slot], ...] = ()
    copied: tuple[str, ...] = ()
    paths: tuple[tuple[str, str], ...] = ()
    grads: bool = False
    body: Code | None = None
    captures: tuple[tuple[int, int], ...] = ()
    key: str = ""
    lineage: str = ""
    whole: frozenset[int] = frozenset()
    handed: str = ""
    needed: tuple[Need, ...] = ()

    @property
    def members(self) -> tuple[Step, ...]:
        """The calls that it stands for: itself."""
        return (self,)

    def inputs(self) -> Iterator[int]:
        """The slots of what it is given."""
        yield from (slot for _, slot in self.singles)
        yield from (slot for _, slots in self.lists for slot in slots)
        yield from (slot for _, named in self.dicts for _, slot in named)

    def reads(self) -> Iterator[int]:
        """The slots that the call and its body read."""
        yield from self.inputs()
        yield from (slot for slot, _ in self.captures)
        yield from (slot for need in self.needed for _, slot in need.singles)


@dataclass(frozen=True, eq=False, slots=True)
class Joined:
    """Calls of one node that may be made as one: they differ in nothing but the values of its `batched` inputs."""

    members: tuple[Step, ...]

    @property
    def id(self) -> str:
        """The first call's."""
        return self.members[0].id

    @property
    def spec(self) -> NodeSpec:
        """The node's."""
        return self.members[0].spec

    @property
    def batched(self) -> list[str]:
        """The inputs by whose rows the calls are joined, of those that are wired."""
        return [name for name, _ in self.members[0].singles if name in self.spec.batched]


Unit = Step | Joined
"""What an interpreter does at once."""


@dataclass(frozen=True, eq=False, slots=True)
class Code:
    """A scope compiled: its steps in order, where ports enter and results leave, and what runs every so many iterations.

    size: slots of a frame. released: for each step, the slots that nobody reads after it. ports: slots, and the inner ports
    that enter there. results: (port, name, slot or slots). leaves: ports with respect to which some node differentiates.
    """

    size: int
    steps: tuple[Unit, ...]
    released: tuple[tuple[int, ...], ...]
    ports: tuple[tuple[int, Slot], ...] = ()
    results: tuple[tuple[str, str, int | tuple[int, ...]], ...] = ()
    asides: tuple[Step, ...] = ()
    leaves: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Kept:
    """What the cache has to know of a step at the top.

    types: of its outputs, by their first names, as the cache holds them. lasting: showing is part of its work.
    storable: nobody changes what it gives in place. parents: the steps it reads. made_of: all paths that it or a step before it reads.
    """

    types: Mapping[Slot, PortType]
    lasting: bool
    storable: bool
    parents: tuple[str, ...]
    made_of: frozenset[str]


@dataclass(frozen=True, eq=False, slots=True)
class Plan:
    """A graph ready to run: the top's code, the slots of what was asked for, the steps to run for their own sake."""

    code: Code
    targets: Mapping[str, int]
    roots: frozenset[str]
    kept: Mapping[str, Kept]
