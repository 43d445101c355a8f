"""A validated graph: every node with its specification, every wire with the port it comes from, scopes nested.

While a workflow is bound, its nodes and scopes are filled in; `Scope.freeze` ends that, and nobody changes them any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

import networkx as nx

from graph_runner.contract import NodeSpec, PortType
from graph_runner.contract.models import Models
from graph_runner.format.wires import joined


@dataclass(frozen=True)
class Source:
    """Where a wire comes from: an output of a node or, when `inner`, an inner port of a zone around the reader.

    whole: in a list of wires, one that carries a list, whose items go in one by one.
    """

    node: str
    port: str
    name: str = ""  # the user's name, for Ports
    inner: bool = False
    whole: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        return joined(self.node, self.port, self.name)


UNKNOWN = Source("", "")
"""A wire that leads nowhere, in a graph that has a problem: what it would carry may be anything."""

Wired = Source | list[Source] | tuple[Source, ...] | dict[str, Source]
Slot = tuple[str, str]  # a port's name and the user's name within it ("" unless Ports)


def sources_of(wired: Iterable[Wired]) -> Iterator[Source]:
    """Every single source among wires."""
    for value in wired:
        if isinstance(value, Source):
            yield value
        else:
            yield from value.values() if isinstance(value, dict) else value


K = TypeVar("K")
V = TypeVar("V")


class FrozenError(TypeError):
    """A validated graph was to be changed: a fault in the program, not in the workflow."""


def _refuse(*_: object, **__: object) -> NoReturn:
    raise FrozenError(
        "a validated graph does not change; validate the changed workflow, or make a new graph of this one"
    )


class _FrozenDict(dict[K, V]):
    """A dict that stays as it was made."""

    __slots__ = ()
    __setitem__ = __delitem__ = __ior__ = update = setdefault = pop = popitem = clear = _refuse


_NOTHING: _FrozenDict[Any, Any] = _FrozenDict()


def _kept(mapping: dict[K, V]) -> dict[K, V]:
    return _FrozenDict(mapping) if mapping else _NOTHING


def _frozen(wired: Wired) -> Wired:
    if isinstance(wired, Source):
        return wired
    return _FrozenDict(wired) if isinstance(wired, dict) else tuple(wired)


@dataclass(eq=False)
class BoundNode:
    """A node of the graph, bound to its specification."""

    id: str
    spec: NodeSpec
    scope: Scope
    params: dict[str, Any] = field(default_factory=dict)
    wires: dict[str, Wired] = field(default_factory=dict)
    body: Scope | None = None
    outputs: dict[Slot, PortType] = field(default_factory=dict)
    typed: bool = False  # whether `outputs` is known


@dataclass(eq=False)
class Scope:
    """The top of a graph, or the body of a zone. At the top, uses: what the outputs of each use of a definition stand for; models:
    the classes that files may name."""

    parent: Scope | None = None
    zone: BoundNode | None = None
    nodes: dict[str, BoundNode] = field(default_factory=dict)
    results: dict[str, Wired] = field(default_factory=dict)
    ports: dict[Slot, PortType] = field(default_factory=dict)
    uses: dict[str, dict[str, Any]] = field(default_factory=dict)
    models: Models = field(default_factory=Models)

    @property
    def depth(self) -> int:
        """How many zones are around."""
        return 0 if self.parent is None else self.parent.depth + 1

    def enclosing(self) -> Iterator[Scope]:
        """This scope and those around it, from the inside out."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def freeze(self) -> None:
        """Let nobody change this scope, its nodes and the bodies in it any more: FrozenError tells who tries."""
        for bound in self.nodes.values():
            if bound.body is not None:
                bound.body.freeze()
            wires = {port: _frozen(wired) for port, wired in bound.wires.items()}
            bound.params, bound.wires, bound.outputs = _kept(bound.params), _kept(wires), _kept(bound.outputs)
            bound.__class__ = _FrozenNode
        self.results = _kept({port: _frozen(wired) for port, wired in self.results.items()})
        self.nodes, self.ports, self.uses = _kept(self.nodes), _kept(self.ports), _kept(self.uses)
        self.__class__ = _FrozenScope

    def walk(self) -> Iterator[BoundNode]:
        """Every node of this scope and of the bodies in it."""
        for bound in self.nodes.values():
            yield bound
            if bound.body is not None:
                yield from bound.body.walk()

    def scopes(self) -> Iterator[Scope]:
        """This scope and the bodies in it."""
        yield self
        yield from (bound.body for bound in self.walk() if bound.body is not None)


class _FrozenNode(BoundNode):
    """A bound node that stays as it is: freezing changes the class, so that filling in costs nothing."""

    __setattr__ = _refuse


class _FrozenScope(Scope):
    """A scope that stays as it is."""

    __setattr__ = _refuse


def reads(bound: BoundNode) -> Iterator[Source]:
    """What a node reads: its own wires, and what its body reads from outside of it."""
    yield from sources_of(bound.wires.values())
    if bound.body is not None:
        yield from captured(bound.body)


def captured(body: Scope) -> Iterator[Source]:
    """What the nodes of a body read from the scopes around it."""
    inside = [source for bound in body.nodes.values() for source in reads(bound)]
    for source in [*inside, *sources_of(body.results.values())]:
        local = source.node == body.zone.id if source.inner and body.zone is not None else source.node in body.nodes
        if not local:
            yield source


def dependencies(scope: Scope) -> nx.DiGraph[str]:
    """The nodes of one scope, with an edge from each node to those that read it (bodies' reads count for their zone)."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(scope.nodes)
    graph.add_edges_from(
        (source.node, bound.id)
        for bound in scope.nodes.values()
        for source in reads(bound)
        if not source.inner and source.node in scope.nodes
    )
    return graph


def in_order(graph: nx.DiGraph[str]) -> bool:
    """Whether every node comes before those that read it, as the nodes were added: then they go in no circle, and need no sorting."""
    before: set[str] = set()
    for node, readers in graph.adjacency():
        before.add(node)
        if not before.isdisjoint(readers):
            return False
    return True
