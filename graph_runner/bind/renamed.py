"""Workflows that name nodes and ports as they were called formerly, under the names of today."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from graph_runner.contract import NodeSpec, Port
from graph_runner.contract.spec import current_names
from graph_runner.format.wires import mapped, split
from graph_runner.format.workflow import Body, Node, Workflow, walk


def under_current_names(workflow: Workflow, registry: Mapping[str, NodeSpec]) -> Workflow:
    """The workflow with every node's type, and every port, by its present name; unknown types, and definitions, as they are."""
    graphs = [workflow.nodes, *(definition.nodes for definition in workflow.definitions.values())]
    used = {node.type for graph in graphs for _, node in walk(graph)} - workflow.definitions.keys()
    if not any(registry[kind].renamed for kind in used if kind in registry):
        return workflow
    top = _Renaming(workflow.nodes, workflow.definitions.keys(), registry)
    definitions = {}
    for name, definition in workflow.definitions.items():
        inside = _Renaming(definition.nodes, workflow.definitions.keys(), registry)
        results = {port: inside.wired(value, ()) for port, value in definition.results.items()}
        definitions[name] = definition.model_copy(update={"nodes": inside.nodes(definition.nodes), "results": results})
    exposed = workflow.exposed.model_copy(
        update={
            "params": {name: top.parameter(reference) for name, reference in workflow.exposed.params.items()},
            "outputs": {name: top.reference(reference, ()) for name, reference in workflow.exposed.outputs.items()},
        }
    )
    layout = {
        id: place if place.wire is None else place.model_copy(update={"wire": mapped(place.wire, top.parameter)})
        for id, place in workflow.layout.items()
    }
    return workflow.model_copy(
        update={"nodes": top.nodes(workflow.nodes), "definitions": definitions, "exposed": exposed, "layout": layout}
    )


def under(address: str, names: Mapping[str, str]) -> str:
    """An address `port` or `port.name` with its port under another name, where it has one."""
    port, _ = split(address)
    return names.get(port, port) + address.removeprefix(port)


def present(ports: Iterable[Port], address: str) -> str:
    """An address among these ports, `port` or `port.name`, by the port's present name."""
    return under(address, current_names(ports))


class _Renaming:
    """The nodes of one graph, at any depth, under present names. `zones` are those around what is renamed."""

    def __init__(self, nodes: Mapping[str, Node], definitions: Iterable[str], registry: Mapping[str, NodeSpec]) -> None:
        known = set(definitions)
        found = {id: registry.get(node.type) for id, node in walk(nodes) if node.type not in known}
        self.specs = {id: spec for id, spec in found.items() if spec is not None and spec.renamed}

    def nodes(self, nodes: Mapping[str, Node], zones: tuple[str, ...] = ()) -> dict[str, Node]:
        return {id: self._node(id, node, zones) for id, node in nodes.items()}

    def _node(self, id: str, node: Node, zones: tuple[str, ...]) -> Node:
        spec = self.specs.get(id)
        inputs = spec.inputs if spec is not None else ()
        changes: dict[str, Any] = {
            "params": {present(inputs, name): value for name, value in node.params.items()},
            "wires": {present(inputs, name): self.wired(value, zones) for name, value in node.wires.items()},
        }
        if spec is not None:
            changes["type"] = spec.type
        if node.body is not None:
            inside = (*zones, id)
            given = spec.body.results if spec is not None and spec.body is not None else ()
            results = {present(given, name): self.wired(value, inside) for name, value in node.body.results.items()}
            changes["body"] = Body.model_construct(nodes=self.nodes(node.body.nodes, inside), results=results)
        return node.model_copy(update=changes)

    def wired(self, value: Any, zones: tuple[str, ...]) -> Any:
        """Wires in any form, with each reference by present names."""
        return mapped(value, lambda reference: self.reference(reference, zones))

    def reference(self, reference: str, zones: tuple[str, ...]) -> str:
        """What a wire names: an output, or inside of a zone one of its inner ports."""
        id, rest = split(reference)
        spec = self.specs.get(id)
        if spec is None or not rest:
            return reference
        inner = spec.body.ports if spec.body is not None else ()
        return f"{id}.{present(inner if id in zones else spec.outputs, rest)}"

    def parameter(self, address: str) -> str:
        """`node.input`, `node.input.name` or `node.results.result`."""
        id, rest = split(address)
        spec = self.specs.get(id)
        if spec is None or not rest:
            return address
        head, result = split(rest)
        if head == "results" and result and spec.body is not None:
            return f"{id}.results.{present(spec.body.results, result)}"
        return f"{id}.{present(spec.inputs, rest)}"
