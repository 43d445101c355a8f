"""How large a graph is with its definitions put in, counted before anything is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from graph_runner.format.workflow import CALL, Definition, Node

MOST_NODES = 20_000
"""In a whole graph, the nodes of each use of a definition counted each time."""
MOST_WIRES = 200_000
"""That the uses of definitions may stand for: a list of wires doubles as nodes do."""
MOST_NESTED = 24
"""Zones and uses of definitions within each other."""


class Size(NamedTuple):
    """Nodes, zones and uses within each other, and how often the body of the definition around is called."""

    nodes: int
    nested: int
    calls: int


class Sizes:
    """How many nodes a graph stands for, and how deep they lie, without making it: each definition is counted once."""

    def __init__(self, definitions: Mapping[str, Definition]) -> None:
        self.definitions = definitions
        self.known: dict[str, Size] = {}

    def of(self, nodes: Mapping[str, Node], around: int = 0) -> Size:
        """The size of these nodes. A definition that uses itself counts no more."""
        count = deepest = calls = 0
        for node in nodes.values():
            inner = Size(0, 0, 0)
            body = Size(0, 0, 0)
            if around > MOST_NESTED:
                inner = Size(0, MOST_NESTED, 0)
            elif node.body is not None:
                body = self.of(node.body.nodes, around + 1)
            if around <= MOST_NESTED and node.type in self.definitions:
                if node.type not in self.known:
                    self.known[node.type] = Size(
                        0, 0, 0
                    )  # while it is counted: a circle ends here, and is told elsewhere
                    self.known[node.type] = self.of(self.definitions[node.type].nodes, around + 1)
                inner = self.known[node.type]
            elif node.body is not None:
                inner = Size(0, 0, 1)  # a zone's body is there once
            count += 1 + inner.nodes + inner.calls * body.nodes
            calls += inner.calls * body.calls + (node.type == CALL)
            nested = inner.nested + body.nested
            deepest = max(deepest, nested + (node.body is not None or node.type in self.definitions))
        return Size(count, deepest, calls)
