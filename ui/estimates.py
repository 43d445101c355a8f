"""A dry run of a workflow, in a process of its own: it computes for seconds, and the server has people to answer."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from graph_runner.bind.paths import Paths
from graph_runner.bind.validate import validate
from graph_runner.contract.registry import Registry
from graph_runner.estimate import known
from graph_runner.format.workflow import Workflow, save
from ui.refusal import RefusedError
from ui.schemas import Estimate
from ui.workspace import Workspace


async def estimate(
    workflow: Workflow,
    workspace: Workspace,
    registry: Registry,
    packages: Iterable[str],
    roots: Iterable[Path] = (),
    devices: int = 1,
    shard: bool = False,
) -> Estimate:
    """What a run of a valid workflow would do. Ends the process when nobody waits any more.

    packages: of nodes, besides those installed. roots: the only folders to read files below, if any are named. devices, shard:
    see `graph_runner.estimate.dry.dry_run`. Raises
    RefusedError where the dry run fails.
    """
    before = await asyncio.to_thread(_before, workflow, workspace, registry, roots, devices, shard)
    if before is not None:
        return before
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "workflow.json"
        save(workflow, file)
        options = [option for package in packages for option in ("--nodes", package)]
        options += [option for root in roots for option in ("--only-below", str(root))]
        options += ["--devices", str(devices), *(["--shard"] if shard else [])]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "graph_runner", "check", str(file), "--json"),
            *("--workspace", str(workspace.root), *options),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            told, complaints = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if not told:
        words = complaints.decode(errors="replace").strip().splitlines() or ["the process ended without a word"]
        raise RefusedError(422, f"what this workflow would do could not be found out: {words[0]}")
    return Estimate.model_validate_json(told)


def _before(
    workflow: Workflow, workspace: Workspace, registry: Registry, roots: Iterable[Path], devices: int, shard: bool
) -> Estimate | None:
    """What was found out before of the same graph, without a process."""
    top = validate(workflow, registry, Paths(workspace.root, tuple(roots)))[0]
    asked = {"dtype": "float32", "weights": "float32", "devices": devices, "shard": shard}
    found = known.find(workspace.root, known.key_of(top, asked))
    return None if found is None else Estimate.model_validate(found.to_json())
