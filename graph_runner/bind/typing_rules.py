"""The types of wires: nominal, with type variables solved at each node (`for_each`, `repeat`, `group`, `train`).

A variable T in `Ports[T]` is solved once for each name the user gives. Types flow from outputs to inputs in topological
order, into bodies through their inner ports and out of them through their results.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import networkx as nx

from graph_runner.base.problems import Problem
from graph_runner.bind.graph import UNKNOWN, BoundNode, Scope, Slot, Source, Wired
from graph_runner.contract import Port, PortType
from graph_runner.contract.broadcast import NUMBERS, NamesIn, broadest
from graph_runner.contract.spec import ANY
from graph_runner.format.wires import split

Environment = dict[tuple[str, str], PortType]  # (variable or type, name within Ports) -> what it stands for
SOME = "*"
"""The name, within Ports, of whatever a broken wire would have brought: it may be any."""

WHOLE, FRACTION = (PortType(kind.__name__, base=kind) for kind in (int, float))
"""The kinds of numbers that are calculated."""

Graphs = Mapping[Scope, "nx.DiGraph[str]"]
"""Of each scope, which nodes wait for which."""


def solve_types(scope: Scope, graphs: Graphs, circular: Collection[str] = ()) -> list[Problem]:
    """Check every wire and record each node's output types. `circular` nodes wait for each other: theirs stay unknown."""
    problems: list[Problem] = []
    graph = graphs[scope]
    graph.remove_nodes_from(circular)
    for id in nx.topological_sort(graph):
        problems += _solve_node(scope.nodes[id], graphs, circular)
    return problems


def _solve_node(bound: BoundNode, graphs: Graphs, circular: Collection[str]) -> list[Problem]:
    problems: list[Problem] = []
    env: Environment = {}
    _mark_whole_lists(bound)
    for port in bound.spec.inputs:
        if port.name in bound.wires:
            problems += _enter(port, bound.wires[port.name], bound.scope, env, bound.id, port.name)
        for name, value in (bound.params.get(port.name) or {}).items() if port.named else ():
            problems += _match(port.type, _type_of_literal(value), env, name, bound.id, f"{port.name}.{name}")
        if port.named and port.required and port.name not in bound.wires.keys() | bound.params.keys():
            env[port.type.name, SOME] = ANY  # that it is missing is told once
        if port.names_in is not None and port.type.broadcasts:
            env[port.type.name, ""] = _calculated(bound, port, port.names_in, env)
    if bound.body is not None and bound.spec.body is not None:
        for port in bound.spec.body.ports:
            bound.body.ports.update(_leave(port, env))
        problems += solve_types(bound.body, graphs, circular)
        promised = {name for _, name in env}
        problems += _check_results(bound, bound.body, env)
        mapping = bound.spec.body_returns is not None and bound.spec.body_returns.form == "mapping"
        if bound.spec.conditional and mapping and SOME not in promised:
            problems += _nothing_otherwise(bound, promised)
    for port in bound.spec.outputs:
        bound.outputs.update(_leave(port, env))
    bound.typed = True
    return problems


def _calculated(bound: BoundNode, port: Port, names_in: NamesIn, env: Environment) -> PortType:
    """The kind of what is calculated of named wires, by the text that says how."""
    text = bound.params.get(names_in.parameter)
    if not isinstance(text, str):  # wired, or wrong
        return ANY
    kinds = [env[port.type.name, name] for name in names_in.names(text) if (port.type.name, name) in env]
    kind = broadest(kinds or [WHOLE])
    return kind if kind.name not in NUMBERS else FRACTION if names_in.fractional(text) else broadest([WHOLE, kind])


def _enter(
    port: Port, wired: Wired, scope: Scope, env: Environment, id: str, where: str, name: str = ""
) -> list[Problem]:
    """Match everything wired into a port (into its `name`, where it has names)."""
    if isinstance(wired, Source):
        if port.named and not name:  # wired in a form that it does not take, which is told already
            name = SOME
        return _match_source(port.type, wired, scope, env, name, id, where)
    problems = []
    if isinstance(wired, dict):
        for name, source in wired.items():
            problems += _match_source(port.type, source, scope, env, name, id, f"{where}.{name}")
    elif not port.type.many:
        problems.append(Problem(f"takes one {port.type}, and is wired to a list", id, where, "Write a single wire"))
    else:
        for source in wired:
            item = port.type if source.whole else port.type.element()
            problems += _match_source(item, source, scope, env, name, id, where)
    return problems


def _mark_whole_lists(bound: BoundNode) -> None:
    """Of a list of wires, those that carry lists of what the port's list holds: their items go in one by one."""
    for port in bound.spec.inputs:
        wired = bound.wires.get(port.name)
        if isinstance(wired, list) and not port.type.variable and port.type.name != "any":
            bound.wires[port.name] = [
                replace(source, whole=kind is not None and _is_whole(port.type, kind))
                for source in wired
                for kind in [type_of(source, bound.scope)]
            ]


def _is_whole(port: PortType, source: PortType) -> bool:
    return not port.element().takes(source) and port.takes(source)


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
            return _given(around.ports, source)
        if not source.inner and source.node in around.nodes:
            owner = around.nodes[source.node]
            return _given(owner.outputs, source) if owner.typed else ANY
    return None


