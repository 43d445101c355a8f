"""`picture`: how a picture was made, told, and written as a workflow."""

from __future__ import annotations

import argparse
import json
from contextlib import suppress

from rich.console import Console
from rich.text import Text

from graph_runner.base.problems import Problem, WorkflowError
from graph_runner.catalog.pictures import made_by
from graph_runner.cli.wording import place
from graph_runner.contract.describers import Made
from graph_runner.contract.registry import Registry
from graph_runner.format.png import open_workflow
from graph_runner.format.workflow import read, save, write


def picture_command(options: argparse.Namespace) -> int:
    """Tell it. Raises WorkflowError where the picture tells nothing, or no workflow can be made of it and one is asked for."""
    path = options.picture
    made = made_by(path, Registry.installed(options.nodes).picture_describers)
    if made is None or not made.workflow:
        with suppress(WorkflowError):
            own = open_workflow(path)
            facts = {"Title": own.title, "About": own.about}
            made = Made("Latent Loom", {name: fact for name, fact in facts.items() if fact}, write(own))
    if made is None:
        raise WorkflowError([Problem(f"{path} tells nothing of how it was made", remedy="Programs that edit or send pictures often remove it")])  # fmt: skip
    if options.json:
        print(json.dumps(made._asdict()))
    else:
        _tell(Console(), made)
    if made.problem:
        raise WorkflowError([Problem(f"{path} cannot be read further: {made.problem}")])
    if options.output is not None:
        if not made.workflow:
            raise WorkflowError([Problem(f"no workflow can be made of a picture of {made.program}", remedy="Leave out --output")])  # fmt: skip
        save(read(made.workflow), options.output)
        if not options.json:
            print(f"Wrote {place(options.output)}")
    return 0


def _tell(console: Console, made: Made) -> None:
    console.print(Text(f"made by {made.program}", "bold"))
    for name, value in made.facts.items():
        console.print(Text.assemble((f"{name}: ", "dim"), value), soft_wrap=True)
    for sentence in made.left:
        console.print(Text(f"- {sentence}", "yellow"), soft_wrap=True)
