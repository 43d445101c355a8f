"""Muted and bypassed nodes: taken out before anything else looks at the graph."""

from __future__ import annotations

from collections.abc import Mapping

from graph_runner.base.problems import Problem
from graph_runner.contract import NodeSpec
from graph_runner.format.wires import mapped, split
from graph_runner.format.workflow import Body, Node, walk


def without_modes(
    nodes: Mapping[str, Node], registry: Mapping[str, NodeSpec], unknown: set[str], problems: list[Problem]
) -> Mapping[str, Node]:
    """Take muted nodes out with the wires from them, and lead wires past bypassed ones to their first input of the same type.

    unknown: gets the ids of those that cannot be bypassed, so that their readers are not told of it once more.
    """
    out = {id for id, node in walk(nodes) if node.mode == "mute"}
    passed: dict[str, str] = {}
    for id, node in walk(nodes):
        spec = registry.get(node.type)
        if node.mode == "bypass" and spec is not None:
            passed |= _past(id, node, spec, unknown, problems)
            out.add(id)
    if not out:
        return nodes

    followed: dict[str, str | None] = {}

    def follow(reference: str) -> str | None:
        seen = {reference}
        while reference not in followed and (further := passed.get(reference)) is not None and further not in seen:
            reference = further
            seen.add(reference)
        gone = split(reference)[0] in out - unknown
        end = followed.get(reference, None if gone else reference)
        followed.update(dict.fromkeys(seen, end))  # a long row of bypassed nodes is walked once
        return end

    def rebuilt(nodes: Mapping[str, Node]) -> dict[str, Node]:
        result = {}
        for id, node in nodes.items():
            if node.mode != "run":
                continue
            wires = {port: kept for port, value in node.wires.items() if (kept := mapped(value, follow))}
            body = node.body
            if body is not None:
                results = {port: kept for port, value in body.results.items() if (kept := mapped(value, follow))}
                body = Body.model_construct(nodes=rebuilt(body.nodes), results=results)
            result[id] = node.model_copy(update={"wires": wires, "body": body})
        return result

    return rebuilt(nodes)


def _past(id: str, node: Node, spec: NodeSpec, unknown: set[str], problems: list[Problem]) -> dict[str, str]:
    """What each output of a bypassed node stands for instead."""
    passed: dict[str, str] = {}
    for output in spec.outputs:
        wired = (node.wires.get(port.name) for port in spec.inputs if port.type == output.type)
        instead = next((reference for reference in wired if isinstance(reference, str)), None)
        if instead is None:
            unknown.add(id)
            problems.append(
                Problem(
                    f"cannot be bypassed: no wired input has the type {output.type} of its output",
                    id,
                    output.name,
                    "Mute it, or wire one",
                )
            )
        else:
            passed[f"{id}.{output.name}"] = instead
            if len(spec.outputs) == 1:
                passed[id] = instead
    return passed
