"""A node's own inputs: what is typed into them, what is missing, and what it does not have."""

from __future__ import annotations

import difflib
import inspect
import json

from pydantic import ValidationError

from graph_runner.base.problems import Problem, did_you_mean
from graph_runner.bind.graph import BoundNode
from graph_runner.bind.names_in_texts import names_in_texts
from graph_runner.contract import NodeSpec, Port
from graph_runner.format.workflow import Node


def bind_inputs(bound: BoundNode, node: Node, problems: list[Problem]) -> None:
    """Give a node its literals, and note what is wrong with them. It depends on the node alone."""
    spec = bound.spec
    misspelt = [name for name in (*node.params, *node.wires) if name not in spec.input]
    for name in misspelt:
        problems.append(Problem(f"{node.type!r} has no input {name!r}", bound.id, name, did_you_mean(name, spec.input)))
    meant = _meant(misspelt, node, spec)
    for port in spec.inputs:
        if port.name not in meant:
            _bind_input(bound, port, node, problems)
    problems += names_in_texts(bound, node)


def _meant(misspelt: list[str], node: Node, spec: NodeSpec) -> set[str]:
    """The inputs that are missing because their names are misspelt: that is one mistake, and told."""
    missing = [port.name for port in spec.inputs if _is_missing(port, node, spec)]
    meant: set[str] = set()
    for name in misspelt:
        possible = [other for other in missing if other not in meant and (name in node.wires or other in spec.params)]
        if closest := difflib.get_close_matches(name, possible, 1, 0.5):
            meant.add(closest[0])
        elif len(possible) == 1:
            meant.add(possible[0])
    return meant


def _is_missing(port: Port, node: Node, spec: NodeSpec) -> bool:
    given = port.name in node.params or port.name in node.wires
    default = spec.params[port.name].default if port.name in spec.params else inspect.Parameter.empty
    return not given and port.required and default is inspect.Parameter.empty


def _bind_input(bound: BoundNode, port: Port, node: Node, problems: list[Problem]) -> None:
    name, spec = port.name, bound.spec
    typed, wired = name in node.params, name in node.wires
    if typed and wired and not port.named:
        problems.append(Problem("is both wired and typed in", bound.id, name, "Remove it from wires or from params"))
    elif typed and port.named:
        value = node.params[name]
        lists = port.type.many > 0 and not port.type.either
        if isinstance(value, dict) and (not lists or all(isinstance(items, list) for items in value.values())):
            wires = node.wires.get(name)
            both = sorted(value.keys() & wires.keys()) if isinstance(wires, dict) else []
            bound.params[name] = {own: literal for own, literal in value.items() if own not in both}
            for own in both:
                problems.append(Problem("is both wired and typed in", bound.id, f"{name}.{own}", "Remove one of them"))
        else:
            problems.append(
                Problem(f"takes named {'lists' if lists else 'values'}", bound.id, name, 'Write {"NAME": [ … ]}')
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
            message = first["msg"].removeprefix("Value error, ")
            message = message[0].lower() + message[1:]
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
        kind = "" if port.type.variable and port.type.base is None else f" ({port.type})"
        problems.append(
            Problem(
                f"this input{kind} is missing",
                bound.id,
                name,
                "Wire something into it" if name not in spec.params else "Type a value",
            )
        )
