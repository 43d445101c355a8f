"""Content-addressed keys: what a node's value depends on, hashed; nothing else.

Ids, layout and order do not count; a node's first name and version, parameters, files by content, the keys of what is wired in, the
run's dtype, and (only where something draws) its seed do. A zone's key covers what its results depend on, so the bodies
of `every` are outside of it, and those of callbacks that decide what it computes (`early_stopping`) are not.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import networkx as nx

from graph_runner.base.contents import Contents
from graph_runner.bind.graph import BoundNode, Scope, Source, Wired, dependencies, reads
from graph_runner.bind.renamed import under
from graph_runner.contract import NodeSpec

Version = Callable[[BoundNode], str]
HALF = "dtype of each call"
"""Stands in the keys of half-precision runs for how the dtype is entered: another word when that changes what is computed."""
KEPT = "weights layer by layer"
"""The same of runs whose models are kept in fewer bytes."""


class Keys:
    """The keys of a graph's nodes. `version` tells what stands for a node's code, `contents` for what its files hold.

    dtype, weights: what the run computes in, and what it keeps weights in. run: stands in keys that mean something in one run alone;
    another process that takes part in it has to know it.
    """

    def __init__(
        self,
        seed: int,
        dtype: str,
        version: Version,
        contents: Contents | None = None,
        weights: str = "float32",
        run: str = "",
    ) -> None:
        self.seed, self.dtype, self.version, self.weights = seed, dtype, version, weights
        self._contents = contents or Contents()
        self.run = run or uuid.uuid4().hex
        self._known: dict[str, str] = {}
        self._fleeting: set[str] = set()  # nodes whose keys mean something in this run alone

    def key(self, bound: BoundNode) -> str:
        """The key of a node's value. Nodes that it reads must have been asked for first (topological order)."""
        known = self._known.get(bound.id)
        if known is None:
            known = self._known[bound.id] = _hash(self._content(bound, ()))
        return known

    def recurs(self, bound: BoundNode) -> bool:
        """Whether a later run may give the same key again, so that storing the value is of use. `key` comes first."""
        return bound.id not in self._fleeting

    def lineage(self, bound: BoundNode) -> str:
        """The key without the parameter that `continues`: what shorter and longer runs of one training share."""
        omitted = (bound.spec.continues,) if bound.spec.continues else ()
        return _hash(["lineage", self._content(bound, omitted)])

    def handed(self, bound: BoundNode) -> str:
        """The key of what a zone hands to its body: where an iteration's values enter the next one, the body counts."""
        return _hash(["handed", self._content(bound, (), body=False)]) if bound.spec.independent else self.key(bound)

    def _returns(self, bound: BoundNode) -> bool:
        """Whether the checkpoint that a zone is to begin at is one of its own: it is then what it would be without."""
        origin = bound.params.get(bound.spec.continues_from)
        if not origin:
            return False
        omitted = (bound.spec.continues_from, *([bound.spec.continues] if bound.spec.continues else []))
        lineage = _hash(["lineage", self._content(bound, omitted)])
        return lineage.startswith(Path(origin).parent.name)

    def _content(self, bound: BoundNode, omitted: tuple[str, ...], body: bool = True) -> list[Any]:
        spec = bound.spec
        if spec.continues_from and spec.continues_from not in omitted and self._returns(bound):
            omitted = (*omitted, spec.continues_from)
        params = {}
        for name, value in bound.params.items():
            if name in omitted or (name in spec.params and not spec.params[name].keyed):
                continue
            param = spec.params.get(name)
            if param is not None and param.neutral is not None and value == param.neutral.value:
                continue  # it computes what it did before there was such a parameter
            if param is not None and param.path_kind and value:
                value = self._contents.key(bound.id, Path(value), param.reads)
            params[spec.first_inputs.get(name, name)] = _plain(value)
        wires = {
            spec.first_inputs.get(port, port): self._wired(wired, bound.scope)
            for port, wired in bound.wires.items()
            if port not in omitted
        }
        content: list[Any] = [spec.first_name, self.version(bound), params, wires]
        if not content[1]:
            content += ["of this run", self.run]  # it may be another function next time
        if spec.wired_paths(bound.wires):
            content += ["of this run", self.run]  # which file it is, and what is in it, shows only then
            self._fleeting.add(bound.id)
        if any(len(set(map(str, wires))) < len(wires) for wires in _named(bound)):
            content.append("each a model of its own")  # under two names it was one model once
        if bound.body is not None and body:
            content.append(self._body(bound.body, bound.spec))
        if spec.fleeting or not content[1] or (self._fleeting and not self._fleeting.isdisjoint(_depends_on(bound))):
            self._fleeting.add(bound.id)
        if draws(bound) if body else bound.spec.draws:
            content += ["seed", self.seed]
        if self.dtype != "float32":
            content += [HALF, self.dtype]
        if self.weights != "float32":
            content += [KEPT, self.weights]
        return content

    def _body(self, body: Scope, zone: NodeSpec) -> list[Any]:
        for id in nx.topological_sort(dependencies(body)):
            self.key(body.nodes[id])  # in order, so that no chain of nodes becomes a chain of calls
        first = zone.body.first_results if zone.body is not None else {}
        results = {under(result, first): self._wired(wired, body) for result, wired in body.results.items()}
        effects = sorted(self.key(bound) for bound in body.nodes.values() if lasting(bound) or bound.spec.decides)
        return [results, effects]

    def _wired(self, wired: Wired, scope: Scope) -> Any:
        if isinstance(wired, Source):
            return self._source(wired, scope)
        if isinstance(wired, dict):
            return {name: self._source(source, scope) for name, source in wired.items()}
        return [self._source(source, scope) for source in wired]

    def _source(self, source: Source, scope: Scope) -> list[Any]:
        for around in scope.enclosing():
            if source.inner and around.zone is not None and around.zone.id == source.node:
                spec = around.zone.spec.body
                first = spec.first_ports.get(source.port, source.port) if spec is not None else source.port
                return ["inner", around.depth, first, source.name]
            if not source.inner and source.node in around.nodes:
                owner = around.nodes[source.node]
                first = owner.spec.first_outputs.get(source.port, source.port)
                return [self.key(owner), first, source.name]
        raise KeyError(str(source))


