"""A sweep whose trainings are each shared by several processes, one after the other: `--devices N` with `for_each`."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from graph_runner.base import events
from graph_runner.context import Processes
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from tests.nodes.sweeps import sweep
from tests.world import in_two

RATES, STEPS, LONGER = [1e-2, 1e-1], 2, 4


def trainings(steps: int) -> Workflow:
    """By plain gradient descent: an adaptive step makes the last bits of a gradient near nothing as large as any other."""
    workflow = sweep(RATES, steps)
    workflow["nodes"]["sweep"]["body"]["nodes"]["adam"]["type"] = "sgd"
    return Workflow.model_validate(workflow)


def swept(processes: Processes, shard: bool, workspace: str, steps: int) -> dict[str, Any]:
    """What a sweep gave, and what was told."""
    engine = Engine(Registry.scan(["graph_runner.zones", "nodes"]), workspace, processes=processes, shard=shard)
    targets = ["sweep.unet", "sweep.ema"]
    result = engine.run(trainings(steps), targets=targets, only=True, checkpoint_seconds=0)
    return {
        "models": [model.state_dict() for target in targets for model in result.values[target]],
        "losses": [
            each.values["loss/diffusion"]
            for each in result.events
            if isinstance(each, events.Metric) and "loss/diffusion" in each.values
        ],
        "told": [each.message for each in result.events if isinstance(each, events.Log)],
    }


def sweeps(processes: Processes) -> dict[str, Any]:
    found = {}
    for name, world, shard in (("one", Processes(), False), ("whole", processes, False), ("split", processes, True)):
        workspace = processes.agree(tempfile.mkdtemp())
        if world.world > 1 or processes.rank == 0:
            swept(world, shard, workspace, STEPS)
            found[name] = swept(world, shard, workspace, LONGER)
        processes.agree(None)
        if processes.rank == 0:
            shutil.rmtree(workspace)
    return found


@pytest.mark.slow
def test_the_items_of_a_sweep_are_those_that_one_process_trains_and_go_on(tmp_path: Path) -> None:
    first, second = in_two("tests.nodes.test_swept_processes:sweeps", tmp_path)
    one = first["one"]
    for name in ("whole", "split"):
        assert first[name]["losses"] == pytest.approx(one["losses"], rel=1e-6)
        assert sum(f"goes on from step {STEPS}" in told for told in first[name]["told"]) == len(RATES)
        for found in (first[name], second[name]):
            assert len(found["models"]) == 2 * len(RATES)
            for state, wanted in zip(found["models"], one["models"], strict=True):
                for key, value in state.items():
                    torch.testing.assert_close(value, wanted[key], rtol=1e-4, atol=1e-6, msg=f"{name} {key}")
