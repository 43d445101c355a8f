"""`--set node.param=value`: literals put into a workflow before it runs, parsed by the port's type."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from graph_runner.base.problems import Problem, WorkflowError, did_you_mean
from graph_runner.bind.paths import PathError, expanded
from graph_runner.bind.renamed import present, under_current_names
from graph_runner.contract import NodeSpec, Param
from graph_runner.format.document import parse, writable
from graph_runner.format.wires import split
from graph_runner.format.workflow import Node, Workflow, walk


def apply(settings: Iterable[str], workflow: Workflow, registry: Mapping[str, NodeSpec]) -> Workflow:
    """The workflow with these settings: `node.param=value`, or `name=value` for a parameter that it exposes.

    A wire into the parameter gives way to the literal. A value is JSON; what is none, or does not suit the port, is taken
    as text. Paths that exist from here are made absolute, for relative ones in a workflow start at its workspace. A
    value that no reading makes suitable is put in as it is: validation says what is wrong with it.

    Raises WorkflowError with every setting that names nothing.
    """
    workflow = under_current_names(workflow, registry).model_copy(deep=True)
    nodes = dict(walk(workflow.nodes))
    problems: list[Problem] = []
    for setting in settings:
        target, equals, text = setting.partition("=")
        if not writable(setting):
            told = setting.encode(errors="replace").decode()
            problems.append(Problem(f"--set {told}: this is no UTF-8", remedy="Type it in a UTF-8 terminal"))
            continue
        if not equals:
            problems.append(Problem(f"--set {setting}: there is no '='", remedy="Write --set node.param=value"))
            continue
        id, param = split(workflow.exposed.params.get(target, target))
        spec = registry.get(nodes[id].type) if id in nodes else None
        param, name = split(present(spec.inputs, param) if spec is not None else param)
        problem = _find(target, id, param, name, nodes, workflow, registry)
        if problem is not None:
            problems.append(problem)
            continue
        _put(nodes[id], param, name, _parse(text, _param(registry, nodes[id], param)))
    if problems:
        raise WorkflowError(problems)
    return workflow


def exposed(workflow: Workflow, registry: Mapping[str, NodeSpec]) -> dict[str, Any]:
    """What a workflow exposes under names of its own, and the values as they stand (wired ones left out)."""
    nodes = dict(walk(workflow.nodes))
    values = {}
    for name, reference in workflow.exposed.params.items():
        id, param = split(reference)
        if id in nodes and param in nodes[id].params:
            values[name] = nodes[id].params[param]
        elif id in nodes and param not in nodes[id].wires and (found := _param(registry, nodes[id], param)):
            values[name] = None if found.required else found.adapter.dump_python(found.default, mode="json")
    return values


def _param(registry: Mapping[str, NodeSpec], node: Node, name: str) -> Param | None:
    spec = registry.get(node.type)
    return None if spec is None else spec.params.get(name)


def _find(
    target: str,
    id: str,
    param: str,
    name: str,
    nodes: Mapping[str, Node],
    workflow: Workflow,
    registry: Mapping[str, NodeSpec],
) -> Problem | None:
    """What is wrong with the place that a setting names."""
    asked = f"--set {target}"
    if not param:
        remedy = did_you_mean(target, workflow.exposed.params)
        if id in nodes:
            known = _settable(nodes[id], workflow, registry)
            return Problem(f"{asked}: say which parameter of {id!r}", remedy=did_you_mean("", known))
        return Problem(f"{asked}: nothing is exposed by that name", remedy=remedy or "Write --set node.param=value")
    if id not in nodes:
        return Problem(f"{asked}: there is no node {id!r}", remedy=did_you_mean(id, nodes))
    node = nodes[id]
    spec = registry.get(node.type)
    if spec is None and node.type not in workflow.definitions:
        return Problem(f"{asked}: the node's type {node.type!r} is unknown", remedy=did_you_mean(node.type, registry))
    known = _settable(node, workflow, registry)
    if param not in known:
        if spec is not None and param in spec.input:
            kind = spec.input[param].type
            return Problem(f"{asked}: takes a wire of type {kind}, not a value", remedy="Wire a node's output into it")
        return Problem(f"{asked}: {node.type!r} has no parameter {param!r}", remedy=did_you_mean(param, known))
    if name and (spec is None or not spec.input[param].named):
        return Problem(f"{asked}: {id}.{param} is one value", remedy=f"Write --set {id}.{param}=value")
    return None


def _settable(node: Node, workflow: Workflow, registry: Mapping[str, NodeSpec]) -> list[str]:
    spec = registry.get(node.type)
    if spec is None:
        return list(workflow.definitions[node.type].inputs) if node.type in workflow.definitions else []
    return [port.name for port in spec.inputs if port.name in spec.params or port.named]


def _put(node: Node, param: str, name: str, value: Any) -> None:
    if not name:
        node.wires.pop(param, None)
        node.params[param] = value
        return
    wired = node.wires.get(param)
    if isinstance(wired, dict):
        wired.pop(name, None)
        if not wired:
            del node.wires[param]
    known = node.params.get(param)
    node.params[param] = {**(known if isinstance(known, dict) else {}), name: value}


def _parse(text: str, param: Param | None) -> Any:
    """The value that a text means for a parameter."""
    plain = _literal(text)
    if param is None:
        return plain
    for value in (plain, text):
        try:
            param.adapter.validate_json(json.dumps(value), strict=True)
        except ValidationError:
            continue
        return _placed(value) if param.path_kind else value
    try:  # what JSON does not know but people write: .5, True
        value = param.adapter.dump_python(param.adapter.validate_strings(text), mode="json")
        json.dumps(value, allow_nan=False)
    except ValueError:
        return plain
    return value


def _literal(text: str) -> Any:
    """The JSON value that a text is, or the text itself: also for what a workflow file refuses, such as NaN and 1e999."""
    try:
        document, problems = parse(f'{{"value": {text}}}', "")
    except WorkflowError:
        return text
    return text if problems or len(document) != 1 else document["value"]


def _placed(value: Any) -> Any:
    """A path that exists from the current folder, absolute; others stay as they are."""
    if not isinstance(value, str) or not value:
        return value
    try:
        path = expanded(value)
        return str(path.absolute()) if path.exists() else value
    except (PathError, OSError):  # validation says what is wrong with it
        return value
