"""Going on from an earlier run with other settings: its checkpoints are found, and named in the workflow.

What a training goes on from is a parameter of its zone (`train.continue_from`), so that it is seen in the graph, covered by keys,
and kept with the run. Here a run's name becomes such parameters, for the command line and the canvas alike.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from graph_runner.base.home import home_of
from graph_runner.base.problems import Problem, WorkflowError, did_you_mean, shortened
from graph_runner.bind.paths import PathError, expanded
from graph_runner.contract import NodeSpec
from graph_runner.format.workflow import Node, Workflow, walk
from graph_runner.store.checkpoints import steps_in

LAST = "last"
"""Stands for the newest run that trained something."""


def from_checkpoints(workflow: Workflow, nodes: Mapping[str, NodeSpec], workspace: Path, named: str) -> Workflow:
    """The workflow whose trainings begin at the checkpoints of a run, or at one checkpoint.

    named: a run's folder or its name in the workspace, "last", or the folder of a checkpoint. Raises WorkflowError where there
    is none, or where it is not clear which training is meant.
    """
    workflow = workflow.model_copy(deep=True)
    takers = {id: node for id, node in walk(workflow.nodes) if node.type in nodes and nodes[node.type].continues_from}
    if not takers:
        raise _refused("nothing in this workflow trains", "Add a train zone, or leave --continue out")
    home_of(workspace).bring_below(workspace / "runs", ["checkpoints.json"])
    folder = _folder(workspace, named)
    if re.fullmatch(r"step-\d+", folder.name):
        if len(takers) > 1:
            told = f"{named} is one checkpoint, and {', '.join(takers)} all train"
            raise _refused(told, "Give it to one of them: --set ZONE.continue_from=CHECKPOINT")
        found = dict.fromkeys(takers, folder)
    else:
        found = _newest(workspace, folder, takers)
    for id, checkpoint in found.items():
        _begin_at(takers[id], nodes[takers[id].type].continues_from, checkpoint, workspace)
    return workflow


def _begin_at(node: Node, param: str, checkpoint: Path, workspace: Path) -> None:
    inside = checkpoint.is_relative_to(workspace)
    node.params[param] = (checkpoint.relative_to(workspace) if inside else checkpoint).as_posix()
    node.wires.pop(param, None)


def _folder(workspace: Path, named: str) -> Path:
    """The folder that is meant, absolute."""
    runs = workspace / "runs"
    trained = sorted(path.parent for path in runs.glob("[!.]*/checkpoints.json"))
    if named == LAST:
        if not trained:
            raise _refused(f"no run in {workspace} has trained anything", "Train first, without --continue")
        return trained[-1]
    try:
        places = [runs / named, workspace / expanded(named), expanded(named).absolute()]
        there = next((place.resolve() for place in places if place.is_dir()), None)
    except (PathError, OSError):
        there = None
    if there is None:
        told = f"there is no run and no checkpoint {shortened(named)}"
        raise _refused(told, did_you_mean(named, [path.name for path in trained]))
    return there


def _newest(workspace: Path, run: Path, takers: Mapping[str, Node]) -> dict[str, Path]:
    """The newest checkpoint of each training that a run did and that is in the workflow."""
    try:
        known: dict[str, list[str]] = json.loads((run / "checkpoints.json").read_text())
    except (OSError, ValueError) as error:
        raise _refused(f"{run.name} has trained nothing", "Name a run that did, or a checkpoint") from error
    if not (common := [id for id in takers if id in known]):
        raise _refused(f"{run.name} trained {', '.join(known)}, which is not here", f"Here is {', '.join(takers)}")
    found = {}
    for id in common:
        if len(lineages := dict.fromkeys(known[id])) > 1:
            told = f"{run.name} trained {id} {len(lineages)} times, with other settings each"
            raise _refused(told, f"Give it one of them: --set {id}.continue_from=checkpoints/…/step-N")
        (lineage,) = lineages
        if not (steps := steps_in(workspace / "checkpoints" / lineage, home_of(workspace))):
            raise _refused(f"{run.name} left no checkpoint of {id}", "It may have been cleaned; train it again")
        found[id] = workspace / "checkpoints" / lineage / f"step-{steps[-1]}"
    return found


def _refused(message: str, remedy: str) -> WorkflowError:
    return WorkflowError([Problem(message, remedy=remedy)])
