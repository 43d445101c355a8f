"""What would help where memory ran out: parameters and nodes that say what is lighter, each tried in a dry run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import torch

from graph_runner.base.telling import large
from graph_runner.bind.paths import Paths
from graph_runner.bind.validate import errors, validate
from graph_runner.contract.registry import Registry
from graph_runner.contract.spec import NodeSpec
from graph_runner.estimate.dry import Estimate, dry_run
from graph_runner.format.workflow import Workflow, walk

MOST = 6
"""So many changes are tried; each takes a dry run."""
WORTH = 0.95
"""A change is told where at most this share of the memory is left."""

Advise = Callable[[Workflow, torch.dtype], list[str]]
"""What would take less memory than a workflow does in this dtype."""


def adviser(registry: Registry, workspace: Path, roots: Iterable[Path] = ()) -> Advise:
    """An `Advise` for workflows in this workspace; one that cannot be gone through gets no advice."""
    roots = tuple(roots)

    def tried(workflow: Workflow, dtype: torch.dtype) -> Estimate | None:
        top, problems = validate(workflow, registry, Paths(workspace, roots))
        if errors(problems):
            return None
        return dry_run(top, workspace, dtype=dtype, roots=roots, injectables=registry.injectables)

    def advise(workflow: Workflow, dtype: torch.dtype) -> list[str]:
        now = tried(workflow, dtype)
        if now is None:
            return []
        changes = [(what, changed, dtype) for what, changed in lighter(workflow, registry)]
        if dtype == torch.float32:
            changes.insert(0, ("--dtype bfloat16", workflow, torch.bfloat16))
        told = []
        for what, changed, kind in changes[:MOST]:
            found = tried(changed, kind)
            if found is not None and found.memory <= now.memory * WORTH:
                told.append(
                    (found.memory, f"{what} ({large(found.memory, 'B')} at most instead of {large(now.memory, 'B')})")
                )
        return [sentence for _, sentence in sorted(told)]

    return advise


def lighter(workflow: Workflow, registry: Mapping[str, NodeSpec]) -> Iterator[tuple[str, Workflow]]:
    """A workflow with one thing made lighter, for each that can be, and what that is in words."""
    for id, node in walk(workflow.nodes):
        spec = registry.get(node.type)
        if spec is None:
            continue
        if spec.lighter:
            yield f"{spec.lighter} in place of {id}", _changed(workflow, id, type=spec.lighter)
        for name, param in spec.params.items():
            if param.lighter is None or name in node.wires:
                continue
            value = param.lighter.of(node.params.get(name, param.default))
            if value is not None:
                params = {**node.params, name: value}
                told = f"--set {id}.{name}={json.dumps(value)}"
                yield told, _changed(workflow, id, params=params)


def _changed(workflow: Workflow, id: str, **fields: object) -> Workflow:
    copy = workflow.model_copy(deep=True)
    node = dict(walk(copy.nodes))[id]
    for name, value in fields.items():
        setattr(node, name, value)
    return copy
