"""Who can read another program's workflows, and write ours as such: functions of node packages, found where their nodes are.

    @imports_workflows
    def comfyui(document: dict[str, Any], folders: Folders) -> Imported | None: ...

    @exports_workflows("comfyui")
    def as_comfyui(workflow: Workflow) -> str: ...

The engine knows no other program; it reads the file within its limits, and asks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from graph_runner.format.workflow import Workflow


class Folders(NamedTuple):
    """Where the files lie that another program names without a folder; None for what nobody said."""

    models: Path | None = None
    pictures: Path | None = None


class Imported(NamedTuple):
    """A workflow made of another program's. remarks: sentences about what differs, or has no counterpart."""

    workflow: Workflow
    remarks: tuple[str, ...] = ()


Importer = Callable[[dict[str, Any], Folders], Imported | None]
"""Reads a JSON object as another program's workflow; None where it is none. Raises WorkflowError where it is malformed."""
Exporter = Callable[[Workflow], str]
"""The text of another program's file. Raises WorkflowError, naming the nodes, for what that cannot express."""


def imports_workflows(read: Importer) -> Importer:
    """Mark a function as one that reads another program's workflows. It must not execute anything."""
    read.__imports__ = "workflows"  # type: ignore[attr-defined]
    return read


def exports_workflows(program: str) -> Callable[[Exporter], Exporter]:
    """Mark a function as one that writes workflows for a program: `export WORKFLOW --as PROGRAM`."""

    def mark(write: Exporter) -> Exporter:
        write.__exports__ = program  # type: ignore[attr-defined]
        return write

    return mark
