"""Several processes train as one does (`torchrun`, gloo)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from core.images import load_image
from graph_runner.base import events
from graph_runner.context import Processes
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow, load, save
from graph_runner.run.engine import Engine
from graph_runner.store.folders import load_tree
from tests.world import free_port, in_two

ROOT = Path(__file__).parents[2]


def gan(steps: int) -> Workflow:
    own = "gan.models"
    body = {
        "real": {"type": "batch_points", "wires": {"batch": "gan.batch"}},
        "noise": {"type": "points_like", "wires": {"points": "real"}},
        "made": {"type": "through", "wires": {"net": f"{own}.g", "x": "noise"}},
        "real_logits": {"type": "through", "wires": {"net": f"{own}.d", "x": "real"}},
        "fake_logits": {"type": "through", "wires": {"net": f"{own}.d", "x": "made"}},
        "fooling": {"type": "fool", "wires": {"fake": "fake_logits"}},
        "catching": {"type": "catch", "wires": {"real": "real_logits", "fake": "fake_logits"}},
        "generator": {
            "type": "objective",
            "wires": {"loss": "fooling", "models": [f"{own}.g"], "optimizer": "adam"},
            "params": {"name": "g"},
        },
        "critic": {
            "type": "objective",
            "wires": {"loss": "catching", "models": [f"{own}.d"], "optimizer": "adam"},
            "params": {"name": "d"},
        },
    }
    nodes: dict[str, Any] = {
        "data": {"type": "circle"},
        "g0": {"type": "network"},
        "d0": {"type": "network", "params": {"out": 1, "seed": 1}},
        "adam": {"type": "adamw", "params": {"lr": 0.01, "clip": 1}},
        "gan": {
            "type": "train",
            "wires": {"data": "data", "models": {"g": "g0", "d": "d0"}},
            "params": {"steps": steps, "batch_size": 16, "accumulate": 2, "ema": 0.9, "seed": 2},
            "body": {"nodes": body, "results": {"objectives": ["generator", "critic"]}},
        },
    }
    return Workflow.model_validate({"loom": 1, "nodes": nodes, "exposed": {"outputs": {"g": "gan.models.g"}}})


def train(workspace: Path, path: Path, *launcher: str) -> Any:
    """Train through the command line; returns the state of the last checkpoint."""
    command = [*launcher, "-m", "graph_runner", "run", str(path), "--workspace", str(workspace), "--device", "cpu"]
    command += ["--nodes", "tests.nodes.toy_gan", "--to", "gan.models.g"]
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (last,) = (workspace / "checkpoints").glob("*/step-12")
    return load_tree(last)


def leaves(tree: Any, path: str = "") -> dict[str, Any]:
    if isinstance(tree, dict):
        return {k: v for key, value in tree.items() for k, v in leaves(value, f"{path}/{key}").items()}
    if isinstance(tree, list | tuple):
        return {k: v for i, value in enumerate(tree) for k, v in leaves(value, f"{path}/{i}").items()}
    return {path: tree}


def test_a_gan_on_two_processes_equals_one(tmp_path: Path) -> None:
    save(gan(12), tmp_path / "gan.json")
    alone = leaves(train(tmp_path / "one", tmp_path / "gan.json"))
    two = [
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-addr",
        "127.0.0.1",
        "--master-port",
        str(free_port()),
    ]
    together = leaves(train(tmp_path / "two", tmp_path / "gan.json", *two))
    assert alone.keys() == together.keys()
    tensors = [key for key, value in alone.items() if isinstance(value, torch.Tensor)]
    assert len(tensors) > 20, "models, averages and both optimizers' states"
    worst = max(float((alone[key].double() - together[key].double()).abs().max()) for key in tensors)
    assert worst <= 1e-6
    moved = {key: float(alone[key].abs().max()) for key in tensors if "exp_avg" in key and "sq" not in key}
    assert all(moved.values()), moved


def shipped(steps: int) -> Workflow:
    """workflows/train_autoencoder.json made small, with dropout and averages, and measured beside its turns."""
    tree = load(ROOT / "workflows" / "train_autoencoder.json").model_dump(mode="json", exclude_none=True)
    nodes = tree["nodes"]
    nodes["shapes"]["params"]["size"] = 64
    nodes["autoencoder0"]["params"] |= {"model_channels": 8, "norm_groups": 4, "dropout": 0.1}
    nodes["discriminator0"]["params"]["base_channels"] = 8
    # Where a gradient is next to nothing, Adam makes a step of the learning rate's size out of its rounding. A larger eps
    # keeps that out, and what remains is what the processes do.
    for optimizer in ("autoencoder_optimizer", "discriminator_optimizer"):
        nodes[optimizer]["params"] |= {"eps": 1e-2, "warmup": 0}
    train = nodes["autoencoder"]
    train["params"] |= {"steps": steps, "batch_size": 8, "accumulate": 2, "ema": 0.9, "log_every": 2}
    body = train["body"]["nodes"]
    body["balance"]["params"]["start"] = body["critic_loss_late"]["params"]["start"] = 2
    nodes["net"] = {"type": "small_features"}
    wires = {"network": "net", "images": "images"}
    within = {
        "real_features": {"type": "image_features", "wires": wires},
        "made_features": {"type": "image_features", "wires": wires | {"images": "reconstruction"}},
        "distance": {"type": "frechet_distance", "wires": {"real": "real_features", "generated": "made_features"}},
        "quality": {"type": "psnr", "wires": {"images": "reconstruction", "originals": "images"}},
        "told": {"type": "log_metrics", "wires": {"values": {"fid": "distance", "psnr": "quality", "nll": "nll"}}},
    }
    body["look_at_autoencoder"]["params"]["n"] = 2
    body["look_at_autoencoder"]["body"]["nodes"] |= within
    body["told_each_turn"] = {"type": "log_metrics", "wires": {"values": {"kl": "kl", "balance": "balance"}}}
    return Workflow.model_validate(tree)


def in_a_world(processes: Processes) -> dict[str, Any]:
    """The shipped graph on one process and on both, there also in two parts: last checkpoints, and what was told."""
    registry = Registry.scan(["graph_runner.zones", "nodes"])
    found: dict[str, Any] = {}
    for name, world, parts in (("one", Processes(), (6,)), ("two", processes, (6,)), ("resumed", processes, (4, 6))):
        if world.world == 1 and processes.rank > 0:
            continue
        workspace = world.agree(tempfile.mkdtemp())
        told: list[events.Event] = []
        for steps in parts:
            result = Engine(registry, workspace, processes=world).run(
                shipped(steps), targets=["autoencoder"], only=True
            )
            told += result.events
        metrics = [(each.node, each.turn, each.values) for each in told if isinstance(each, events.Metric)]
        models = {k: v.state_dict() for k, v in result.values.items() if isinstance(v, torch.nn.Module)}
        found[name] = {"metrics": metrics, "models": models}
        if world.rank == 0:
            (last,) = Path(workspace).glob("checkpoints/*/step-6")
            found[name]["state"] = load_tree(last)
            found[name]["pictures"] = [load_image(path) for path in sorted(result.folder.glob("outputs/*.png"))]
        world.agree(None)
        if world.rank == 0:
            shutil.rmtree(workspace)
    return found


@pytest.mark.slow
def test_the_shipped_two_objectives_train_on_two_processes_as_on_one(tmp_path: Path) -> None:
    first, second = in_two("tests.nodes.test_processes:in_a_world", tmp_path)
    one, two = leaves(first["one"]["state"]), leaves(first["two"]["state"])
    assert one.keys() == two.keys()
    tensors = [key for key, value in one.items() if isinstance(value, torch.Tensor)]
    weights = [key for key in tensors if not key.startswith(("/optimizers", "/curve"))]
    worst = {key: float((one[key].double() - two[key].double()).abs().max()) for key in weights}
    # Two threads in place of one move them as far: at the kinks of hinge and LeakyReLU, rounding decides on a gradient.
    # With the batch norms of half a batch they are off by .005.
    assert max(worst.values()) <= 2e-4, sorted(worst.items(), key=lambda each: -each[1])[:5]
    assert any("running_var" in key for key in tensors)
    ours, theirs = leaves(first["two"]["models"]), leaves(second["two"]["models"])
    assert all(torch.equal(ours[key], theirs[key]) for key in ours), "the processes hold different models"
    again = leaves(first["resumed"]["state"])
    assert all(torch.equal(two[key], again[key]) for key in tensors), "in two parts it became another training"
    assert len(first["one"]["metrics"]) == 6 * 2 + 4 + 3
    for (node, turn, wanted), (also, then, values) in zip(
        first["one"]["metrics"], first["two"]["metrics"], strict=True
    ):
        assert (node, turn) == (also, then)
        assert values == pytest.approx(wanted, rel=1e-4 if turn < 4 else 0.05, abs=1e-5), (node, turn)
    assert len(first["one"]["pictures"]) == 3
    for seen, wanted in zip(first["two"]["pictures"], first["one"]["pictures"], strict=True):
        assert seen.shape == wanted.shape, "not all of the batch was shown"
        assert (seen - wanted).abs().max() <= 2 / 127.5
