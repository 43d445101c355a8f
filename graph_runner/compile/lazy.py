"""Values that are not always read, found in a body: what makes them waits for whether somebody needs them.

A node says of an input that it reads it only where some of its other inputs say so (`lazy`), such as guidance, which needs no
null prediction at scale 1; a `conditional` zone reads what its body captures only where it runs. A node all of whose readers are such
is done only where one of them says that it needs it. Nothing else depends on it, so no result changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import networkx as nx

from graph_runner.bind.graph import BoundNode, Scope, Source, captured, sources_of


class Reader(NamedTuple):
    """A node that reads a value only where `asks` of some of its other inputs says so: their literals and their wires."""

    node: str
    asks: Callable[..., Any]
    constants: Mapping[str, Any]
    wires: Mapping[str, Source]

    @property
    def settled(self) -> bool | None:
        """Whether it reads the value, where its literals alone say so."""
        return None if self.wires else bool(self.asks(**self.constants))


def not_always_read(scope: Scope, graph: nx.DiGraph[str]) -> dict[str, tuple[Reader, ...]]:
    """The nodes of a body that are done only where one of these readers needs them, by their ids.

    graph: as `dependencies`; what says so is made to come first.
    """
    if scope.zone is None:  # at the top each value stands for itself, in the cache
        return {}
    asked: dict[str, list[tuple[str, Reader | None]]] = {}
    for bound in scope.nodes.values():
        for source, reader in _read(bound):
            if not source.inner and source.node in scope.nodes:
                asked.setdefault(source.node, []).append((bound.id, reader))
    results = {source.node for source in sources_of(scope.results.values()) if not source.inner}
    waiting: dict[str, tuple[Reader, ...]] = {}
    if all(reader is None for readers in asked.values() for _, reader in readers):
        return waiting
    for id in reversed(list(nx.topological_sort(graph))):
        if id in results or id not in asked or scope.nodes[id].spec.effect or scope.nodes[id].spec.aside:
            continue
        readers: dict[tuple[str, Callable[..., Any]], Reader] = {}  # one node may read it in two ways
        for by, reader in asked[id]:
            inherited = waiting.get(by)
            if inherited is None and (reader is None or reader.settled):
                break  # this one always reads it
            found = inherited or ([reader] if reader is not None else [])
            readers |= {(each.node, each.asks): each for each in found}
        else:
            first = {source.node for each in readers.values() for source in each.wires.values() if not source.inner}
            first &= scope.nodes.keys()
            if any(other == id or nx.has_path(graph, id, other) for other in first):
                continue  # it says itself whether it is read
            graph.add_edges_from((other, id) for other in first)
            waiting[id] = tuple(readers.values())
    return waiting


def _read(bound: BoundNode) -> Iterator[tuple[Source, Reader | None]]:
    """What a node reads, and where it does so only sometimes, as which reader."""
    for port, wired in bound.wires.items():
        asks = bound.spec.lazy.get(port)
        reader = _reader(bound, asks, bound.spec.lazy_names[port]) if asks is not None else None
        yield from ((source, reader) for source in sources_of([wired]))
    if bound.body is None:
        return
    condition = bound.spec.conditional
    runs = _reader(bound, body_runs, (condition,)) if condition else None
    yield from ((source, runs) for source in captured(bound.body))


def body_runs(**condition: Any) -> bool:
    """Whether a conditional zone's body runs: whether its one condition holds."""
    [when] = condition.values()
    return bool(when)


def _reader(bound: BoundNode, asks: Callable[..., Any], names: tuple[str, ...]) -> Reader:
    wires = {name: wired for name in names if isinstance(wired := bound.wires.get(name), Source)}
    typed = {name: bound.params.get(name, bound.spec.params[name].default) for name in names if name not in wires}
    return Reader(bound.id, asks, typed, wires)
