"""The node reference as Markdown, made from the specifications alone (docs/nodes.md, and `nodes NAME`)."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from graph_runner.catalog.describe import DescribedPort, describe, ports_of
from graph_runner.compile.source import project_of
from graph_runner.contract import NodeSpec, NumberOrTensor, Port, PortType

_HEAD = """\
# Nodes

What every node takes and gives, by category. A port with a default may be typed in, set (`--set node.port=value`) or
wired; one without a default has to be wired or typed in. This page is generated from the nodes' signatures and
docstrings: `python -m graph_runner nodes --markdown docs/nodes.md`.
"""


def reference(specs: Iterable[NodeSpec], path: Path) -> str:
    """The reference of all nodes, for the file `path` (links to sources start there)."""
    specs = sorted(specs, key=lambda spec: (spec.category, spec.type))
    parts = [_HEAD, _contents(specs), _wires(specs)]
    for category, group in groupby(specs, key=lambda spec: spec.category):
        parts.append(f"## {category}\n")
        parts += [f"### {spec.type}\n\n{entry(spec, path)}" for spec in group]
    return "\n".join(parts)


def entry(spec: NodeSpec, path: Path | None = None) -> str:
    """One node: what it does, its ports, what makes it special, and where its source lies."""
    described = describe(spec)
    parts = [described["documentation"]]
    if described["inputs"]:
        rows = [_input_row(port, spec.input[port["name"]]) for port in described["inputs"]]
        parts.append(_table(("takes", "type", "default", "allowed", ""), rows))
    if spec.outputs:
        parts.append(_table(("gives", "type"), [_row(port) for port in spec.outputs]))
    if spec.body is not None:
        parts.append("A zone: the nodes of its body read the ports inside and give the results.")
        if spec.body.ports:
            parts.append(_table(("inside", "type"), [_row(port) for port in spec.body.ports]))
        if spec.body.results:
            parts.append(_table(("result", "type"), [_row(port) for port in spec.body.results]))
    parts.append(" ".join([*_traits(spec), f"Source: {_source(spec, path)}."]))
    return "\n\n".join(parts) + "\n"


def _contents(specs: list[NodeSpec]) -> str:
    lines = []
    for category, group in groupby(specs, key=lambda spec: spec.category):
        lines.append(f"- {category}: " + ", ".join(f"[{spec.type}](#{spec.type})" for spec in group))
    return "\n".join(lines) + "\n"


def _wires(specs: list[NodeSpec]) -> str:
    """What travels on wires: the nominal types, with shapes and meaning."""
    wires = {port.type.name: port.type.wire for spec in specs for port in ports_of(spec) if port.type.wire}
    rows = [
        (f"`{name}`", f"`{wire.shape}`" if wire.shape else "", _listed(wire.accepts), wire.about)
        for name, wire in sorted(wires.items())
    ]
    return "## Wires\n\n" + _table(("type", "shape", "also takes", ""), rows) + "\n"


def _input_row(described: DescribedPort, port: Port) -> tuple[str, ...]:
    schema = described.get("schema")
    if "default" in described:
        default = f"`{json.dumps(described['default'], ensure_ascii=False)}`"
    else:
        default = "" if port.required else "nothing"
    text = port.help or (schema or {}).get("description", "")
    return f"`{port.name}`", described.get("path") or _type(port), default, limits(schema) if schema else "", text


def _row(port: Port) -> tuple[str, str]:
    return f"`{port.name}`" if port.name else "any names", _type(port)


def _type(port: Port) -> str:
    kind: PortType = port.type
    calculated = "number or tensor" if kind.base is NumberOrTensor else "tensor"
    one = calculated if kind.broadcasts else "any type" if kind.variable else kind.name
    text = "list of " * kind.many + one
    if kind.either:
        text = f"{one}, or {text}"
    if port.named:
        text = f"named wires: {text}"
    return f"{text} `{kind.wire.shape}`" if kind.wire is not None and kind.wire.shape else text


def limits(schema: dict[str, Any]) -> str:
    """What a literal may be, from its JSON Schema: "0 … 30", "≥ 1", "`ddim`, `ddpm`"."""
    if "$ref" in schema:
        return ""
    if "anyOf" in schema:
        options = [option for option in schema["anyOf"] if option.get("type") != "null"]
        named = [limits(option) or (option.get("type", "") if len(options) > 1 else "") for option in options]
        return " or ".join(filter(None, named))
    if "enum" in schema or "const" in schema:
        return _listed(schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        amount = _between(schema.get("minItems"), schema.get("maxItems"))
        each = limits(schema["items"]) if isinstance(schema.get("items"), dict) else ""
        return ", ".join(([f"{amount} values"] if amount else []) + ([f"each {each}"] if each else []))
    low, high = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMinimum" in schema or "exclusiveMaximum" in schema:
        above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
        bounds = [(low, "≥"), (above, ">"), (high, "≤"), (below, "<")]
        return ", ".join(f"{sign} {bound:g}" for bound, sign in bounds if bound is not None)
    return _between(low, high)


def _between(least: float | None, most: float | None) -> str:
    """A range; a bound that only says how computers store numbers is left out."""
    most = None if most is not None and most >= 2**53 else most
    if least is None or most is None:
        return f"≥ {least:g}" if least is not None else f"≤ {most:g}" if most is not None else ""
    return f"{least:g}" if least == most else f"{least:g} … {most:g}"


def _traits(spec: NodeSpec) -> list[str]:
    traits = []
    if spec.effect:
        traits.append("It has an effect: it runs although nobody reads it.")
    if spec.draws:
        traits.append("It draws random numbers from its seed and the run's.")
    if spec.mutates:
        traits.append(f"It changes {_listed(spec.mutates)} in place, on a copy where others read it.")
    if spec.grad:
        traits.append(f"It needs gradients with respect to {_listed(spec.grad)}.")
    if spec.keep:
        traits.append("What it gives is kept on disk.")
    if spec.continues:
        traits.append(f"With more `{spec.continues}` it goes on from its checkpoint.")
    if spec.aside:
        traits.append("It runs every so many steps of the zone around it, and changes nothing there.")
    return traits


def _source(spec: NodeSpec, path: Path | None) -> str:
    """The node's file; a link where it lies in the same project as the page."""
    module = spec.function.__module__
    file = Path(inspect.getsourcefile(spec.function) or module)
    project = project_of(module)
    if project is None:
        return f"`{module}`"
    name = file.relative_to(project).as_posix()
    if path is None or project not in path.absolute().parents:
        return f"`{name}`"
    return f"[{name}]({Path(os.path.relpath(file, path.absolute().parent)).as_posix()})"


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table; columns that are empty throughout are left out, `|` is escaped."""
    kept = [i for i in range(len(head)) if any(row[i] for row in rows)] if rows else list(range(len(head)))
    lines = [[head[i] for i in kept], ["---"] * len(kept), *([row[i] for i in kept] for row in rows)]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    )
