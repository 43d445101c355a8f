"""Calls that differ only in their rows, found to be made as one: guidance drawn as two denoisers costs one forward pass.

They are calls of one node type that declares `batched` inputs, all else equal, none waiting for another. Whether their values
can be joined shows when they are there (`graph_runner.run.join`).
"""

from __future__ import annotations

import networkx as nx

from graph_runner.compile.plan import Joined, Step, Unit

HARMLESS = {"device", "dtype", "workspace", "processes", "models"}
"""What may be handed in to a joined call: the same for all, whichever node asks."""


def fuse(graph: nx.DiGraph[str], steps: dict[str, Step]) -> list[Unit]:
    """The steps of a body in an order to run, with calls that may be joined as one.

    graph: an edge from each step to those that wait for it. steps: in an order that runs as well.
    """
    alike: dict[str, list[str]] = {}
    for id, step in steps.items():
        if _may_join(step):
            alike.setdefault(_all_else(step), []).append(id)
    if all(len(ids) == 1 for ids in alike.values()):
        return list(steps.values())
    graph = graph.copy()
    groups = {id: [id] for id in steps}
    for ids in alike.values():
        leaders: list[str] = []
        for id in ids:
            for leader in leaders:
                if not (nx.has_path(graph, leader, id) or nx.has_path(graph, id, leader)):
                    nx.contracted_nodes(graph, leader, id, self_loops=False, copy=False)
                    groups[leader].append(id)
                    break
            else:
                leaders.append(id)
    order = {id: i for i, id in enumerate(steps)}
    joined = ([steps[id] for id in groups[leader]] for leader in nx.lexicographical_topological_sort(graph, order.get))
    return [members[0] if len(members) == 1 else Joined(tuple(members)) for members in joined]


def _may_join(step: Step) -> bool:
    spec = step.spec
    return (
        bool(spec.batched)
        and spec.returns.form == "one"
        and not (step.grads or step.copied or step.body or spec.effect)
        and HARMLESS.issuperset(spec.injected.values())
        and not any(name in spec.batched for name, _ in (*step.lists, *step.dicts))
    )


def _all_else(step: Step) -> str:
    """What must be equal in calls that are joined: everything but the values of batched inputs."""
    batched = [name for name, _ in step.singles if name in step.spec.batched]
    others = [single for single in step.singles if single[0] not in step.spec.batched]
    parts = (step.constants.items(), others, step.lists, step.dicts, batched)
    return repr([step.spec.type, *(sorted(part, key=repr) for part in parts)])
