"""`blueprints`: definitions that lie in a workspace for all its workflows."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from graph_runner.base.problems import Problem, WorkflowError
from graph_runner.cli.wording import place
from graph_runner.format import blueprints
from graph_runner.format.png import open_workflow
from graph_runner.format.workflow import load, save


def blueprints_command(options: argparse.Namespace, workspace: Path) -> int:
    """List blueprints, save a definition as one, put one into a workflow file, or delete one."""
    match options.action:
        case "list":
            _list(workspace, options.workspace)
        case "save":
            workflow = open_workflow(_needed(options.workflow, "save NAME WORKFLOW.json"))
            try:
                blueprints.keep(
                    workspace, workflow, _needed(options.name, "save NAME WORKFLOW.json"), options.overwrite
                )
            except FileExistsError as error:
                raise WorkflowError([Problem(str(error), remedy="Say --overwrite to replace it")]) from error
            print(place(workspace / blueprints.FOLDER / f"{options.name}.json"))
        case "insert":
            from graph_runner.contract.registry import Registry

            path = _needed(options.workflow, "insert NAME WORKFLOW.json")
            found = blueprints.read(workspace, _needed(options.name, "insert NAME WORKFLOW.json"))
            workflow, name = blueprints.put_into(load(path), found, Registry.installed())
            save(workflow, path)
            print(f"{path}: has the definition {name}; a node of that type uses it")
        case "delete":
            blueprints.remove(workspace, _needed(options.name, "delete NAME"))
            print(f"Deleted the blueprint {options.name}")
    return 0


T = TypeVar("T")


def _needed(value: T | None, usage: str) -> T:
    if value is None:
        raise WorkflowError([Problem("something is missing", remedy=f"Say: blueprints {usage}")])
    return value


def _list(workspace: Path, told: Path) -> None:
    found = blueprints.listing(workspace)
    if not found:
        print(f"There is no blueprint in {told} yet. blueprints save NAME WORKFLOW.json makes one of a definition.")
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(style="dim")
    for one in found:
        table.add_row(one.name, escape(one.problem or one.about))
    Console().print(table)
