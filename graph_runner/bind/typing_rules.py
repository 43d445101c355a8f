"""The types of wires: nominal, with type variables solved at each node (`for_each`, `repeat`, `group`, `train`).

A variable T in `Ports[T]` is solved once for each name the user gives. Types flow from outputs to inputs in topological
order, into bodies through their inner ports and out of them through their results.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import networkx as nx

from graph_runner.base.problems import Problem
from graph_runner.bind.graph import UNKNOWN, BoundNode, Scope, Slot, Source, Wired, dependencies
from graph_runner.contract import Port, PortType
from graph_runner.contract.spec import ANY

Environment = dict[tuple[str, str], PortType]  # (variable or type, name within Ports) -> what it stands for


def solve_types(scope: Scope, circular: Collection[str] = ()) -> list[Problem]:
    """Check every wire and record each node's output types. `circular` nodes wait for each other: theirs stay unknown."""
    problems: list[Problem] = []
    graph = dependencies(scope)
    graph.remove_nodes_from(circular)
    for id in nx.topological_sort(graph):
        problems += _solve_node(scope.nodes[id], circular)
    return problems


def _solve_node(bound: BoundNode, circular: Collection[str]) -> list[Problem]:
    problems: list[Problem] = []
    env: Environment = {}
    for port in bound.spec.inputs:
        if port.name in bound.wires:
            problems += _enter(port, bound.wires[port.name], bound.scope, env, bound.id, port.name)
        elif port.named and port.name in bound.params:
            for name, value in bound.params[port.name].items():
                problems += _match(port.type, _type_of_literal(value), env, name, bound.id, f"{port.name}.{name}")
    if bound.body is not None and bound.spec.body is not None:
        for port in bound.spec.body.ports:
            bound.body.ports.update(_leave(port, env))
        problems += solve_types(bound.body, circular)
        problems += _check_results(bound, bound.body, env)
    for port in bound.spec.outputs:
        bound.outputs.update(_leave(port, env))
    bound.typed = True
    return problems


def _enter(
    port: Port, wired: Wired, scope: Scope, env: Environment, id: str, where: str, name: str = ""
) -> list[Problem]:
    """Match everything wired into a port (into its `name`, where it has names)."""
    if isinstance(wired, Source):
        return _match_source(port.type, wired, scope, env, name, id, where)
    problems = []
    if isinstance(wired, dict):
        for name, source in wired.items():
            problems += _match_source(port.type, source, scope, env, name, id, f"{where}.{name}")
    elif not port.type.many:
        problems.append(Problem(f"takes one {port.type}, and is wired to a list", id, where, "Write a single wire"))
    else:
        for source in wired:
            problems += _match_source(port.type.element(), source, scope, env, name, id, where)
    return problems


def _match_source(
    port: PortType, source: Source, scope: Scope, env: Environment, name: str, id: str, where: str
) -> list[Problem]:
    found = type_of(source, scope)
    if found is None:
        message = f"{source} does not exist: nothing named {source.name!r} goes in there"
        return [Problem(message, id, where, f"Add {source.name!r} to {source.node!r}, or correct the name")]
    return _match(port, found, env, name, id, where, str(source))


def type_of(source: Source, scope: Scope) -> PortType | None:
    """The type on a wire, read from a node of `scope`; None where the source gives no such thing."""
    if source == UNKNOWN:
        return ANY
    for around in scope.enclosing():
        if source.inner and around.zone is not None and around.zone.id == source.node:
            return around.ports.get((source.port, source.name))
        if not source.inner and source.node in around.nodes:
            owner = around.nodes[source.node]
            return owner.outputs.get((source.port, source.name)) if owner.typed else ANY
    return None


def _match(
    port: PortType, source: PortType, env: Environment, name: str, id: str, where: str, origin: str = "it"
) -> list[Problem]:
    if port.variable and source == ANY:
        env.setdefault((port.name, name), ANY)
        return []
    if port.variable:
        if port.many and not source.many:
            return [Problem(f"takes a list, and {origin} is one {source}", id, where, "Wire a list of nodes into it")]
        stands_for = source.element() if port.many else source
        if not PortType(port.name, stands_for.many, True, None, port.base).takes(stands_for):
            return [
                Problem(
                    f"takes a {port.base.__name__ if port.base else 'value'}, and {origin} is a {stands_for}", id, where
                )
            ]
        known = env.setdefault((port.name, name), stands_for)
        if not known.takes(stands_for) and port.base is not None:  # different kinds of one bound: what they share
            env[port.name, name] = PortType(port.base.__name__, stands_for.many, base=port.base)
        elif not known.takes(stands_for):
            return [Problem(f"takes {known} here (another wire says so), and {origin} is {stands_for}", id, where)]
        return []
    if name:
        env.setdefault((port.name, name), port)
    if port.takes(source):
        return []
    return [Problem(f"takes {port}, and {origin} is {source}", id, where, _remedy(port, source))]


def _remedy(port: PortType, source: PortType) -> str:
    if port.many and not source.many and port.element().takes(source):
        return "Write the wire as a list"
    return f"Wire a node that gives {port}"


def _leave(port: Port, env: Environment) -> dict[Slot, PortType]:
    """The types an output or inner port carries, by the user's name where it has names."""
    if not port.type.variable:  # names are those of the wires that enter, whatever their types
        names = dict.fromkeys(name for _, name in env if name) if port.named else [""]
        return {(port.name, name): port.type for name in names}
    solved = {name: kind for (variable, name), kind in env.items() if variable == port.type.name}
    if not port.named:
        solved = {"": solved.get("", ANY)}
    return {(port.name, name): kind.listed() if port.type.many else kind for name, kind in solved.items()}


def _check_results(bound: BoundNode, body: Scope, env: Environment) -> list[Problem]:
    assert bound.spec.body is not None
    problems: list[Problem] = []
    ports = {port.name: port for port in bound.spec.body.results}
    given = body.results
    for result, wired in given.items():
        head, _, name = result.partition(".")
        port, name = (ports[""], result) if "" in ports else (ports.get(head), name)
        if port is None or (name != "" and not port.named):
            known = ", ".join(p.name or "any name" for p in ports.values()) or "no results"
            problems.append(
                Problem(f"the body has no result {result!r}", bound.id, f"results.{result}", f"This zone takes {known}")
            )
        else:
            problems += _enter(port, wired, body, env, bound.id, f"results.{result}", name)
    for port in ports.values():
        if port.named and port.type.variable:
            promised = {name for (variable, name) in env if variable == port.type.name}
            missing = promised - {r if port.name == "" else r.partition(".")[2] for r in given}
            problems += [
                Problem(
                    f"the body gives no result {name!r}", bound.id, f"results.{name}", f'Add "{name}" to its results'
                )
                for name in sorted(missing)
            ]
        elif port.required and not port.named and port.name not in given:
            problems.append(
                Problem(
                    f"the body gives no result {port.name!r} ({port.type})",
                    bound.id,
                    f"results.{port.name}",
                    f'Add "{port.name}" to its results',
                )
            )
    return problems


def _type_of_literal(value: Any) -> PortType:
    """The type of a literal; of a list, what its items share."""
    if isinstance(value, list):
        kinds = {_type_of_literal(item) for item in value}
        if kinds == {_type_of_literal(1), _type_of_literal(1.0)}:
            kinds = {_type_of_literal(1.0)}
        return kinds.pop().listed() if len(kinds) == 1 else ANY.listed()
    return PortType(type(value).__name__, base=type(value))
