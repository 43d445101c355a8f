"""Shipped workflows with other values in their nodes: few steps, small pictures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from graph_runner.bind.paths import SHIPPED
from graph_runner.cli.settings import apply
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Node, Workflow, load

Changes = Mapping[str, Mapping[str, Any]]
"""Parameters by node."""


def shipped(name: str, changes: Changes) -> Workflow:
    """A shipped workflow with these values. Raises WorkflowError, as of `--set`, for a node or a parameter that it does not have."""
    return with_values(load(SHIPPED / f"{name}.json"), changes)


def with_values(workflow: Workflow, changes: Changes) -> Workflow:
    """The same of any workflow."""
    told = [f"{id}.{param}={json.dumps(value)}" for id, params in changes.items() for param, value in params.items()]
    return apply(told, workflow, Registry.installed())


def change_what_they_have(nodes: Iterable[tuple[str, Node]], changes: Changes) -> None:
    """Put in those of these values for which nodes have others in their file: one table serves many workflows.

    How many samples `rescale_latents` measures is written in no file, and always too many.
    """
    for id, node in nodes:
        for param, value in changes.get(id, {}).items():
            if param in node.params or (node.type, param) == ("rescale_latents", "samples"):
                node.params[param] = value
