"""Their subgraphs as definitions of ours: what the nodes of one read from outside become its inputs, what others read its results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from graph_runner.format.wires import mapped, split
from graph_runner.format.workflow import INPUTS, Body, Definition, Node, Place, walk
from nodes.comfyui.builder import Builder
from nodes.comfyui.document import name_in

Graph = dict[str, Node]
Path = tuple[tuple[str, str], ...]


def as_definitions(b: Builder) -> tuple[dict[str, Definition], Graph, dict[str, Place], set[str]]:
    """Definitions by name, the nodes and places that are left at the top, and the ids that have moved inside.

    Two subgraphs that came out alike are one definition.
    """
    nodes, within = dict(b.nodes), dict(b.within)
    layout, moved = dict(b.layout), set[str]()
    definitions: dict[str, Definition] = {}
    paths = {path[:depth] for path in within.values() for depth in range(1, len(path) + 1)}
    for path in sorted(paths, key=lambda path: (-len(path), path)):
        inside = {id: node for id, node in nodes.items() if within[id] == path}
        if not inside:
            continue
        others = {id: node for id, node in nodes.items() if id not in inside}
        definition, wires, renamed = _lifted(inside, others, layout)
        name = _stored(definitions, name_in(path[-1][1], "subgraph"), definition)
        use = b.name(name_in(path[-1][1], "subgraph"))
        at = min((layout[id].at for id in inside if id in layout), default=(0, 0))
        gone = {id for id, _ in walk(inside)}
        moved |= gone
        layout = {id: place for id, place in layout.items() if id not in gone} | {use: Place(at=at)}

        def outward(ref: str, use: str = use, renamed: Mapping[str, str] = renamed) -> str:
            return f"{use}.{renamed[ref]}" if ref in renamed else ref

        nodes = {id: _rewired(node, outward) for id, node in others.items()}
        nodes[use] = Node(type=name, wires=wires)
        within[use] = path[:-1]
    return definitions, nodes, layout, moved


def _lifted(
    inside: Graph, others: Graph, layout: Mapping[str, Place]
) -> tuple[Definition, dict[str, Any], dict[str, str]]:
    """The definition of some nodes, the wires into its use, and its results by the wires that they were."""
    own = {id for id, _ in walk(inside)}
    inputs: dict[str, str] = {}

    def inward(ref: str) -> str:
        if split(ref)[0] in own:
            return ref
        return f"{INPUTS}.{inputs.setdefault(ref, _free(ref, inputs.values()))}"

    nodes = {id: _rewired(node, inward) for id, node in inside.items()}
    results: dict[str, str] = {}
    for ref in _read(others):
        if split(ref)[0] in inside:
            results.setdefault(ref, _free(ref, results.values()))
    places = {id: place for id, place in layout.items() if id in own}
    definition = Definition(
        inputs=list(inputs.values()), nodes=nodes, results={name: ref for ref, name in results.items()}, layout=places
    )
    return definition, {name: ref for ref, name in inputs.items()}, results


def _stored(definitions: dict[str, Definition], wanted: str, definition: Definition) -> str:
    """The name under which a definition lies: that of an equal one, or a free one."""
    name, n = wanted, 1
    while name in definitions and definitions[name] != definition:
        n += 1
        name = f"{wanted}{n}"
    definitions[name] = definition
    return name


def _free(ref: str, taken: Iterable[str]) -> str:
    wanted = "_".join(part for part in split(ref) if part)
    name, n = wanted, 1
    while name in taken:
        n += 1
        name = f"{wanted}{n}"
    return name


def _rewired(node: Node, change: Callable[[str], str]) -> Node:
    """A node whose wires, and those of its body, are changed."""
    update: dict[str, Any] = {"wires": {port: mapped(value, change) for port, value in node.wires.items()}}
    if node.body is not None:
        inner = {id: _rewired(each, change) for id, each in node.body.nodes.items()}
        results = {port: mapped(value, change) for port, value in node.body.results.items()}
        update["body"] = Body(nodes=inner, results=results)
    return node.model_copy(update=update)


def _read(nodes: Graph) -> Iterator[str]:
    """All wires, those in bodies too."""
    for _, node in walk(nodes):
        values = [*node.wires.values(), *(node.body.results.values() if node.body is not None else ())]
        for value in values:
            yield from [value] if isinstance(value, str) else value if isinstance(value, list) else value.values()
