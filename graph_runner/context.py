"""What a node may ask of its surroundings, for packages of nodes: see `graph_runner.contract.context`."""

from graph_runner.contract.context import (
    Call,
    Device,
    Dtype,
    Loop,
    Metrics,
    Models,
    Outputs,
    Processes,
    Progress,
    Rng,
    Saving,
    Stateful,
    Tell,
    Workspace,
    derive,
    injectable,
)

__all__ = [
    "Call",
    "Device",
    "Dtype",
    "Loop",
    "Metrics",
    "Models",
    "Outputs",
    "Processes",
    "Progress",
    "Rng",
    "Saving",
    "Stateful",
    "Tell",
    "Workspace",
    "derive",
    "injectable",
]
