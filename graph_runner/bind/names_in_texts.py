"""Named wires whose names stand in a text: one for each name, and none besides."""

from __future__ import annotations

from collections.abc import Iterator

from graph_runner.base.problems import Problem, did_you_mean
from graph_runner.bind.graph import BoundNode
from graph_runner.format.workflow import Node


def names_in_texts(bound: BoundNode, node: Node) -> Iterator[Problem]:
    """What a node lacks that its text names, and what is given to it that the text does not name.

    bound: its literals are known; of a text that is wired only the run knows the names.
    """
    for port in bound.spec.inputs:
        source = port.names_in
        text = bound.params.get(source.parameter) if source is not None else None
        wired, typed = node.wires.get(port.name, {}), bound.params.get(port.name) or {}
        if source is None or not isinstance(text, str) or not isinstance(wired, dict):
            continue
        names, given = source.names(text), [*wired, *typed]
        for name in names:
            if name not in given:
                remedy = f"Wire something into {name!r}, or type a number for it"
                yield Problem("this input is missing", bound.id, f"{port.name}.{name}", remedy)
        for name in given:
            if name not in names:
                remedy = did_you_mean(name, names) or f"Take it out, or write {name!r} into {source.parameter!r}"
                yield Problem(f"there is no {name!r} in {source.parameter!r}", bound.id, f"{port.name}.{name}", remedy)
