"""What a run is asked for by name: nodes, ports, uses of definitions."""

from __future__ import annotations

from collections.abc import Iterable

from graph_runner.base.problems import Problem, WorkflowError, did_you_mean
from graph_runner.bind.graph import Scope, Source
from graph_runner.bind.renamed import present
from graph_runner.format.wires import joined, split


def targets_of(top: Scope, names: Iterable[str]) -> tuple[dict[str, Source], set[str]]:
    """The ports that are asked for, by name, and the nodes they belong to (which may give nothing)."""
    targets: dict[str, Source] = {}
    ids: set[str] = set()
    for name in names:
        for asked, reference in _meant(top, name).items():
            id, rest = split(reference)
            bound = top.nodes.get(id)
            if bound is None:
                message = f"there is no node {id!r} at the top of the graph"
                raise WorkflowError([Problem(message, remedy=did_you_mean(id, [*top.nodes, *top.uses]))])
            slots = {joined(*slot): slot for slot in bound.outputs}
            rest = present(bound.spec.outputs, rest)
            if rest and rest not in slots:
                raise WorkflowError([Problem(f"{id!r} has no output {rest!r}", id, remedy=did_you_mean(rest, slots))])
            for port in [rest] if rest else slots:  # a node stands for all it gives
                targets[asked if rest or len(slots) == 1 else f"{asked}.{port}"] = Source(id, *slots[port])
            ids.add(id)
    return targets, ids


def _meant(top: Scope, name: str) -> dict[str, str]:
    """What a name asks for: itself, or what the results of a definition's use stand for."""
    id, port = split(name)
    if id not in top.uses:
        return {name: name}
    outputs = {port: reference for port, reference in top.uses[id].items() if isinstance(reference, str)}
    if port and port not in outputs:
        raise WorkflowError([Problem(f"{id!r} has no output {port!r}", id, remedy=did_you_mean(port, outputs))])
    if port or len(outputs) == 1:
        return {name: outputs[port or next(iter(outputs))]}
    return {f"{id}.{each}": reference for each, reference in outputs.items()}
