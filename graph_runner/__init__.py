"""The engine of Latent Loom: typed nodes, a workflow format, a compiler and an executor.

It would run a graph of arithmetic: nothing here knows diffusion. What other people's programs and packages may lean on is

- what this module names: to run workflows from Python (docs/python.md),
- `graph_runner.contract` and `graph_runner.context`: to write nodes (docs/writing-a-node.md),
- `graph_runner.base.events`, and `LoggedRun` and `step_of` of `graph_runner.run.loggers`: to listen to runs (docs/loggers.md),
- `graph_runner.run.executors`: to do the items of sweeps elsewhere (docs/executors.md),
- the entry point groups `latent_loom.nodes`, `latent_loom.listeners` and `latent_loom.executors`.

All else may change from one version to the next.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graph_runner.base.problems import Problem as Problem
    from graph_runner.base.problems import WorkflowError as WorkflowError
    from graph_runner.cli.progress import progress as progress
    from graph_runner.contract.registry import Registry as Registry
    from graph_runner.format.png import open_workflow as open_workflow
    from graph_runner.format.workflow import Workflow as Workflow
    from graph_runner.format.workflow import read as read
    from graph_runner.format.workflow import save as save
    from graph_runner.format.workflow import write as write
    from graph_runner.notebook.graph import Graph as Graph
    from graph_runner.notebook.graph import open as open
    from graph_runner.run.engine import Engine as Engine
    from graph_runner.run.engine import Result as Result
    from graph_runner.run.failures import NodeError as NodeError

_HOMES = {
    "Engine": "run.engine",
    "Graph": "notebook.graph",
    "NodeError": "run.failures",
    "Problem": "base.problems",
    "Registry": "contract.registry",
    "Result": "run.engine",
    "Workflow": "format.workflow",
    "WorkflowError": "base.problems",
    "open": "notebook.graph",
    "open_workflow": "format.png",
    "progress": "cli.progress",
    "read": "format.workflow",
    "save": "format.workflow",
    "write": "format.workflow",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """A public name, imported where it is asked for: `python -m graph_runner --help` answers at once."""
    if name in _HOMES:
        return getattr(import_module(f"graph_runner.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, for completion."""
    return sorted([*globals(), *_HOMES])
