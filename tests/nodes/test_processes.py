"""Several processes train as one does (`torchrun`, gloo)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from graph_runner.store import load_tree
from graph_runner.workflow import Workflow, save

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
        timeout=240,
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
        "29517",
    ]
    together = leaves(train(tmp_path / "two", tmp_path / "gan.json", *two))
    assert alone.keys() == together.keys()
    tensors = [key for key, value in alone.items() if isinstance(value, torch.Tensor)]
    assert len(tensors) > 20, "models, averages and both optimizers' states"
    worst = max(float((alone[key].double() - together[key].double()).abs().max()) for key in tensors)
    assert worst <= 1e-6
    moved = {key: float(alone[key].abs().max()) for key in tensors if "exp_avg" in key and "sq" not in key}
    assert all(moved.values()), moved
