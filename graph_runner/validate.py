"""From a workflow to a graph, or to every problem in it at once.

Each step adds problems and goes on with what it could understand, so that one reading shows all there is to mend.
"""

from __future__ import annotations

import inspect
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import networkx as nx
from pydantic import ValidationError

from graph_runner.contract import NodeSpec, Port
from graph_runner.expand import expand
from graph_runner.graph import BoundNode, Scope, Source, Wired, dependencies, sources_of
from graph_runner.problems import Problem, did_you_mean
from graph_runner.typing_rules import solve_types
from graph_runner.workflow import Node, Workflow


def validate(workflow: Workflow, registry: Mapping[str, NodeSpec]) -> tuple[Scope, list[Problem]]:
    """Bind a workflow to node specifications. The scope may be run only where no problem is an error."""
    nodes, problems = expand(workflow)
    problems += _doubled_ids(nodes)
    nodes = _without_modes(nodes, registry, problems)
    top = Scope()
    _bind(nodes, top, registry, problems)
    everywhere = {bound.id: bound for bound in top.walk()}
    _resolve(top, nodes, everywhere, problems)
    if not (cycles := _cycles(top)):
        problems += solve_types(top)
    problems += cycles
    problems += _rules_of_zones(top)
    problems += _equal_seeds(top)
    problems += _exposed(workflow, everywhere)
    return top, problems


def errors(problems: list[Problem]) -> list[Problem]:
    """The problems that forbid a run."""
    return [problem for problem in problems if problem.severity == "error"]


def _walk(nodes: Mapping[str, Node]) -> Iterator[tuple[str, Node]]:
    for id, node in nodes.items():
        yield id, node
        if node.body is not None:
            yield from _walk(node.body.nodes)


def _doubled_ids(nodes: Mapping[str, Node]) -> list[Problem]:
    counts = Counter(id for id, _ in _walk(nodes))
    return [
        Problem("this id is used twice in the file", id, remedy="Rename one of the nodes")
        for id, n in counts.items()
        if n > 1
    ]


def _without_modes(
    nodes: Mapping[str, Node], registry: Mapping[str, NodeSpec], problems: list[Problem]
) -> dict[str, Node]:
    """Take muted nodes out, and lead wires past bypassed ones to their first input of the same type."""
    muted = {id for id, node in _walk(nodes) if node.mode == "mute"}
    passed: dict[str, str] = {}
    for id, node in _walk(nodes):
        spec = registry.get(node.type)
        if node.mode != "bypass" or spec is None:
            continue
        for output in spec.outputs:
            same = [
                port.name
                for port in spec.inputs
                if port.type.name == output.type.name and isinstance(node.wires.get(port.name), str)
            ]
            if same:
                passed[id] = passed[f"{id}.{output.name}"] = str(node.wires[same[0]])
            else:
                problems.append(
                    Problem(
                        f"cannot be bypassed: no wired input has the type {output.type} of its output",
                        id,
                        output.name,
                        "Mute it, or wire one",
                    )
                )
    if not muted and not passed:
        return dict(nodes)

    def follow(reference: str) -> str | None:
        seen = {reference}
        while reference in passed and passed[reference] not in seen:
            reference = passed[reference]
            seen.add(reference)
        return None if reference.partition(".")[0] in muted else reference

    def led(value: Any) -> Any:
        if isinstance(value, str):
            return follow(value)
        if isinstance(value, dict):
            return {name: kept for name, reference in value.items() if (kept := follow(reference))}
        return [kept for reference in value if (kept := follow(reference))]

    def rebuilt(nodes: Mapping[str, Node]) -> dict[str, Node]:
        result = {}
        for id, node in nodes.items():
            if node.mode != "run":
                continue
            wires = {port: kept for port, value in node.wires.items() if (kept := led(value))}
            body = node.body
            if body is not None:
                results = {port: kept for port, value in body.results.items() if (kept := led(value))}
                body = body.model_construct(nodes=rebuilt(body.nodes), results=results)
            result[id] = node.model_copy(update={"wires": wires, "body": body})
        return result

    return rebuilt(nodes)


def _bind(nodes: Mapping[str, Node], scope: Scope, registry: Mapping[str, NodeSpec], problems: list[Problem]) -> None:
    """Give every node its specification and its literals."""
    for id, node in nodes.items():
        spec = registry.get(node.type)
        if spec is None:
            problems.append(Problem(f"unknown node type {node.type!r}", id, remedy=did_you_mean(node.type, registry)))
            continue
        bound = scope.nodes[id] = BoundNode(id, spec, scope)
        for name in (*node.params, *node.wires):
            if name not in spec.input:
                problems.append(
                    Problem(f"{node.type!r} has no input {name!r}", id, name, did_you_mean(name, spec.input))
                )
        for port in spec.inputs:
            _bind_input(bound, port, node, problems)
        if spec.body is None and node.body is not None:
            problems.append(
                Problem(f"{node.type!r} takes no body", id, "body", "Move its nodes out, or use a zone such as 'group'")
            )
        if spec.body is not None:
            bound.body = Scope(scope, bound)
            if node.body is None:
                problems.append(
                    Problem(
                        f"{node.type!r} is a zone and has no body", id, "body", 'Add "body": {"nodes": …, "results": …}'
                    )
                )
            else:
                _bind(node.body.nodes, bound.body, registry, problems)


