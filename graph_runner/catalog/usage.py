"""What workflows are made of: how often each node is used, and what is wired to what. A palette ranks by it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from typing_extensions import TypedDict  # pydantic reads those of `typing` from Python 3.12 on

from graph_runner.bind.renamed import under_current_names
from graph_runner.contract import NodeSpec
from graph_runner.format.wires import joined, references_in, split
from graph_runner.format.workflow import Node, Workflow


class Usage(TypedDict):
    """Numbers of nodes and wires, over all workflows.

    used: nodes by type. after: by an output, or inner port of a zone, as TYPE.PORT: the types of nodes that read it. before: by an
    input, as TYPE.PORT: the types of nodes that it is wired to.
    """

    used: dict[str, int]
    after: dict[str, dict[str, int]]
    before: dict[str, dict[str, int]]


def usage(workflows: Iterable[Workflow], registry: Mapping[str, NodeSpec]) -> Usage:
    """Count through workflows; nodes that are not installed are left out."""
    used: Counter[str] = Counter()
    after: defaultdict[str, Counter[str]] = defaultdict(Counter)
    before: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for workflow in workflows:
        current = under_current_names(workflow, registry)
        graphs = [current.nodes, *(definition.nodes for definition in current.definitions.values())]
        for graph in graphs:
            placed = {id: (node, zones) for id, node, zones in _walk(graph, ()) if node.type in registry}
            used.update(node.type for node, _ in placed.values())
            for node, zones in placed.values():
                for port, reference in _wires(node):
                    source, _, rest = reference.partition(".")
                    if source not in placed:
                        continue
                    spec = registry[placed[source][0].type]
                    inner = source in zones
                    output = _port(spec, split(rest)[0], inner)
                    after[joined(spec.type, output)][node.type] += 1
                    before[joined(node.type, port)][spec.type] += 1
    return {"used": dict(used), "after": _plain(after), "before": _plain(before)}


def _walk(nodes: Mapping[str, Node], zones: tuple[str, ...]) -> Iterator[tuple[str, Node, tuple[str, ...]]]:
    """Every node with the zones that it is in."""
    for id, node in nodes.items():
        yield id, node, zones
        if node.body is not None:
            yield from _walk(node.body.nodes, (*zones, id))


def _wires(node: Node) -> Iterator[tuple[str, str]]:
    """The references that a node reads, each with its port."""
    for port, wired in node.wires.items():
        yield from ((port, reference) for reference in references_in(wired))


def _port(spec: NodeSpec, named: str, inner: bool) -> str:
    """The port that a reference means: the one it names, or the only one."""
    ports = spec.body.ports if inner and spec.body is not None else spec.outputs
    known = [port.name for port in ports]
    return named if named in known or not known else known[0]


def _plain(counts: Mapping[str, Counter[str]]) -> dict[str, dict[str, int]]:
    return {key: dict(count) for key, count in counts.items()}
