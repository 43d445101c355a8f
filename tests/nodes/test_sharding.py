"""Trainings whose models are split among processes: against one process, and from one number of processes to another."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from graph_runner.base import events
from graph_runner.context import Processes
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from graph_runner.store.folders import load_tree
from tests.nodes.test_processes import gan, leaves, shipped
from tests.world import in_world

STEPS, HALF = 6, 4
TOLERANCE = 1e-6  # of the losses, relative


def registry() -> Registry:
    return Registry.scan(["graph_runner.zones", "nodes", "tests.nodes.toy_gan"])


def part(workflow: Workflow, target: str, workspace: str, world: Processes, shard: bool) -> dict[str, Any]:
    """One run: what was told, the models that it gave, and the last checkpoint with the names of its files."""
    engine = Engine(registry(), workspace, processes=world, shard=shard)
    result = engine.run(workflow, targets=[target], only=True, checkpoint_seconds=0)
    found: dict[str, Any] = {
        "losses": [each.values for each in result.events if isinstance(each, events.Metric)],
        "told": [each.message for each in result.events if isinstance(each, events.Log)],
        "models": {
            name: (type(model).__name__, model.state_dict())
            for name, model in result.values.items()
            if isinstance(model, torch.nn.Module)
        },
    }
    if world.rank == 0:
        checkpoints = sorted(Path(workspace).glob("checkpoints/*/step-*"), key=lambda path: int(path.name[5:]))
        found["steps"] = [int(path.name[5:]) for path in checkpoints]
        found["state"], found["files"] = load_tree(checkpoints[-1]), sorted(p.name for p in checkpoints[-1].iterdir())
        found["kept"] = [leaves(load_tree(path)) for path in Path(workspace).glob("cache/*") if path.is_dir()]
    return found


def each_step(steps: int) -> Workflow:
    """The GAN that tells the losses of each step."""
    workflow = gan(steps)
    workflow.nodes["gan"].params["log_every"] = 1
    return workflow


def gans(processes: Processes) -> dict[str, Any]:
    """A GAN with accumulation and averages, in one go and in two, the second by another number of processes or in another way."""
    alone, found = Processes(), dict[str, Any]()
    ways = {
        "one": [(STEPS, alone, False)],
        "replicated": [(STEPS, processes, False)],
        "sharded": [(STEPS, processes, True)],
        "sharded, sharded": [(HALF, processes, True), (STEPS, processes, True)],
        "sharded, one": [(HALF, processes, True), (STEPS, alone, False)],
        "one, sharded": [(HALF, alone, False), (STEPS, processes, True)],
        "sharded, replicated": [(HALF, processes, True), (STEPS, processes, False)],
    }
    for name, parts in ways.items():
        workspace = processes.agree(tempfile.mkdtemp())
        for steps, world, shard in parts:
            if world.world > 1 or processes.rank == 0:
                found[name] = part(each_step(steps), "gan.models.g", workspace, world, shard)
            processes.agree(None)
        if processes.rank == 0:
            shutil.rmtree(workspace)
    return found


def autoencoders(processes: Processes) -> dict[str, Any]:
    """The shipped training with its discriminator: blocks, batch norms, dropout, an adaptive weight, what looks on."""
    found = {}
    for name, world, shard in (("one", Processes(), False), ("sharded", processes, True)):
        workspace = processes.agree(tempfile.mkdtemp())
        if world.world > 1 or processes.rank == 0:
            found[name] = part(shipped(STEPS), "autoencoder", workspace, world, shard)
        processes.agree(None)
        if processes.rank == 0:
            shutil.rmtree(workspace)
    return found


def numbers(told: list[dict[str, float]]) -> Iterator[float]:
    for each in told:
        yield from (each[key] for key in sorted(each))


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 4])
def test_a_gan_is_the_same_however_it_is_split_and_goes_on_in_any_way(world: int, tmp_path: Path) -> None:
    first, *others = in_world(world, "tests.nodes.test_sharding:gans", tmp_path)
    one = leaves(first["one"]["state"])
    losses = {}
    for name in first:
        tree = leaves(first[name]["state"])
        assert tree.keys() == one.keys(), name
        for key, value in tree.items():
            if isinstance(value, torch.Tensor):
                torch.testing.assert_close(value, one[key], rtol=1e-5, atol=1e-6, msg=f"{name} {key}")
        assert first[name]["steps"][-1] == STEPS
        losses[name] = list(numbers(first[name]["losses"]))
        wanted = list(numbers(first["one"]["losses"]))[-len(losses[name]) :]
        assert losses[name] == pytest.approx(wanted, rel=TOLERANCE, abs=1e-7), name  # one of them passes through 0
        for kind, _ in first[name]["models"].values():
            assert kind == "Net", "what leaves the zone is a plain model"
        assert len(first[name]["kept"]) == 1 + name.count(","), "the trained models are kept as ever"
        if "," in name:
            assert f"goes on from step {HALF} of an earlier run" in first[name]["told"], name
        files = first[name]["files"]
        assert (len(files) == world + 1) is (name.endswith("sharded")), (name, files)
    for other in others:
        for name in other.keys() - {"sharded, one"}:  # there the first process went on alone
            ours, theirs = leaves(first[name]["models"]), leaves(other[name]["models"])
            assert all(
                torch.equal(theirs[key], value) for key, value in ours.items() if isinstance(value, torch.Tensor)
            )


@pytest.mark.slow
def test_the_shipped_two_objectives_train_split_as_whole(tmp_path: Path) -> None:
    first, second = in_world(2, "tests.nodes.test_sharding:autoencoders", tmp_path)
    one, split = leaves(first["one"]["state"]), leaves(first["sharded"]["state"])
    assert one.keys() == split.keys()
    weights = [
        key
        for key, value in one.items()
        if isinstance(value, torch.Tensor) and not key.startswith(("/optimizers", "/curve"))
    ]
    worst = {key: float((one[key].double() - split[key].double()).abs().max()) for key in weights}
    assert max(worst.values()) <= 2e-4, sorted(worst.items(), key=lambda each: -each[1])[:5]  # as in `test_processes`
    assert len(first["sharded"]["losses"]) == len(first["one"]["losses"])
    for told, wanted in zip(first["sharded"]["losses"], first["one"]["losses"], strict=True):
        assert told == pytest.approx(wanted, rel=1e-3, abs=1e-5)  # the adaptive weight is a ratio of small norms
        losses = [name for name in wanted if name.startswith("loss/")]
        assert [told[name] for name in losses] == pytest.approx([wanted[name] for name in losses], rel=1e-5)
    ours, theirs = leaves(first["sharded"]["models"]), leaves(second["sharded"]["models"])
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items() if isinstance(value, torch.Tensor))


def test_one_process_has_nobody_to_share_with(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="to shard is to split a model among several processes, and this is one"):
        Engine(registry(), tmp_path, shard=True)


def test_what_is_split_is_not_compiled_and_that_is_told_before_anything_is_done(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"split among processes are not compiled.*leave out --compile, or --shard"):
        Engine(registry(), tmp_path, shard=True, compile="default")
