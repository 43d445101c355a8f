"""`import`, and `export --as`: workflows of other programs brought here, and ours written as theirs."""

from __future__ import annotations

import argparse
import sys

from graph_runner.base.files import write_atomically
from graph_runner.base.problems import Problem, WorkflowError, did_you_mean
from graph_runner.catalog.importing import import_workflow
from graph_runner.cli import settings
from graph_runner.cli.wording import complain, count
from graph_runner.contract.foreign import Folders
from graph_runner.contract.registry import Registry
from graph_runner.format.png import open_workflow
from graph_runner.format.workflow import save, walk, write


def import_command(options: argparse.Namespace) -> int:
    """Bring another program's workflow here: to a file, or printed. Tells what differs."""
    for folder in (options.models, options.pictures):
        if folder is not None and not folder.is_dir():
            raise WorkflowError([Problem(f"there is no folder {folder}", remedy="Check the path")])
    if options.output is not None and options.output.exists() and not options.overwrite:
        raise WorkflowError([Problem(f"{options.output} exists", remedy="Name another file, or say --overwrite")])
    folders = Folders(*(path and path.absolute() for path in (options.models, options.pictures)))
    found = import_workflow(options.workflow, Registry.installed(options.nodes).importers, folders)
    if found is None:
        remedy = "ComfyUI's workflows are read as its canvas or its API saves them, and from its PNGs"
        raise WorkflowError([Problem(f"{options.workflow} is no workflow of a program that is known here", remedy=remedy)])  # fmt: skip
    complain([Problem(sentence, severity="warning") for sentence in found.remarks])
    if options.output is None:
        print(write(found.workflow), end="")
        return 0
    save(found.workflow, options.output)
    inside = sum(1 for each in found.workflow.definitions.values() for _ in walk(each.nodes))
    nodes = sum(1 for _ in walk(found.workflow.nodes)) + inside
    print(f"{options.output}: {count(nodes, 'node')}; check {options.output} says what it needs", file=sys.stderr)
    return 0


def export_as(options: argparse.Namespace) -> int:
    """Write a workflow as another program's."""
    registry = Registry.installed(options.nodes)
    program = getattr(options, "as")
    if program not in registry.exporters:
        remedy = did_you_mean(program, registry.exporters)
        raise WorkflowError([Problem(f"workflows cannot be written for {program!r:.60}", remedy=remedy)])
    workflow = settings.apply(options.settings, open_workflow(options.workflow), registry)
    text = registry.exporters[program](workflow)
    if options.output is None:
        print(text, end="")
        return 0
    write_atomically(options.output, text.encode())
    print(f"{options.output}: for {program}")
    return 0