def _given(ports: dict[Slot, PortType], source: Source) -> PortType | None:
    return ports.get((source.port, source.name)) or ports.get((source.port, SOME))


def _match(
    port: PortType, source: PortType, env: Environment, name: str, id: str, where: str, origin: str = "it"
) -> list[Problem]:
    if port.variable and (name == SOME or source == ANY):
        env.setdefault((port.name, name), ANY)
        return []
    if port.variable:
        wrong, stands_for = _stand_for(port, source, origin)
        known = env.setdefault((port.name, name), stands_for)
        if wrong:
            return [Problem(wrong, id, where, "Wire a list of nodes into it" if port.many > source.many else "")]
        if not known.takes(stands_for) and port.broadcasts:
            env[port.name, name] = broadest((known, stands_for))
        elif not known.takes(stands_for) and port.base is not None:  # different kinds of one bound: what they share
            env[port.name, name] = PortType(port.base.__name__, stands_for.many, base=port.base)
        elif not known.takes(stands_for):
            message = f"takes {known.listed(port.many)} here (another wire says so), and {origin} is {source}"
            return [Problem(message, id, where)]
        return []
    if name:
        env.setdefault((port.name, name), port)
    if port.takes(source):
        return []
    return [Problem(f"takes {port}, and {origin} is {source}", id, where, _remedy(port, source))]


def _stand_for(port: PortType, source: PortType, origin: str) -> tuple[str, PortType]:
    """Why `source` may not enter a port of a variable type (empty where it may), and what the variable stands for."""
    single = port.either and not source.many
    if source.many < port.many and not single and source.name != "any":
        return f"takes a list, and {origin} is one {source}", source
    stands_for = replace(source, many=source.many - (0 if single else min(port.many, source.many)))
    if port.broadcasts and stands_for.many:
        return f"takes {port}, and {origin} is {source}", ANY
    if stands_for.name != "any" and not replace(port, many=stands_for.many, either=False).takes(stands_for):
        return f"takes {port}, and {origin} is {source}", ANY
    return "", stands_for


def _remedy(port: PortType, source: PortType) -> str:
    if port.many == source.many + 1 and port.element().takes(source):
        return "Write the wire as a list"
    return f"Wire a node that gives {port}"


def _leave(port: Port, env: Environment) -> dict[Slot, PortType]:
    """The types an output or inner port carries, by the user's name where it has names."""
    if not port.type.variable:  # names are those of the wires of its type that enter, or of all where there are none
        own = dict.fromkeys(name for kind, name in env if name and kind == port.type.name)
        names = (own or dict.fromkeys(name for _, name in env if name)) if port.named else {"": None}
        return {(port.name, name): port.type for name in names}
    solved = {name: kind for (variable, name), kind in env.items() if variable == port.type.name}
    if not port.named:
        solved = {"": solved.get("", ANY)}
    return {(port.name, name): kind.listed(port.type.many) for name, kind in solved.items()}


def _check_results(bound: BoundNode, body: Scope, env: Environment) -> list[Problem]:
    assert bound.spec.body is not None
    problems: list[Problem] = []
    ports = {port.name: port for port in bound.spec.body.results}
    given = body.results
    misspelt: list[str] = []
    for result, wired in given.items():
        head, name = split(result)
        port, name = (ports[""], result) if "" in ports else (ports.get(head), name)
        if port is None or (name != "" and not port.named):
            known = ", ".join(p.name or "any name" for p in ports.values()) or "no results"
            problems.append(
                Problem(f"the body has no result {result!r}", bound.id, f"results.{result}", f"This zone takes {known}")
            )
            misspelt.append(result)
        else:
            problems += _enter(port, wired, body, env, bound.id, f"results.{result}", name)
    for port in ports.values():
        if port.named and port.type.variable:
            promised = {name for (variable, name) in env if variable == port.type.name}
            named = {result if port.name == "" else split(result)[1] for result in given}
            missing = set() if SOME in named else promised - named - {SOME}
            problems += [_no_result(bound, name) for name in sorted(missing)]
        elif port.required and not port.named and port.name not in given:
            if misspelt:  # it was meant for this one, and is told
                misspelt.pop()
            else:
                problems.append(_no_result(bound, port.name, f" ({port.type})"))
    return problems


def _nothing_otherwise(bound: BoundNode, promised: Collection[str]) -> list[Problem]:
    """Results of a body that may not run, for which nothing is given where it does not."""
    assert bound.body is not None
    message = "is given by the body alone, which may not run"
    remedy = "Wire what is given where it does not, by the same name"
    named = [port.name for port in bound.spec.inputs if port.named]
    where = named[0] if named else "results"
    return [
        Problem(f"{result!r} {message}", bound.id, f"{where}.{result}", remedy)
        for result in bound.body.results
        if result not in promised
    ]


def _no_result(bound: BoundNode, result: str, kind: str = "") -> Problem:
    message = f"the body gives no result {result!r}{kind}"
    return Problem(message, bound.id, f"results.{result}", f'Add "{result}" to its results')


def _type_of_literal(value: Any) -> PortType:
    """The type of a literal; of a list, what its items share."""
    if not isinstance(value, list):
        return PortType(type(value).__name__, base=type(value))
    kinds = sorted({_type_of_literal(item) for item in value}, key=str)
    shared = [kind for kind in kinds if all(kind.takes(other) for other in kinds)]
    return (shared[0] if shared else ANY).listed()