def _named(bound: BoundNode) -> Iterator[list[Source]]:
    """What is wired by names into what the node changes."""
    for port in bound.spec.mutates:
        if isinstance(wired := bound.wires.get(port), dict):
            yield list(wired.values())


def draws(bound: BoundNode) -> bool:
    """Whether what the node computes depends on random numbers, drawn by itself or in its body."""
    return any(part.spec.draws for part in _computing(bound))


def has_effect(bound: BoundNode) -> bool:
    """Whether the node, or anything in its body, saves or shows something: a callback does nothing else."""
    inside = bound.body.walk() if bound.body is not None else ()
    return any(part.spec.effect or part.spec.aside for part in (bound, *inside))


def lasting(bound: BoundNode) -> bool:
    """Whether saving or showing is the node's work, or part of it; a preview in a zone's callback is not."""
    return any(part.spec.effect for part in _computing(bound))


def _computing(bound: BoundNode) -> list[BoundNode]:
    """The node and all in its body but callbacks that decide nothing."""
    if bound.spec.aside and not bound.spec.decides:
        return []
    inside = bound.body.nodes.values() if bound.body is not None else ()
    return [bound, *(part for child in inside for part in _computing(child))]


def _depends_on(bound: BoundNode) -> Iterator[str]:
    """The ids of what a node reads, and of what is in it."""
    yield from (source.node for source in reads(bound))
    if bound.body is not None:
        yield from (child.id for child in bound.body.walk())


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else json.loads(json.dumps(value, default=repr))


_written = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def _hash(content: Any) -> str:
    return hashlib.sha256(_written(content).encode()).hexdigest()
