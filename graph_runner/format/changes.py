"""What is another in one workflow than in another, told parameter by parameter."""

from __future__ import annotations

import json

from graph_runner.base.problems import WorkflowError, shortened, some
from graph_runner.format.workflow import Node, read, walk

MOST = 8


def changed(before: str, after: str, but: str = "") -> list[str]:
    """The parameters that differ, as "adam.lr 0.001 → 0.0001", and the nodes that came, went or became others.

    but: a parameter of which nothing is told. Of texts that are no workflows nothing is told either.
    """
    try:
        old, new = (dict(walk(read(text).nodes)) for text in (before, after))
    except WorkflowError:
        return []
    told = [line for id, node in new.items() if id in old for line in _parameters(id, old[id], node, but)]
    others = [id for id, node in new.items() if id in old and (old[id].type, old[id].wires) != (node.type, node.wires)]
    for what, ids in (("new", new.keys() - old.keys()), ("gone", old.keys() - new.keys()), ("wired otherwise", others)):
        if ids:
            told.append(f"{some(sorted(ids))} {what}")
    return told if len(told) <= MOST else [*told[:MOST], f"{len(told) - MOST} more changes"]


def _parameters(id: str, old: Node, new: Node, but: str) -> list[str]:
    names = [name for name in (old.params | new.params) if name != but and old.params.get(name) != new.params.get(name)]
    return [f"{id}.{name} {_told(old, name)} → {_told(new, name)}" for name in names]


def _told(node: Node, name: str) -> str:
    return shortened(json.dumps(node.params[name]), quoted=False) if name in node.params else "its default"
