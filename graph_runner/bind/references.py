"""From the names that wires carry to the ports they mean, in the scope where they are read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from graph_runner.base.problems import Problem, did_you_mean
from graph_runner.bind.graph import UNKNOWN, BoundNode, Scope, Source, Wired
from graph_runner.contract import Port
from graph_runner.format.wires import joined, split
from graph_runner.format.workflow import Node


class References:
    """Resolves the wires of a bound graph, noting problems.

    A wire that leads nowhere becomes UNKNOWN, so that nothing that is told once is told again by what follows from it.
    mute: ids that exist and have been complained about already (their type is unknown): no wire from them is a problem.
    """

    def __init__(self, top: Scope, mute: Collection[str], problems: list[Problem]) -> None:
        self.everywhere = {bound.id: bound for bound in top.walk()}
        self.mute, self.problems = mute, problems

    def resolve(self, scope: Scope, nodes: Mapping[str, Node]) -> None:
        """Give every node of a scope, and of the bodies in it, its wires and results."""
        for bound in scope.nodes.values():
            node = nodes[bound.id]
            for name, value in node.wires.items():
                port = bound.spec.input.get(name)
                if port is not None:
                    bound.wires[name] = self._wired(value, port, scope, bound.id)
            if bound.body is not None and node.body is not None:
                self.resolve(bound.body, node.body.nodes)
                for result, value in node.body.results.items():
                    bound.body.results[result] = self._sources(value, bound.body, bound.id, f"results.{result}")

    def _wired(self, value: Any, port: Port, scope: Scope, id: str) -> Wired:
        form = dict if port.named else list if port.type.many else str
        if isinstance(value, form) or (form is list and isinstance(value, str)):  # one wire may carry a whole list
            return self._sources(value, scope, id, port.name)
        wanted = {
            dict: 'named wires: {"NAME": "node.port"}',
            list: 'a list of wires: ["node.port", …]',
            str: 'one wire: "node.port"',
        }[form]
        self.problems.append(Problem("is wired in the wrong form", id, port.name, f"It takes {wanted}"))
        return UNKNOWN

    def _sources(self, value: Any, scope: Scope, id: str, port: str) -> Wired:
        if isinstance(value, str):
            return self._source(value, scope, id, port)
        if isinstance(value, dict):
            return {name: self._source(reference, scope, id, f"{port}.{name}") for name, reference in value.items()}
        return [self._source(reference, scope, id, port) for reference in value]

    def _source(self, reference: str, scope: Scope, id: str, port: str) -> Source:
        node, rest = split(reference)
        for around in scope.enclosing():
            if around.zone is not None and around.zone.id == node:
                assert around.zone.spec.body is not None
                return self._port(around.zone, around.zone.spec.body.ports, rest, True, id, port)
            if node in around.nodes:
                return self._port(around.nodes[node], around.nodes[node].spec.outputs, rest, False, id, port)
        if node in self.everywhere:
            zone = self.everywhere[node].scope.zone
            inside = zone.id if zone is not None else "another zone"
            self.problems.append(
                Problem(
                    f"the wire from {reference!r} leaves the body of {inside!r}",
                    id,
                    port,
                    f"Make it a result of {inside!r} and read {inside!r} here",
                )
            )
        elif node not in self.mute:
            visible = [name for around in scope.enclosing() for name in around.nodes]
            message = f"is wired to {reference!r}, and there is no node {node!r}"
            self.problems.append(Problem(message, id, port, did_you_mean(node, visible)))
        return UNKNOWN

    def _port(self, owner: BoundNode, ports: tuple[Port, ...], rest: str, inner: bool, id: str, port: str) -> Source:
        """The port that `rest` (what follows the node's id) names."""
        if not rest and len(ports) == 1 and not ports[0].named:
            return Source(owner.id, ports[0].name, "", inner)
        what = "inner port" if inner else "output"
        known = {p.name: p for p in ports}
        head, name = split(rest)
        if "" in known and rest and not name:
            return Source(owner.id, "", head, inner)
        if head in known and known[head].named == bool(name):
            return Source(owner.id, head, name, inner)
        if head in known:
            written, asked = (joined(owner.id, part) for part in (rest, head))
            remedy = f"Write {asked}.NAME" if known[head].named else f"Write {asked}"
            problem = Problem(f"is wired to {written}, which is no single value", id, port, remedy)
        elif not ports:
            problem = Problem(f"{owner.id!r} has no {what}s", id, port, "Remove the wire")
        elif not rest:
            names = ", ".join(f"{owner.id}.{p.name or 'NAME'}" + (".NAME" if p.name and p.named else "") for p in ports)
            problem = Problem(f"{owner.id!r} has several {what}s", id, port, f"Name one: {names}")
        else:
            problem = Problem(f"{owner.id!r} has no {what} {head!r}", id, port, did_you_mean(head, known))
        self.problems.append(problem)
        return UNKNOWN
