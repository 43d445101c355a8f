"""A package outside of the tree, built and installed as a wheel, found by its entry points alone and used from the command line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from graph_runner.format.workflow import load, write
from graph_runner.store.folders import load_tree
from tests.docs.pages import blocks
from tests.effort import cases
from tests.nodes.test_processes import leaves

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TRAIN, SAMPLE = HERE / "train.json", HERE / "sample.json"
STEPS = 120
SHOWN = {
    "class_palette": ({"data": "dataset", "seed": "int"}, ["palette"]),
    "tint_of_labels": ({"palette": "palette", "labels": "labels"}, ["conditioning"]),
    "tint": ({"palette": "palette", "names": "str"}, ["conditioning"]),
    "tinter": ({"channels": "int", "width": "int", "seed": "int"}, ["denoiser"]),
    "cosine_flow": ({}, ["schedule"]),
    "signum": ({"lr": "float", "beta": "float"}, ["optimizer"]),
    "mean_of_draws": ({"draws": "int"}, ["loss"]),
    "probe": ({"interval": "int", "draws": "int"}, []),
}
"""The package's nodes, with the types of what they take and give."""
CATALOG = """
import json
from graph_runner.catalog.describe import describe_all
from graph_runner.contract.registry import Registry
print(json.dumps(describe_all(Registry.installed().values())))
"""


@dataclass(frozen=True)
class Installed:
    """Python with the package beside what is in the tree; without it where `lib` is None."""

    lib: Path | None

    def command(self, *arguments: object) -> list[str]:
        return [sys.executable, "-m", "graph_runner", *map(str, arguments)]

    def surroundings(self) -> dict[str, str]:
        paths = [str(path) for path in (ROOT, self.lib) if path is not None]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}

    def says(self, command: list[str], code: int = 0) -> str:
        """What a command prints; it must end with this exit code."""
        done = subprocess.run(command, cwd=HERE, env=self.surroundings(), capture_output=True, text=True)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def train(self, workspace: Path, *more: str) -> list[str]:
        """The command that is given to begin, to go on, and to do nothing twice."""
        every_step = ("--log", "ledger", "--device", "cpu", "--checkpoint-seconds", "0")
        return self.command("run", TRAIN, "--workspace", workspace, *every_step, *more)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's wheel, built from a copy: a build leaves its traces where it is done. setuptools is torch's requirement."""
    source, wheels = tmp_path_factory.mktemp("source") / "package", tmp_path_factory.mktemp("wheels")
    shutil.copytree(HERE / "package", source, ignore=shutil.ignore_patterns("__pycache__"))
    pip("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", wheels, source)
    (built,) = wheels.iterdir()
    return built


@pytest.fixture(scope="module")
def outside(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel in a folder of its own."""
    lib = tmp_path_factory.mktemp("lib")
    pip("install", "--no-deps", "--no-index", "--target", lib, wheel)
    return Installed(lib)


def pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def checkpoints(workspace: Path) -> list[int]:
    return [int(path.name.removeprefix("step-")) for path in (workspace / "checkpoints").glob("*/step-*")]


def ledger(workspace: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (workspace / "ledger.jsonl").read_text().splitlines()]


def numbers(entries: list[dict[str, Any]], node: str) -> dict[int, dict[str, float]]:
    """A node's numbers by step. What was told twice, for it was done again after a kill, must be the same."""
    found: dict[int, dict[str, float]] = {}
    for entry in entries:
        if entry.get("node") == node:
            assert found.setdefault(entry["step"], entry["values"]) == entry["values"], entry
    return found


def kept(workspace: Path) -> dict[str, Any]:
    """The last checkpoint: models, averages, the optimizer's state."""
    (last,) = (workspace / "checkpoints").glob(f"*/step-{STEPS}")
    return leaves(load_tree(last))


