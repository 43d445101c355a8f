"""Blueprints: definitions that lie in a workspace for all its workflows.

A blueprint is a workflow file, `blueprints/NAME.json`, that holds the definition NAME and those that it uses, and no nodes
of its own. Whatever reads workflows reads it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from graph_runner.base.files import remove as remove_file
from graph_runner.base.home import home_of
from graph_runner.base.names import LONGEST, refuse_twin
from graph_runner.base.problems import Problem, WorkflowError, did_you_mean
from graph_runner.format.workflow import Definition, Node, Workflow, load, save, walk

FOLDER = "blueprints"


class Blueprint(NamedTuple):
    """A definition in the workspace. problem: why it cannot be used, where it cannot; then `workflow` is empty."""

    name: str
    workflow: Workflow
    problem: str = ""

    @property
    def about(self) -> str:
        """What it is for, in the words of its definition."""
        return self.workflow.definitions[self.name].about if self.name in self.workflow.definitions else ""


def listing(workspace: Path) -> list[Blueprint]:
    """Every blueprint of a workspace, by name; those that cannot be read say why."""
    found = []
    with suppress(OSError):  # what is here can be worked with meanwhile
        home_of(workspace).bring_below(workspace / FOLDER)
    for path in sorted((workspace / FOLDER).glob("*.json")):
        if path.name.startswith("."):
            continue
        try:
            found.append(read(workspace, path.stem))
        except WorkflowError as error:
            found.append(Blueprint(path.stem, Workflow(), str(error.problems[0])))
    return found


def read(workspace: Path, name: str) -> Blueprint:
    """A blueprint by its name. Raises WorkflowError where there is none, or its file does not hold what it is called."""
    path = _brought(workspace, name)
    if not path.exists():
        names = [other.stem for other in path.parent.glob("*.json")]
        raise WorkflowError([Problem(f"there is no blueprint {name!r}", remedy=did_you_mean(name, names))])
    workflow = load(path)
    if name not in workflow.definitions:
        remedy = "Give the file the name of the definition that it holds"
        raise WorkflowError([Problem(f"{path} holds no definition {name!r}", remedy=remedy)])
    return Blueprint(name, workflow)


def keep(workspace: Path, workflow: Workflow, name: str, overwrite: bool = False) -> Blueprint:
    """Save a definition of a workflow, with those that it uses, as a blueprint.

    Raises WorkflowError where the workflow has no such definition, and FileExistsError where the workspace has such a
    blueprint that says something else, unless `overwrite`.
    """
    if name not in workflow.definitions:
        remedy = did_you_mean(name, workflow.definitions)
        raise WorkflowError([Problem(f"the workflow has no definition {name!r}", remedy=remedy)])
    path = _brought(workspace, name)
    try:
        refuse_twin(path.parent, path.name)
    except ValueError as error:
        raise WorkflowError([Problem(str(error))]) from error
    needed = {other: workflow.definitions[other] for other in _needed(workflow, name)}
    about = workflow.definitions[name].about
    made = Workflow(title=name.replace("_", " "), about=about, definitions=needed)
    if path.exists() and not overwrite and load(path) != made:
        raise FileExistsError(
            f"there is a blueprint {name!r} that says something else; overwrite it, or rename this one"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    save(made, path)
    home_of(workspace).keep(path)
    return Blueprint(name, made)


def remove(workspace: Path, name: str) -> None:
    """Delete a blueprint. Workflows that it was put into keep their definitions. Raises WorkflowError where there is none."""
    path = _brought(workspace, name)
    if not path.is_file():
        read(workspace, name)  # which says what there is instead
    home_of(workspace).forget(path)
    remove_file(path)


def put_into(workflow: Workflow, blueprint: Blueprint, taken: Collection[str] = ()) -> tuple[Workflow, str]:
    """A workflow with a blueprint's definitions, and the name that the blueprint has there.

    A definition that is there already, word for word as all that it uses, is taken for the blueprint's; where another one has
    the name, or a node type (`taken`), the newcomer gets a number. Uses are written by whoever asks.
    """
    brought = blueprint.workflow.definitions
    names: dict[str, str] = {}
    for name in brought:
        if all(workflow.definitions.get(each) == brought[each] for each in _needed(blueprint.workflow, name)):
            names[name] = name
            continue
        used = {*workflow.definitions, *taken, *names.values()}
        names[name] = _free(name, used)
    renamed = {names[name]: _under(definition, names) for name, definition in brought.items()}
    return workflow.model_copy(update={"definitions": {**workflow.definitions, **renamed}}), names[blueprint.name]


def _free(name: str, used: Collection[str]) -> str:
    number, free = 1, name
    while free in used:
        number += 1
        free = f"{name.rstrip('0123456789') or name}{number}"
    return free


def _under(definition: Definition, names: dict[str, str]) -> Definition:
    """A definition whose nodes use others under these names."""

    def renamed(node: Node) -> Node:
        body = node.body
        if body is not None:
            body = body.model_copy(update={"nodes": {id: renamed(inner) for id, inner in body.nodes.items()}})
        return node.model_copy(update={"type": names.get(node.type, node.type), "body": body})

    return definition.model_copy(update={"nodes": {id: renamed(node) for id, node in definition.nodes.items()}})


def _needed(workflow: Workflow, name: str) -> list[str]:
    """A definition and all that it uses, in the workflow's order."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        name = waiting.pop()
        if name in found or name not in workflow.definitions:
            continue
        found.add(name)
        waiting += [node.type for _, node in walk(workflow.definitions[name].nodes)]
    return [other for other in workflow.definitions if other in found]


def _brought(workspace: Path, name: str) -> Path:
    """Where a blueprint lies, as it is at the workspace's home."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or len(name) + len(".json") > LONGEST:
        remedy = "Names of definitions are lower case: a letter, then letters, digits or _"
        raise WorkflowError([Problem(f"{name[:60]!r} is no name of a blueprint", remedy=remedy)])
    path = workspace / FOLDER / f"{name}.json"
    home_of(workspace).bring(path)
    return path
