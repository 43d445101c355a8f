"""Workflows that name nodes as they were called formerly, under the names of today."""

from __future__ import annotations

from collections.abc import Mapping

from graph_runner.contract import NodeSpec
from graph_runner.format.workflow import Node, Workflow


def under_current_names(workflow: Workflow, registry: Mapping[str, NodeSpec]) -> Workflow:
    """The workflow with every node's type by its present name; unknown types, and definitions, as they are."""

    def renamed(nodes: dict[str, Node]) -> dict[str, Node]:
        return {id: rename(node) for id, node in nodes.items()}

    def rename(node: Node) -> Node:
        spec = None if node.type in workflow.definitions else registry.get(node.type)
        body = node.body
        if body is not None:
            body = body.model_copy(update={"nodes": renamed(body.nodes)})
        return node.model_copy(update={"type": spec.type if spec is not None else node.type, "body": body})

    definitions = {
        name: definition.model_copy(update={"nodes": renamed(definition.nodes)})
        for name, definition in workflow.definitions.items()
    }
    return workflow.model_copy(update={"nodes": renamed(workflow.nodes), "definitions": definitions})