def test_the_wheel_holds_the_package_and_names_what_it_brings(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        points = file.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    modules = {f"loom_outside/{path.name}" for path in (HERE / "package" / "loom_outside").glob("*.py")}
    assert {name for name in names if not name.startswith("loom_outside-")} == modules
    assert "[latent_loom.nodes]\noutside = loom_outside" in points
    assert "[latent_loom.listeners]\nledger = loom_outside.ledger:Ledger" in points


def test_the_page_shows_the_packages_own_file() -> None:
    (shown,) = (block for block in blocks("toml") if "[build-system]" in block.text)
    whole = tomllib.loads((HERE / "package" / "pyproject.toml").read_text())
    for table, entries in tomllib.loads(shown.text).items():
        assert entries.items() <= whole[table].items()


@pytest.mark.parametrize("workflow", [TRAIN, SAMPLE], ids=["train", "sample"])
def test_the_workflows_are_in_canonical_form(workflow: Path) -> None:
    assert write(load(workflow)) == workflow.read_text()


def test_the_canvas_is_told_its_nodes(outside: Installed) -> None:
    catalog = json.loads(outside.says([sys.executable, "-c", CATALOG]))
    nodes = {name: node for name, node in catalog["nodes"].items() if node["category"] == "outside"}
    told = {
        name: (
            {port["name"]: port["type"] for port in node["inputs"]},
            [port["type"] for port in node["outputs"]],
        )
        for name, node in nodes.items()
    }
    assert told == SHOWN
    width = next(port for port in nodes["tinter"]["inputs"] if port["name"] == "width")
    assert width["default"] == 16
    assert width["widget"] == {"kind": "number", "integer": True, "min": 2, "max": 512, "slider": True}
    assert nodes["probe"]["aside"]
    assert nodes["probe"]["body"]["results"][0]["type"] == "loss"
    assert catalog["types"]["palette"]["storable"]
    assert "palette" in outside.says(outside.command("nodes", "class_palette"))


def test_without_it_the_graph_says_what_is_missing(outside: Installed, tmp_path: Path) -> None:
    without = Installed(None)
    told = without.says(without.command("check", TRAIN, "--workspace", tmp_path), code=2)
    assert "fresh: unknown node type 'tinter'" in told
    assert "25 nodes, ready to run" in outside.says(outside.command("check", TRAIN, "--workspace", tmp_path))


def kill_after(outside: Installed, workspace: Path, step: int) -> None:
    """Begin the training, or go on with it, and kill it once it has come to a step."""
    command, quiet = outside.train(workspace), subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=HERE, env=outside.surroundings(), stdout=quiet, stderr=quiet)
    deadline = time.monotonic() + 300
    while max(checkpoints(workspace), default=0) < step and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it was killed"
    assert step <= max(checkpoints(workspace), default=0) < STEPS, "it was killed while it trained"


@pytest.mark.slow
def test_a_training_with_all_of_it_is_killed_and_resumed_to_the_same_bits(outside: Installed, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    outside.says(outside.train(whole))

    kills = cases(1, 10)
    for i in range(kills):
        kill_after(outside, killed, STEPS * (i + 1) // (kills + 2))
    before = ledger(killed)
    assert {"status": "done"}.items() <= ledger(whole)[-1].items()
    assert not any("status" in entry for entry in before), "nobody told the listener of the end"
    outside.says(outside.train(killed))

    after = ledger(killed)
    assert after[: len(before)] == before
    assert len({entry["run"] for entry in after}) == kills + 1
    assert min(entry["step"] for entry in after[len(before) :] if "step" in entry) > 1, "it began anew"
    for node, steps in (("fit", range(1, STEPS + 1)), ("look", [*range(7, STEPS, 7), STEPS])):
        told = numbers(after, node)
        assert sorted(told) == list(steps)
        assert told == numbers(ledger(whole), node)
    same(kept(killed), kept(whole))
    assert any(key.endswith("/mean") for key in kept(whole)), "the optimizer's own state is in the checkpoint"
    models = [(w / "models/outside/denoiser.safetensors").read_bytes() for w in (whole, killed)]
    assert models[0] == models[1]

    # The second run has all from the cache, the package's own wire too; its listener hears no new numbers.
    told = outside.says(outside.train(whole))
    assert "fit" in told.partition("from the cache: ")[2].splitlines()[0]
    assert sum(entry.get("node") == "fit" for entry in ledger(whole)) == STEPS

    # Both trained models give the same pictures, under the package's own condition and process.
    pictures = []
    for workspace in (whole, killed):
        file = workspace / "decoded.npy"
        sampling = ("run", SAMPLE, "--workspace", workspace, "--output", f"decoded={file}")
        assert "from the cache: palette, process" in outside.says(outside.command(*sampling))
        pictures.append(np.load(file))
    assert pictures[0].shape == (3, 3, 16, 16)
    assert np.isfinite(pictures[0]).all()
    assert np.array_equal(*pictures)
    assert not np.array_equal(pictures[0][0], pictures[0][1])


def same(found: dict[str, Any], whole: dict[str, Any]) -> None:
    assert found.keys() == whole.keys()
    for key, value in whole.items():
        assert torch.equal(value, found[key]) if isinstance(value, torch.Tensor) else value == found[key], key
