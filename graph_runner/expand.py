"""Named graphs used as nodes: each use of a definition becomes its nodes, under ids `USE/NODE`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graph_runner.problems import Problem, did_you_mean
from graph_runner.workflow import Body, Definition, Node, Workflow

INPUTS = "inputs"


def expand(workflow: Workflow) -> tuple[dict[str, Node], list[Problem]]:
    """The workflow's nodes with every use of a definition replaced by what it stands for."""
    if not workflow.definitions:
        return workflow.nodes, []
    problems: list[Problem] = []
    nodes, _ = _expand(workflow.nodes, {}, workflow.definitions, (), problems)
    return nodes, problems


def _expand(
    nodes: dict[str, Node],
    results: dict[str, Any],
    definitions: dict[str, Definition],
    inside: tuple[str, ...],
    problems: list[Problem],
) -> tuple[dict[str, Node], dict[str, Any]]:
    flat: dict[str, Node] = {}
    renamed: dict[str, dict[str, Any]] = {}
    for id, node in nodes.items():
        definition = definitions.get(node.type)
        if definition is None:
            if node.body is not None:
                inner, inner_results = _expand(node.body.nodes, node.body.results, definitions, inside, problems)
                node = node.model_copy(update={"body": Body.model_construct(nodes=inner, results=inner_results)})
            flat[id] = node
        elif node.type in inside:
            chain = " → ".join((*inside, node.type))
            problems.append(
                Problem(f"the definition {node.type!r} uses itself ({chain})", id, remedy="Break the circle")
            )
        else:
            inner, outputs = _instance(id, node, definition, definitions, inside, problems)
            flat.update(inner)
            renamed[id] = outputs
    if not renamed:
        return flat, results

    def follow(reference: str) -> str:
        while (id := reference.partition(".")[0]) in renamed:
            port = reference.partition(".")[2] or (next(iter(renamed[id])) if len(renamed[id]) == 1 else "")
            if port not in renamed[id]:
                break
            reference = renamed[id][port]
        return reference

    flat = {id: _rewired(node, follow) for id, node in flat.items()}
    return flat, {port: _mapped(value, follow) for port, value in results.items()}


def _instance(
    id: str,
    use: Node,
    definition: Definition,
    definitions: dict[str, Definition],
    inside: tuple[str, ...],
    problems: list[Problem],
) -> tuple[dict[str, Node], dict[str, Any]]:
    given: dict[str, Any] = {**use.wires, **use.params}
    for name in given:
        if name not in definition.inputs:
            problems.append(
                Problem(f"{use.type!r} has no input {name!r}", id, name, did_you_mean(name, definition.inputs))
            )
    inner, results = _expand(definition.nodes, definition.results, definitions, (*inside, use.type), problems)

    def outside(reference: str) -> str:
        head, _, rest = reference.partition(".")
        wired = use.wires.get(rest) if head == INPUTS else None
        return wired if isinstance(wired, str) else f"{id}/{reference}"

    nodes = {f"{id}/{name}": _bound(node, id, use, outside) for name, node in inner.items()}
    return nodes, {port: _mapped(value, outside) for port, value in results.items()}


def _bound(node: Node, prefix: str, use: Node, outside: Callable[[str], str]) -> Node:
    """A node of a definition with what this use gives: literals typed in, wires led outside, ids prefixed."""
    params, wires = dict(node.params), dict[str, Any]()
    for port, value in node.wires.items():
        name = value.partition(".")[2] if isinstance(value, str) and value.startswith(f"{INPUTS}.") else None
        if name is None:
            wires[port] = _mapped(value, outside)
        elif name in use.params:
            params[port] = use.params[name]
        elif name in use.wires:
            wires[port] = use.wires[name]
    body = node.body
    if body is not None:
        inner = {f"{prefix}/{id}": _bound(child, prefix, use, outside) for id, child in body.nodes.items()}
        results = {port: _mapped(value, outside) for port, value in body.results.items()}
        body = Body.model_construct(nodes=inner, results=results)
    return node.model_copy(update={"wires": wires, "params": params, "body": body})


def _rewired(node: Node, follow: Callable[[str], str]) -> Node:
    body = node.body
    if body is not None:
        nodes = {id: _rewired(child, follow) for id, child in body.nodes.items()}
        body = Body.model_construct(nodes=nodes, results={k: _mapped(v, follow) for k, v in body.results.items()})
    return node.model_copy(update={"wires": {k: _mapped(v, follow) for k, v in node.wires.items()}, "body": body})


def _mapped(value: Any, follow: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return follow(value)
    if isinstance(value, dict):
        return {name: follow(reference) for name, reference in value.items()}
    return [follow(reference) for reference in value]