def _bind_input(bound: BoundNode, port: Port, node: Node, problems: list[Problem]) -> None:
    name, spec = port.name, bound.spec
    typed, wired = name in node.params, name in node.wires
    if typed and wired:
        problems.append(Problem("is both wired and typed in", bound.id, name, "Remove it from wires or from params"))
    elif typed and port.named:
        value = node.params[name]
        if isinstance(value, dict) and all(isinstance(items, list) == port.type.many for items in value.values()):
            bound.params[name] = value
        else:
            problems.append(
                Problem(
                    f"takes named {'lists' if port.type.many else 'values'}", bound.id, name, 'Write {"NAME": [ … ]}'
                )
            )
    elif typed and name not in spec.params:
        problems.append(
            Problem(f"takes a wire of type {port.type}, not a literal", bound.id, name, "Wire a node's output into it")
        )
    elif typed:
        try:
            # Through JSON and strict: 7 is no string, "7" no number, but 1 is a float and a list a tuple.
            bound.params[name] = spec.params[name].adapter.validate_json(json.dumps(node.params[name]), strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            inner = "".join(f"[{part}]" for part in first["loc"])
            message = first["msg"][0].lower() + first["msg"][1:]
            problems.append(
                Problem(
                    f"{message} (found {json.dumps(first['input'], default=str)[:60]}{' at ' + inner if inner else ''})",
                    bound.id,
                    name,
                    port.help,
                )
            )
    elif not wired and name in spec.params and spec.params[name].default is not inspect.Parameter.empty:
        bound.params[name] = spec.params[name].default
    elif not wired and port.required:
        problems.append(
            Problem(
                f"this input ({port.type}) is missing",
                bound.id,
                name,
                "Wire something into it" if name not in spec.params else "Type a value",
            )
        )


def _resolve(
    scope: Scope, nodes: Mapping[str, Node], everywhere: Mapping[str, BoundNode], problems: list[Problem]
) -> None:
    """Turn each reference into the port it names."""
    for bound in scope.nodes.values():
        node = nodes[bound.id]
        for name, value in node.wires.items():
            port = bound.spec.input.get(name)
            if port is None:
                continue
            form = dict if port.named else list if port.type.many else str
            if not isinstance(value, str | form) or (isinstance(value, str) and port.named):
                wanted = {
                    dict: 'named wires: {"NAME": "node.port"}',
                    list: 'a list of wires: ["node.port", …]',
                    str: 'one wire: "node.port"',
                }[form]
                problems.append(Problem("is wired in the wrong form", bound.id, name, f"It takes {wanted}"))
                continue
            wired = _sources(value, scope, everywhere, bound.id, name, problems)
            if wired is not None:
                bound.wires[name] = wired
        if bound.body is not None and node.body is not None:
            _resolve(bound.body, node.body.nodes, everywhere, problems)
            for result, value in node.body.results.items():
                wired = _sources(value, bound.body, everywhere, bound.id, f"results.{result}", problems)
                if wired is not None:
                    bound.body.results[result] = wired


def _sources(
    value: Any, scope: Scope, everywhere: Mapping[str, BoundNode], id: str, port: str, problems: list[Problem]
) -> Wired | None:
    if isinstance(value, str):
        return _source(value, scope, everywhere, id, port, problems)
    if isinstance(value, dict):
        named = {
            name: _source(reference, scope, everywhere, id, f"{port}.{name}", problems)
            for name, reference in value.items()
        }
        return {name: source for name, source in named.items() if source is not None}
    listed = [_source(reference, scope, everywhere, id, port, problems) for reference in value]
    return [source for source in listed if source is not None]


def _source(
    reference: str, scope: Scope, everywhere: Mapping[str, BoundNode], id: str, port: str, problems: list[Problem]
) -> Source | None:
    node, _, rest = reference.partition(".")
    for around in scope.enclosing():
        if around.zone is not None and around.zone.id == node:
            assert around.zone.spec.body is not None
            return _port_of(around.zone, around.zone.spec.body.ports, rest, True, id, port, problems)
        if node in around.nodes:
            return _port_of(around.nodes[node], around.nodes[node].spec.outputs, rest, False, id, port, problems)
    if node in everywhere:
        zone = everywhere[node].scope.zone
        inside = zone.id if zone is not None else "another zone"
        problems.append(
            Problem(
                f"the wire from {reference!r} leaves the body of {inside!r}",
                id,
                port,
                f"Make it a result of {inside!r} and read {inside!r} here",
            )
        )
    else:
        visible = [name for around in scope.enclosing() for name in around.nodes]
        problems.append(
            Problem(f"is wired to {reference!r}, and there is no node {node!r}", id, port, did_you_mean(node, visible))
        )
    return None


def _port_of(
    owner: BoundNode, ports: tuple[Port, ...], rest: str, inner: bool, id: str, port: str, problems: list[Problem]
) -> Source | None:
    """The port that `rest` (what follows the node's id) names."""
    what = "inner port" if inner else "output"
    known = {p.name: p for p in ports}
    head, _, name = rest.partition(".")
    if not rest and len(ports) == 1 and not ports[0].named:
        return Source(owner.id, ports[0].name, "", inner)
    if "" in known and rest and not name:
        return Source(owner.id, "", head, inner)
    if head in known and known[head].named == bool(name):
        return Source(owner.id, head, name, inner)
    if head in known:
        remedy = f"Write {owner.id}.{head}.NAME" if known[head].named else f"Write {owner.id}.{head}"
        problems.append(Problem(f"is wired to {owner.id}.{rest}, which is no single value", id, port, remedy))
    elif not ports:
        problems.append(Problem(f"{owner.id!r} has no {what}s", id, port, "Remove the wire"))
    elif not rest:
        names = ", ".join(f"{owner.id}.{p.name or 'NAME'}" for p in ports)
        problems.append(Problem(f"{owner.id!r} has several {what}s", id, port, f"Name one: {names}"))
    else:
        problems.append(Problem(f"{owner.id!r} has no {what} {head!r}", id, port, did_you_mean(head, known)))
    return None


def _cycles(scope: Scope) -> list[Problem]:
    problems = []
    for component in nx.strongly_connected_components(graph := dependencies(scope)):
        first = min(component)
        if len(component) > 1 or graph.has_edge(first, first):
            problems.append(
                Problem(
                    f"these nodes wait for each other: {', '.join(sorted(component))}",
                    first,
                    remedy="Break the circle; a loop is drawn with a zone such as 'repeat'",
                )
            )
    for bound in scope.nodes.values():
        if bound.body is not None:
            problems += _cycles(bound.body)
    return problems


def _rules_of_zones(top: Scope) -> list[Problem]:
    """`every` needs a loop around it; a model that a zone carries is read through the zone, inside of it."""
    problems = []
    for bound in top.walk():
        if bound.spec.aside and (bound.scope.zone is None or not bound.scope.zone.spec.loops):
            problems.append(
                Problem(
                    f"{bound.spec.type!r} runs on the turns of the loop around it, and there is none",
                    bound.id,
                    remedy="Move it into the body of a zone that loops",
                )
            )
        if bound.body is None:
            continue
        carried = {
            source: (port, name)
            for port in bound.spec.mutates
            if isinstance(named := bound.wires.get(port), dict)
            for name, source in named.items()
        }
        for inside in bound.body.walk():
            for port, wired in inside.wires.items():
                for source in sources_of([wired]):
                    if source in carried:
                        own = ".".join((bound.id, *carried[source]))
                        problems.append(
                            Problem(
                                f"reads {source}, which {bound.id!r} carries and changes a copy of",
                                inside.id,
                                port,
                                f"Read {own} instead",
                            )
                        )
    return problems


def _equal_seeds(top: Scope) -> list[Problem]:
    """Two draws of one type and one seed in one scope are equal; that is rarely meant."""
    scopes = [top, *(bound.body for bound in top.walk() if bound.body is not None)]
    problems = []
    for scope in scopes:
        groups: dict[tuple[str, Any], list[str]] = {}
        for bound in scope.nodes.values():
            if bound.spec.draws and "seed" in bound.params:
                groups.setdefault((bound.spec.type, bound.params["seed"]), []).append(bound.id)
        for (kind, seed), ids in groups.items():
            if len(ids) > 1:
                problems.append(
                    Problem(
                        f"{', '.join(ids)} ({kind}) draw the same numbers: all have seed {seed}",
                        ids[-1],
                        "seed",
                        "Give one another seed",
                        "warning",
                    )
                )
    return problems


def _exposed(workflow: Workflow, everywhere: Mapping[str, BoundNode]) -> list[Problem]:
    problems = []
    for name, reference in workflow.exposed.params.items():
        id, _, param = reference.partition(".")
        if id not in everywhere:
            problems.append(
                Problem(
                    f"exposes {reference!r}, and there is no node {id!r}", "exposed", name, did_you_mean(id, everywhere)
                )
            )
        elif param not in everywhere[id].spec.params:
            problems.append(
                Problem(
                    f"exposes {reference!r}, and {id!r} has no parameter {param!r}",
                    "exposed",
                    name,
                    did_you_mean(param, everywhere[id].spec.params),
                )
            )
    for name, reference in workflow.exposed.outputs.items():
        if reference.partition(".")[0] not in everywhere:
            problems.append(
                Problem(
                    f"exposes {reference!r}, and there is no such node",
                    "exposed",
                    name,
                    did_you_mean(reference.partition(".")[0], everywhere),
                )
            )
    return problems
