"""`models`: the models that lie in the workspace and in given folders, one after the other."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.text import Text

from graph_runner.base.hashes import Hashes
from graph_runner.base.problems import Problem, WorkflowError
from graph_runner.base.telling import large
from graph_runner.catalog.model_files import ModelFile, model_files
from graph_runner.cli.wording import count, place
from graph_runner.contract.registry import Registry
from graph_runner.run.engine import HASHES
from graph_runner.store.space import OF_RUNS


def models_command(options: argparse.Namespace, workspace: Path, folders: list[Path]) -> int:
    """List models. What is broken is told and is no failure of the list. Raises WorkflowError for a folder that is not there."""
    for folder in folders:
        if not folder.exists():
            raise WorkflowError([Problem(f"there is no folder or file {folder}", remedy="Check the path")])
    registry = Registry.installed(options.nodes)
    hashes = None if options.no_hash else Hashes(workspace / HASHES)
    below = [workspace] if workspace.is_dir() else []
    found: dict[str, ModelFile] = {}
    console = Console()
    for each in model_files([*below, *folders], registry.describers, hashes, OF_RUNS):
        if each["path"] not in found and not options.json:
            _tell(console, each)
        found.setdefault(each["path"], each)
    if options.json:
        print(json.dumps(list(found.values())))
    elif not found:
        print(f"No models lie in {', '.join(map(str, [workspace, *folders]))}")
    else:
        size = large(sum(each["size"] for each in found.values()), "B")
        console.print(Text(f"{count(len(found), 'model')}, {size}", "dim"))
    return 0


def _tell(console: Console, model: ModelFile) -> None:
    console.print(Text(place(Path(model["path"])), "bold"), soft_wrap=True)
    facts = [
        model["what"],
        model["dtype"],
        f"{large(model['parameters'])} parameters" if model["parameters"] else "",
        large(model["size"], "B"),
        model["hash"] + (f" (weights {model['data_hash']})" if model["data_hash"] else ""),
    ]
    console.print(Text("  " + "  ".join(fact for fact in facts if fact)), soft_wrap=True)
    if model["loads"]:
        console.print(Text(f"  node: {model['loads']}", "dim"), soft_wrap=True)
    if model["words"]:
        console.print(Text(f"  words: {', '.join(model['words'])}", "green"), soft_wrap=True)
    if model["thumbnail"]:
        console.print(Text(f"  picture: {place(Path(model['thumbnail']))}", "dim"), soft_wrap=True)
    if model["problem"]:
        console.print(Text(f"  {model['problem']}", "red"), soft_wrap=True)
