"""Node specifications as JSON: all that a canvas needs to draw any node, and that `nodes` prints."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

from graph_runner.contract import NodeSpec, Port, PortType


def describe(spec: NodeSpec) -> dict[str, Any]:
    """One node's specification as a JSON object: ports with types and shapes, JSON Schemas of literals, help."""
    return {
        "type": spec.type,
        "category": spec.category,
        "version": spec.version,
        "summary": spec.summary,
        "documentation": spec.documentation,
        "inputs": [_input(spec, port) for port in spec.inputs],
        "outputs": [_port(port) for port in spec.outputs],
        "body": None
        if spec.body is None
        else {
            "ports": [_port(port) for port in spec.body.ports],
            "results": [_port(port) for port in spec.body.results],
        },
        "effect": spec.effect,
        "loops": spec.loops,
        "aside": bool(spec.aside),
        "draws": spec.draws,
        "keep": spec.keep,
        "mutates": list(spec.mutates),
        "formerly": list(spec.formerly),
    }


def describe_all(specs: Iterable[NodeSpec]) -> dict[str, Any]:
    """Every node by type, and every wire type by name."""
    specs = sorted(specs, key=lambda spec: (spec.category, spec.type))
    wires: dict[str, Any] = {}
    for spec in specs:
        for port in ports_of(spec):
            if not port.type.variable:
                wires[port.type.name] = _wire(port.type)
    return {"nodes": {spec.type: describe(spec) for spec in specs}, "types": wires}


def ports_of(spec: NodeSpec) -> Iterator[Port]:
    """Every port of a node: inputs, outputs, and those of its body."""
    yield from (*spec.inputs, *spec.outputs)
    if spec.body is not None:
        yield from (*spec.body.ports, *spec.body.results)


def _wire(kind: PortType) -> dict[str, Any]:
    if kind.wire is None:
        return {"shape": "", "accepts": ["int"] if kind.name == "float" else [], "about": ""}
    return {"shape": kind.wire.shape, "accepts": list(kind.wire.accepts), "about": kind.wire.about}


def _port(port: Port) -> dict[str, Any]:
    return {
        "name": port.name,
        "type": port.type.name,
        "list": port.type.many,
        "variable": port.type.variable,
        "named": port.named,
        "required": port.required,
        "shape": port.type.wire.shape if port.type.wire else "",
        "help": port.help,
    }


def _input(spec: NodeSpec, port: Port) -> dict[str, Any]:
    """An input port; a literal one carries its JSON Schema and its default."""
    described = _port(port)
    param = spec.params.get(port.name)
    if param is not None:
        described["schema"] = param.adapter.json_schema()
        if param.default is not inspect.Parameter.empty:
            described["default"] = param.adapter.dump_python(param.default, mode="json")
        if param.path_kind:
            described["path"] = param.path_kind
    return described
