"""`python -m tests.wires.make`: write tests/wires/wires.json, the graphs and wires that both rules are asked about.

For each graph random wires from what its nodes give to what they take; for each wire what becomes of the file, and whether
the engine refuses it. The canvas is asked the same (ui/web/tests/wires.test.ts). Make it anew when nodes or shipped
workflows change; a test says so.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graph_runner.bind.graph import Scope
from graph_runner.bind.validate import errors, validate
from graph_runner.catalog.describe import describe_all
from graph_runner.contract import Port
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Node, Workflow, load

HERE = Path(__file__).parent
FILE = HERE / "wires.json"
SHIPPED = ("quickstart", "langevin", "image_guidance", "layout_to_image", "vq_autoencoder")
EACH = 400
"""Random wires tried in each graph; of those that are refused one in four is kept."""
RULES = ("list", "either", "variable", "bound", "broadcasts", "named", "names_in", "required", "name", "type")
Wire = tuple[
    str, str, str, Any
]  # what is wired (a node and a handle), into which node and handle, and what is then written


def registry() -> Registry:
    """The installed nodes, and those of the toys."""
    return Registry.installed(["tests.wires.toys"])


def catalogue(registry: Registry) -> dict[str, Any]:
    """What the canvas knows of nodes, without what is for people alone."""
    whole = describe_all(registry.values())
    for spec in whole["nodes"].values():
        spec.update(summary="", documentation="")
        body = spec["body"] or {"ports": [], "results": []}
        for ports in (spec["inputs"], spec["outputs"], body["ports"], body["results"]):
            ports[:] = [
                {**{key: port[key] for key in RULES if key in port}, "shape": "", "help": "", "formerly": []}
                for port in ports
            ]
    return whole


def graphs() -> dict[str, Workflow]:
    """The graphs that are asked about, by name, without where their nodes lie: no wire depends on it."""
    files = [HERE.parents[1] / "workflows" / f"{name}.json" for name in SHIPPED]
    files += sorted((HERE / "graphs").glob("*.json"))
    return {file.stem: load(file).model_copy(update={"layout": {}}) for file in files}


def random_wires(workflow: Workflow, registry: Registry, seed: int) -> Iterator[Wire]:
    """Wires from any output or inner port to any input or result."""
    top, _ = validate(workflow, registry)
    sources, targets = list(_sources(top)), list(_targets(workflow, top))
    scopes = {bound.id: [at.zone.id for at in bound.scope.enclosing() if at.zone] for bound in top.walk()}
    rng = random.Random(seed)
    for _ in range(EACH):
        (node, handle, reference, wanted, many), (target, slot, kept, lists) = rng.choice(sources), rng.choice(targets)
        inside = node in scopes[target] or (slot.startswith("results.") and node == target)
        if inside != handle.startswith("inner:"):
            continue  # the file cannot say so: inside of a zone its name stands for its inner ports, outside for its outputs
        named = slot.endswith("+") and isinstance(kept, dict)
        if isinstance(kept, dict):
            value: Any = {**kept, _fresh(wanted, kept) if named else slot.rpartition(".")[2]: reference}
        elif isinstance(kept, list):
            at = len(kept) if slot.endswith("+") else int(slot.rpartition(".")[2])
            value = [*kept[:at], reference, *kept[at + 1 :]]
        elif many < lists:
            value = [*filter(None, [kept]), reference]
        else:
            value = reference
        yield f"{node} {handle}", target, slot, value


def wired(workflow: Workflow, target: str, slot: str, value: Any) -> Workflow:
    """A workflow with one wire more."""
    changed = workflow.model_copy(deep=True)
    node = dict(_walk(changed.nodes))[target]
    if slot.startswith("results."):
        assert node.body is not None
        key = re.sub(r"\.(\d+|\+)$", "", slot.removeprefix("results."))
        node.body.results.update(value if slot == "results.+" else {key: value})
    else:
        port = slot.partition(".")[0]
        node.wires[port] = value
        if not isinstance(value, dict):
            node.params.pop(port, None)
    return changed


def refused(workflow: Workflow, registry: Registry, before: set[str]) -> str:
    """Why the engine refuses a wire: the first error that was not there before, empty where there is none.

    That something else must now be wired as well (a zone's body owes a result for a new name) is no fault of the wire.
    """
    for problem in errors(validate(workflow, registry)[1]):
        if str(problem) not in before and " is missing" not in str(problem) and "gives no result" not in str(problem):
            return str(problem)
    return ""


def questions(registry: Registry) -> Iterator[dict[str, Any]]:
    """For each graph its file, and wires with what the engine says of each."""
    for i, (name, workflow) in enumerate(graphs().items()):
        before = {str(problem) for problem in errors(validate(workflow, registry)[1])}
        rng, rows = random.Random(i), []
        for source, target, slot, value in random_wires(workflow, registry, i):
            why = refused(wired(workflow, target, slot, value), registry, before)
            if not why or rng.random() < 0.25:
                rows.append([source, target, slot, value, why])
        yield {"graph": name, "workflow": workflow.model_dump(mode="json", exclude_defaults=True), "wires": rows}


def text(registry: Registry) -> str:
    """The whole file: a line for each node, type and wire."""
    known, lines = catalogue(registry), []
    for part in ("nodes", "types"):
        rows = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in known[part].items())
        lines.append(f' "{part}": {{\n{rows}\n }}')
    asked = []
    for each in questions(registry):
        rows = ",\n".join(f"   {json.dumps(row, ensure_ascii=False)}" for row in each["wires"])
        head = f'"graph": {json.dumps(each["graph"])}, "workflow": {json.dumps(each["workflow"], ensure_ascii=False)}'
        asked.append(f'  {{{head}, "wires": [\n{rows}\n  ]}}')
    return "{\n" + ",\n".join(lines) + ',\n "graphs": [\n' + ",\n".join(asked) + "\n ]\n}\n"


def _sources(top: Scope) -> Iterator[tuple[str, str, str, str, int]]:
    """Of each output and inner port: node and handle, the reference to it, the name it suggests, how many lists deep."""
    for bound in top.walk():
        suggested = re.sub(r"_?\d+$", "", bound.id) or "value"
        for (port, name), kind in bound.outputs.items():
            path = ".".join(filter(None, (port, name)))
            only = len(bound.spec.outputs) == 1 and not name
            reference = bound.id if only else f"{bound.id}.{path}"
            yield bound.id, f"out:{port}{'.' + name if name else ''}", reference, name or suggested, kind.many
        for (port, name), kind in bound.body.ports.items() if bound.body is not None else ():
            path = ".".join(filter(None, (port, name)))
            handle = f"inner:{port}{'.' + name if name else ''}"
            yield bound.id, handle, f"{bound.id}.{path}", name or suggested, kind.many


def _targets(workflow: Workflow, top: Scope) -> Iterator[tuple[str, str, Any, int]]:
    """Of each place for a wire: node and handle, what is wired there, and how deep a list its port takes."""
    specs = {bound.id: bound.spec for bound in top.walk()}
    for id, node in _walk(workflow.nodes):
        if id not in specs:
            continue
        for port in specs[id].inputs:
            yield from _slots(id, port, port.name, node.wires.get(port.name), port.name in node.params)
        body = specs[id].body
        entering = {port.type.name for port in specs[id].inputs if port.type.variable}
        for port in body.results if body is not None and node.body is not None else ():
            assert node.body is not None
            if not port.named:
                yield from _slots(id, port, f"results.{port.name}", node.body.results.get(port.name), False)
                continue
            yield from ((id, f"results.{name}", None, 0) for name in node.body.results)
            if port.type.name not in entering:
                yield id, "results.+", dict(node.body.results), 0


def _slots(id: str, port: Port, address: str, known: Any, typed: bool) -> Iterator[tuple[str, str, Any, int]]:
    if port.named:
        names = known if isinstance(known, dict) else {}
        yield from ((id, f"{address}.{name}", names, 0) for name in names)
        if not typed and port.names_in is None:
            yield id, f"{address}.+", names, 0
    elif isinstance(known, list):
        yield from ((id, f"{address}.{i}", known, 0) for i in [*range(len(known)), "+"])
    else:
        yield id, address, known, 0 if port.type.either else port.type.many


def _fresh(wanted: str, taken: Any) -> str:
    stem = re.sub(r"_?\d+$", "", wanted) or wanted
    return wanted if wanted not in taken else next(f"{stem}{i}" for i in range(2, 99) if f"{stem}{i}" not in taken)


def _walk(nodes: dict[str, Node]) -> Iterator[tuple[str, Node]]:
    for id, node in nodes.items():
        yield id, node
        if node.body is not None:
            yield from _walk(node.body.nodes)


if __name__ == "__main__":
    FILE.write_text(text(registry()), encoding="utf-8")
