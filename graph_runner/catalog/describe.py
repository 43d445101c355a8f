"""Node specifications as JSON: all that a canvas needs to draw any node, and that `nodes` prints."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any, NotRequired, cast

from typing_extensions import TypedDict  # pydantic reads those of `typing` from Python 3.12 on

from graph_runner.catalog.widgets import PathKind, Widget, unwrapped, widget_of
from graph_runner.contract import NodeSpec, Port, PortType, docstring


class DescribedPlain(TypedDict):
    """A type of plain Python, so many lists deep."""

    type: str
    list: int


class DescribedWire(TypedDict):
    """A type of wires: its symbolic shape, the types that its ports take besides, and what the engine's rules know of it.

    nominal: whether it is one by name. plain: what its values are in plain Python, where a literal could hold them.
    within: the bounds of type variables that it fits. storable: whether the disk can keep it.
    """

    shape: str
    accepts: list[str]
    about: str
    nominal: bool
    plain: DescribedPlain | None
    within: list[str]
    storable: bool


class DescribedNames(TypedDict):
    """Where the names of a port's wires stand: in a parameter, found by a pattern; by another it is told whether whole numbers may
    give a fraction (see `graph_runner.contract.NamesIn`). Both are read by JavaScript as by Python."""

    parameter: str
    pattern: str
    fraction: str


class DescribedPort(TypedDict):
    """A port of a node. An input that may be typed in has a JSON Schema, a widget, perhaps a default, perhaps a kind of path.

    nullable: whether null may be typed in. list: how many lists deep. either: one value will do where the list is taken.
    bound: the class that a type variable is bound to. broadcasts: whether it may carry another kind of number or tensor at each
    port. formerly: names that it had. names_in: of named wires, where the names stand. begins: what a new node on the canvas has
    instead of the default.
    """

    name: str
    type: str
    list: int
    either: bool
    variable: bool
    bound: str
    named: bool
    required: bool
    shape: str
    help: str
    formerly: list[str]
    schema: NotRequired[dict[str, Any]]
    default: NotRequired[Any]
    begins: NotRequired[Any]
    path: NotRequired[PathKind]
    widget: NotRequired[Widget]
    nullable: NotRequired[bool]
    broadcasts: NotRequired[bool]
    names_in: NotRequired[DescribedNames]


class DescribedBody(TypedDict):
    """The inside of a zone: the ports its nodes read, and the results they give."""

    ports: list[DescribedPort]
    results: list[DescribedPort]


class DescribedNode(TypedDict):
    """A node's specification: all that is needed to draw it, and to find it.

    documentation: without what the ports' help says. words: by which people look for it besides its name.
    """

    type: str
    category: str
    version: int
    summary: str
    documentation: str
    inputs: list[DescribedPort]
    outputs: list[DescribedPort]
    body: DescribedBody | None
    effect: bool
    loops: bool
    aside: bool
    draws: bool
    keep: bool
    trains: bool
    mutates: list[str]
    grad: list[str]
    formerly: list[str]
    words: list[str]


class Catalog(TypedDict):
    """Every node by type and every wire type by name."""

    nodes: dict[str, DescribedNode]
    types: dict[str, DescribedWire]


def describe(spec: NodeSpec) -> DescribedNode:
    """One node's specification as a JSON object: ports with types and shapes, JSON Schemas of literals, help."""
    return {
        "type": spec.type,
        "category": spec.category,
        "version": spec.version,
        "summary": spec.summary,
        "documentation": docstring.read(spec.documentation, inspect.signature(spec.function).parameters).prose,
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
        "words": list(spec.words),
    }


def describe_all(specs: Iterable[NodeSpec]) -> Catalog:
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


def _wire(kind: PortType, bounds: dict[str, type]) -> DescribedWire:
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


def _port(port: Port) -> DescribedPort:
    described: DescribedPort = {
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
        "formerly": list(port.formerly),
    }
    if port.type.broadcasts:
        described["broadcasts"] = True
    if port.names_in is not None:
        described["names_in"] = cast(DescribedNames, asdict(port.names_in))
    return described


def _input(spec: NodeSpec, port: Port) -> DescribedPort:
    """An input port; a literal one carries its JSON Schema and its default."""
    described = _port(port)
    param = spec.params.get(port.name)
    if param is not None:
        described["schema"] = param.adapter.json_schema()
        if param.default is not inspect.Parameter.empty:
            described["default"] = param.adapter.dump_python(param.default, mode="json")
        if param.begins is not None:
            described["begins"] = param.begins.value
        if param.path_kind:
            described["path"] = cast(PathKind, param.path_kind)
        plain, described["nullable"] = unwrapped(described["schema"])
        described["widget"] = widget_of(port.name, plain, described.get("default"), described.get("path"))
    return described
