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
        "trains": spec.trains,
        "mutates": list(spec.mutates),
        "grad": list(spec.grad),
        "formerly": list(spec.formerly),
    }


def describe_all(specs: Iterable[NodeSpec]) -> dict[str, Any]:
    """Every node by type, and every wire type by name, with all that `typing_rules` knows of them."""
    specs = sorted(specs, key=lambda spec: (spec.category, spec.type))
    kinds: dict[str, PortType] = {}
    bounds: dict[str, type] = {}
    for spec in specs:
        for port in ports_of(spec):
            if not port.type.variable:
                kinds[port.type.name] = port.type
            elif port.type.base is not None:
                bounds[_bound(port.type)] = port.type.base
    for base in bounds.values():  # what different kinds of one bound share is a type as well
        kinds.setdefault(base.__name__, PortType(base.__name__, base=base))
    wires = {name: _wire(kind, bounds) for name, kind in kinds.items()}
    return {"nodes": {spec.type: describe(spec) for spec in specs}, "types": wires}


def ports_of(spec: NodeSpec) -> Iterator[Port]:
    """Every port of a node: inputs, outputs, and those of its body."""
    yield from (*spec.inputs, *spec.outputs)
    if spec.body is not None:
        yield from (*spec.body.ports, *spec.body.results)


def _wire(kind: PortType, bounds: dict[str, type]) -> dict[str, Any]:
    """A type: what its ports take besides, what it is in plain Python, which bounds of type variables it fits."""
    wire, plain = kind.wire, kind.plain
    return {
        "shape": wire.shape if wire is not None else "",
        "accepts": list(wire.accepts) if wire is not None else ["int"] if kind.name == "float" else [],
        "about": wire.about if wire is not None else "",
        "nominal": wire is not None,
        "plain": None if plain is None else {"type": plain.name, "list": plain.many},
        "within": [name for name, base in bounds.items() if kind.base is not None and issubclass(kind.base, base)],
        "storable": kind.storable,
    }


def _bound(kind: PortType) -> str:
    """The class that a type variable is bound to, by its whole name; empty for none."""
    return f"{kind.base.__module__}.{kind.base.__qualname__}" if kind.variable and kind.base is not None else ""


def _port(port: Port) -> dict[str, Any]:
    return {
        "name": port.name,
        "type": port.type.name,
        "list": port.type.many,
        "either": port.type.either,
        "variable": port.type.variable,
        "bound": _bound(port.type),
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
