"""`encode_dataset` on the engine: shards in the cache, killed, damaged, shared, forgotten, and of caches before it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from core.checksums import checksum
from core.data.latents import LatentData
from core.data.shapes import Shapes
from core.data.shards import ShardedData
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow, save
from graph_runner.run.engine import Engine, Result
from graph_runner.store.folders import load_meta, load_tree, save_tree
from graph_runner.store.space import forgettable
from nodes.wires import LatentDataCodec
from tests import damages
from tests.nodes import toy_encoded
from tests.world import free_port

ROOT = Path(__file__).parents[2]
SMALL = {"model_channels": 8, "channel_mult": [1, 2], "num_res_blocks": 1, "norm_groups": 4, "mid_attention": False}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan(["graph_runner.zones", "nodes", "tests.nodes.toy_encoded"])


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.data.shard_writer.SHARD_BYTES", toy_encoded.SMALL)


def workflow(size: int = 200, **params: Any) -> Workflow:
    nodes: dict[str, Any] = {
        "shapes": {"type": "shapes_dataset", "params": {"size": size, "resolution": 16}},
        "autoencoder": {"type": "kl_autoencoder", "params": SMALL},
        "latents": {
            "type": "encode_dataset",
            "params": {"batch_size": 8, **params},
            "wires": {"autoencoder": "autoencoder", "data": "shapes"},
        },
    }
    return Workflow.model_validate({"loom": 1, "nodes": nodes})


def run(registry: Registry, workspace: Path, graph: Workflow, **settings: Any) -> Result:
    result = Engine(registry, workspace).run(graph, targets=["latents"], **settings)
    assert result.status == "done", result.error
    return result


def computed(result: Result) -> list[str]:
    return [event.node for event in result.events if type(event).__name__ == "Started"]


def told(result: Result) -> str:
    return " ".join(event.message for event in result.events if type(event).__name__ == "Log")


def same(a: Any, b: Any) -> bool:
    x, y = a.get_batch(range(len(a))), b.get_batch(range(len(b)))
    return x.keys() == y.keys() and all(torch.equal(x[n], y[n]) if n != "captions" else x[n] == y[n] for n in x)


def shards(workspace: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in workspace.glob("cache/*/files/shard-*")}


def test_shards_lie_in_the_cache_and_hold_what_memory_would(registry: Registry, tmp_path: Path) -> None:
    first = run(registry, tmp_path, workflow())
    data = first.values["latents"]
    assert isinstance(data, ShardedData)
    assert len(shards(tmp_path)) > 2
    again = run(registry, tmp_path, workflow())
    assert computed(again) == []
    assert same(data, again.values["latents"])
    [entry] = (tmp_path / "cache").glob("*/tree.json")
    [kept] = [kept for kept in forgettable(tmp_path) if kept.path == entry.parent]
    assert kept.size > sum(path.stat().st_size for path in entry.parent.glob("files/*"))
    # and an entry that an earlier version made, in memory and whole:
    batch = data.get_batch(range(200))
    std = torch.ones_like(batch["latents"])
    old = LatentDataCodec().save(LatentData(batch, std, Shapes.classes))
    tree = load_tree(entry.parent)
    [[port, name, _]] = tree
    meta = load_meta(entry.parent)
    shutil.rmtree(entry.parent)
    save_tree(entry.parent, [[port, name, old]], meta)
    found = run(registry, tmp_path, workflow())
    assert computed(found) == []
    assert isinstance(found.values["latents"], LatentData)
    assert same(found.values["latents"], data)


def test_a_damaged_shard_is_named_and_it_alone_encoded_anew(registry: Registry, tmp_path: Path) -> None:
    data = run(registry, tmp_path, workflow()).values["latents"]
    whole, before = data.get_batch(range(200))["latents"], shards(tmp_path)
    [damaged] = tmp_path.glob("cache/*/files/shard-00001.safetensors")
    damages.flip(damaged, -9)
    again = run(registry, tmp_path, workflow())
    assert f"{damaged} is damaged, or another's, and is encoded anew" in told(again)
    assert "latents" in computed(again)
    assert torch.equal(again.values["latents"].get_batch(range(200))["latents"], whole)
    after = shards(tmp_path)
    assert {name for name in before if before[name] != after[name]} == {damaged.name}
    assert computed(run(registry, tmp_path, workflow())) == []


def test_fresh_encodes_all_of_it_again(registry: Registry, tmp_path: Path) -> None:
    run(registry, tmp_path, workflow())
    files = sorted(tmp_path.glob("cache/*/files/*"))
    (files[0].parent / "stray").touch()
    before = time.time_ns()
    run(registry, tmp_path, workflow(), fresh=True)
    assert sorted(tmp_path.glob("cache/*/files/*")) == files
    assert all(path.stat().st_mtime_ns > before - 10**8 for path in files)  # a tick of the file system's clock


def test_half_storage_is_another_value(registry: Registry, tmp_path: Path) -> None:
    whole = run(registry, tmp_path, workflow()).values["latents"].get_batch([5, 9])["latents"]
    half = run(registry, tmp_path, workflow(half=True)).values["latents"].get_batch([5, 9])["latents"]
    assert torch.equal(half, whole.half().float())
    assert computed(run(registry, tmp_path, workflow(half=False, workers=2))) == []


def test_encoded_data_can_be_handed_in(registry: Registry, tmp_path: Path) -> None:
    data = run(registry, tmp_path / "a", workflow()).values["latents"]
    graph = workflow()
    graph.nodes["batch"] = graph.nodes["latents"].model_copy(
        update={"type": "take_batch", "params": {"count": 3}, "wires": {"data": "latents"}}
    )
    engine = Engine(registry, tmp_path / "b")
    for _ in range(2):
        result = engine.run(graph, targets=["batch"], inputs={"latents": data})
        assert torch.equal(result.values["batch"]["latents"], data.get_batch(range(3))["latents"])
    assert computed(result) == []  # of the same content


def test_calls_in_a_loop_have_folders_of_their_own(registry: Registry, tmp_path: Path) -> None:
    body = {
        "nodes": {"where": {"type": "own_folder", "wires": {"number": "each.item.number"}}},
        "results": {"folder": "where"},
    }
    nodes = {
        "each": {"type": "for_each", "params": {"over": {"number": [1, 2]}}, "body": body},
        "top": {"type": "own_folder"},
    }
    graph = Workflow.model_validate({"loom": 1, "nodes": nodes})
    result = Engine(registry, tmp_path).run(graph, targets=["each.folder", "top"])
    assert result.status == "done", result.error
    folders = [*result.values["each.folder"], result.values["top"]]
    assert len(set(folders)) == 3
    assert all(Path(folder).is_relative_to(tmp_path / "cache") for folder in folders)
    again = Engine(registry, tmp_path).run(graph, targets=["each.folder", "top"], fresh=True)
    assert [*again.values["each.folder"], again.values["top"]] == folders


def start(workspace: Path, path: Path, *launcher: str) -> subprocess.Popen[bytes]:
    command = [*launcher, "-m", "graph_runner", "run", str(path), "--workspace", str(workspace), "--device", "cpu"]
    command += ["--nodes", "tests.nodes.toy_encoded", "--to", "latents"]
    with (workspace / "told.txt").open("ab") as told:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, stdout=told, stderr=told)


def files(workspace: Path) -> dict[str, str]:
    """Their checksums: a difference is told by name."""
    return {path.name: checksum(path) for path in workspace.glob("cache/*/files/*")}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_in_the_middle_it_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    for name in ("whole", "killed", "two"):
        (tmp_path / name).mkdir()
    path = tmp_path / "encode.json"
    save(workflow(4000), path)
    assert start(tmp_path / "whole", path).wait() == 0
    kept: dict[str, int] = {}
    for _ in range(2):
        process = start(tmp_path / "killed", path)
        while len(shards(tmp_path / "killed")) <= len(kept) + 2 and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        now = shards(tmp_path / "killed")
        assert now.items() >= kept.items(), "what was whole was not written again"
        kept = now
    assert len(kept) < len(shards(tmp_path / "whole")), (tmp_path / "killed" / "told.txt").read_text()[-2000:]
    assert start(tmp_path / "killed", path).wait() == 0
    assert shards(tmp_path / "killed").items() >= kept.items()
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1"]
    assert start(tmp_path / "two", path, *torchrun, "--master-port", str(free_port())).wait() == 0
    assert files(tmp_path / "two") == files(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_million_samples_are_trained_from_in_little_memory(tmp_path: Path) -> None:
    """4 GB of latents, shuffled: a training of them, and then a whole epoch of batches, in a process whose memory is read."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tests.nodes.million", str(tmp_path)],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        told = dict(line.split(": ") for line in done.stdout.splitlines())
        assert int(told["bytes on disk"]) >= 4 * 10**9
        assert int(told["samples seen"]) == 1_000_000
        assert int(told["largest RssAnon"]) < 10**9
        assert int(told["RssAnon grew in the epoch"]) < 10**8
    finally:
        shutil.rmtree(tmp_path)
