"""Blueprints as the server gives and takes them."""

from __future__ import annotations

from collections.abc import Mapping

from graph_runner.base.problems import WorkflowError
from graph_runner.bind.renamed import under_current_names
from graph_runner.contract import NodeSpec
from graph_runner.format import blueprints
from graph_runner.format.workflow import Workflow, write
from ui.refusal import RefusedError
from ui.schemas import BlueprintEntry, printable
from ui.workspace import Workspace


def listing(workspace: Workspace, registry: Mapping[str, NodeSpec]) -> list[BlueprintEntry]:
    """Every blueprint of the workspace, its nodes by their present names; those that lead out of it through a link are left out."""
    _confined(workspace)
    return [
        _entry(found._replace(workflow=under_current_names(found.workflow, registry)))
        for found in blueprints.listing(workspace.root)
        if workspace.holds(workspace.root / blueprints.FOLDER / f"{found.name}.json")
    ]


def keep(workspace: Workspace, name: str, workflow: Workflow, overwrite: bool) -> BlueprintEntry:
    """Save a definition as a blueprint. Raises RefusedError: 409 where there is another one of its name."""
    _confined(workspace, name)
    try:
        return _entry(blueprints.keep(workspace.root, workflow, name, overwrite))
    except FileExistsError as error:
        raise RefusedError(409, str(error)) from error
    except WorkflowError as error:
        raise RefusedError(400, str(error)) from error


def discard(workspace: Workspace, name: str) -> None:
    """Delete a blueprint. Raises RefusedError (404) where there is none."""
    _confined(workspace, name)
    try:
        blueprints.remove(workspace.root, name)
    except WorkflowError as error:
        raise RefusedError(404, str(error)) from error


def _confined(workspace: Workspace, name: str = "") -> None:
    """Raise RefusedError where the place leads out of the workspace."""
    workspace.inside(f"{blueprints.FOLDER}/{name}.json" if name else blueprints.FOLDER)


def _entry(found: blueprints.Blueprint) -> BlueprintEntry:
    text = write(found.workflow)
    return BlueprintEntry(name=found.name, about=found.about, text=text, problem=printable(found.problem))
