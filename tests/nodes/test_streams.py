"""A training that draws from a stream: killed, stopped, on several processes and with workers it comes to the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow, save
from graph_runner.run.engine import Engine
from graph_runner.store.folders import load_tree
from tests.nodes import toy_streams
from tests.nodes.test_dry import estimate
from tests.nodes.test_processes import leaves
from tests.world import free_port

ROOT = Path(__file__).parents[2]
KINDS: dict[str, Callable[[Path, int, int], None]] = {
    "toy_tar_stream": toy_streams.write_tars,
    "toy_parquet_stream": toy_streams.write_parquets,
}


def workflow(kind: str, steps: int, workers: int = 0, batch_size: int = 8) -> Workflow:
    own = "fit.models.autoencoder"
    body = {
        "images": {"type": "batch_images", "wires": {"batch": "fit.batch"}},
        "z": {"type": "encode", "wires": {"autoencoder": own, "images": "images"}},
        "again": {"type": "decode", "wires": {"autoencoder": own, "z": "z"}},
        "nll": {"type": "reconstruction_loss", "wires": {"a": "again", "b": "images"}},
        "objective": {"type": "objective", "wires": {"loss": "nll", "models": [own], "optimizer": "adam"}},
    }
    tiny = {"model_channels": 8, "channel_mult": [1, 2], "num_res_blocks": 1, "norm_groups": 4, "mid_attention": False}
    nodes: dict[str, Any] = {
        "stream": {"type": kind, "params": {"path": "pictures"}},
        "shuffled": {"type": "shuffle_stream", "wires": {"stream": "stream"}, "params": {"buffer": 40, "parts": 4}},
        "autoencoder0": {"type": "kl_autoencoder", "params": tiny},
        "adam": {"type": "adamw", "params": {"lr": 0.001}},
        "fit": {
            "type": "train",
            "wires": {"data": "shuffled", "models": {"autoencoder": "autoencoder0"}},
            "params": {"steps": steps, "batch_size": batch_size, "accumulate": 2, "workers": workers},
            "body": {"nodes": body, "results": {"objectives": ["objective"]}},
        },
    }
    exposed = {"outputs": {"model": "fit.models.autoencoder"}}
    return Workflow.model_validate({"loom": 1, "title": "stream", "nodes": nodes, "exposed": exposed})


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan(["graph_runner.zones", "nodes", "tests.nodes.toy_streams"])


def start(workspace: Path, path: Path, *launcher: str) -> subprocess.Popen[bytes]:
    command = [*launcher, "-m", "graph_runner", "run", str(path), "--workspace", str(workspace), "--device", "cpu"]
    command += ["--nodes", "tests.nodes.toy_streams", "--to", "fit.models.autoencoder", "--checkpoint-seconds", "0"]
    with (workspace / "told.txt").open("ab") as told:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, stdout=told, stderr=told)


def newest(workspace: Path) -> int:
    steps = [int(path.name.removeprefix("step-")) for path in (workspace / "checkpoints").glob("*/step-*")]
    return max(steps, default=0)


def last_state(workspace: Path) -> Any:
    (lineage,) = (workspace / "checkpoints").iterdir()
    return load_tree(lineage / f"step-{newest(workspace)}")


def same(a: Any, b: Any) -> bool:
    left, right = leaves(a), leaves(b)
    equal = [torch.equal(x, right[key]) if isinstance(x, torch.Tensor) else x == right[key] for key, x in left.items()]
    return left.keys() == right.keys() and all(equal)


@pytest.mark.parametrize("kind", KINDS)
def test_more_steps_go_on_from_fewer_as_if_never_stopped(kind: str, registry: Registry, tmp_path: Path) -> None:
    states = []
    for name, lengths in (("whole", [7]), ("parts", [3, 7])):
        KINDS[kind](tmp_path / name / "pictures", 5, 9)
        for steps in lengths:
            result = Engine(registry, tmp_path / name).run(workflow(kind, steps), targets=["model"])
            assert result.status == "done", result.error
        states.append(last_state(tmp_path / name))
    assert same(*states)
    assert states[0]["data"]["positions"].keys() == {"0", "1", "2", "3"}


def test_the_dry_run_goes_through_a_stream(registry: Registry, tmp_path: Path) -> None:
    toy_streams.write_parquets(tmp_path / "pictures", 5, 9)
    graph = workflow("toy_parquet_stream", 5)
    graph.nodes["stream"].params["path"] = str(tmp_path / "pictures")
    found = estimate(graph, registry)
    assert not found.problems
    assert found.nodes["images"].gives["image"] == "8×3×16×16"


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("kind", "workers"), [("toy_tar_stream", 2), ("toy_parquet_stream", 0)])
def test_kills_change_no_bit(kind: str, workers: int, tmp_path: Path) -> None:
    for name in ("whole", "killed"):
        KINDS[kind](tmp_path / name / "pictures", 5, 9)
    save(workflow(kind, 60, workers), tmp_path / "killed.json")
    save(workflow(kind, 60), tmp_path / "whole.json")
    assert start(tmp_path / "whole", tmp_path / "whole.json").wait() == 0
    for _ in range(3):
        before = newest(tmp_path / "killed")
        process = start(tmp_path / "killed", tmp_path / "killed.json")
        while newest(tmp_path / "killed") <= before + 3 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert 0 < newest(tmp_path / "killed") < 60, (tmp_path / "killed" / "told.txt").read_text()[-3000:]
    assert start(tmp_path / "killed", tmp_path / "killed.json").wait() == 0
    assert same(last_state(tmp_path / "whole"), last_state(tmp_path / "killed"))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_processes_draw_what_one_does_and_one_goes_on_from_them(tmp_path: Path) -> None:
    for name in ("one", "two"):
        toy_streams.write_tars(tmp_path / name / "pictures", 5, 9)
    save(workflow("toy_tar_stream", 6), tmp_path / "6.json")
    save(workflow("toy_tar_stream", 9), tmp_path / "9.json")
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1"]
    torchrun += ["--master-port", str(free_port())]
    assert start(tmp_path / "one", tmp_path / "9.json").wait() == 0
    assert start(tmp_path / "two", tmp_path / "6.json", *torchrun).wait() == 0
    assert last_state(tmp_path / "two")["steps"] == 6
    assert start(tmp_path / "two", tmp_path / "9.json").wait() == 0
    one, two = (leaves(last_state(tmp_path / name)["models"]) for name in ("one", "two"))
    assert max(float((one[key] - two[key]).abs().max()) for key in one) < 1e-5
