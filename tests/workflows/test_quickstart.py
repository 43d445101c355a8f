"""The quickstart as shipped: what it costs, and that a classifier finds in its pictures what was asked for."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from core.data.shapes import Shapes
from graph_runner import events
from graph_runner.engine import Engine, Result
from graph_runner.registry import Registry
from graph_runner.workflow import Workflow, load, read, write
from tests.workflows.oracle import accuracy, oracle

QUICKSTART = Path(__file__).parents[2] / "workflows" / "quickstart.json"
TRAININGS = ("autoencoder", "diffusion")
SAMPLES = 256


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan(["graph_runner.zones", "nodes"])


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def computed(result: Result) -> set[str]:
    return {event.node for event in result.events if isinstance(event, events.Started)}


def from_the_command_line(workspace: Path, seed: int, *settings: str) -> tuple[set[str], Path, float]:
    """Run the shipped file as a user does: which nodes were computed, the run's folder, the process' CPU seconds."""
    command = [sys.executable, "-m", "graph_runner", str(QUICKSTART), "--workspace", str(workspace), "--device", "cpu"]
    command += ["--seed", str(seed), *(word for setting in settings for word in ("--set", setting))]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=QUICKSTART.parents[1], env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    folder = max((workspace / "runs").iterdir(), key=lambda run: run.stat().st_mtime_ns)
    lines: list[dict[str, Any]] = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    nodes = {line["node"] for line in lines if line["event"] == "started"}
    return nodes, folder, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def clearness(autoencoder: Any) -> float:
    """Mean PSNR in decibels of reconstructions of images that were not trained on."""
    images = Shapes(32, 1024, seed=99).get_batch(list(range(1024)))["images"]
    with torch.no_grad():
        error = (autoencoder.decode(autoencoder.encode(images)).clamp(-1, 1) - images) / 2
    return float(-10 * error.square().mean(dim=(1, 2, 3)).log10().mean())


def asking_for(count: int, scale: float) -> Workflow:
    """The shipped graph, sampling `count` pictures balanced by class."""
    workflow = load(QUICKSTART)
    workflow.nodes["labels_to_sample"].params["values"] = [i % 24 for i in range(count)]
    workflow.nodes["noise"].params["shape"] = [count, 4, 8, 8]
    body = workflow.nodes["sample"].body
    assert body is not None
    body.nodes["guide"].params["scale"] = scale
    return workflow


def test_it_is_canonical_and_runs_tiny(registry: Registry, tmp_path: Path) -> None:
    text = QUICKSTART.read_text()
    assert write(read(text)) == text
    workflow = load(QUICKSTART)
    workflow.nodes["shapes"].params["size"] = 128
    for zone in TRAININGS:
        workflow.nodes[zone].params["steps"] = 2
    workflow.nodes["sample"].params["steps"] = 2
    result = Engine(registry, tmp_path).run(workflow)
    assert {Path(shown.path).name for shown in result.shown} == {
        "quickstart.png",
        "reconstructions-000002.png",
        "samples-000002.png",
    }


def test_the_discriminator_is_active_in_the_last_third() -> None:
    zone = load(QUICKSTART).nodes["autoencoder"]
    assert zone.body is not None
    for id in ("balance", "critic_loss_late"):
        assert zone.body.nodes[id].params["start"] <= zone.params["steps"] * 2 / 3


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_asked_class_is_found_in_nine_of_ten_pictures(registry: Registry, tmp_path: Path, seed: int) -> None:
    spent: dict[str, float] = {}

    def watch(event: events.Event) -> None:
        if isinstance(event, events.Started | events.Finished) and event.node in TRAININGS:
            spent[event.node] = cpu_seconds() - spent.get(event.node, 0.0)

    shipped = load(QUICKSTART)
    first = Engine(registry, tmp_path).run(shipped, seed=seed, targets=["first_stage"], listeners=[watch])
    picture = first.folder / "outputs" / "quickstart.png"
    cost = sum(spent.values()) / 2

    classifier, labels = oracle(), torch.arange(SAMPLES) % 24
    found = {}
    for scale in (1.0, 3.0):
        engine = Engine(registry, tmp_path)
        images = engine.run(asking_for(SAMPLES, scale), seed=seed, targets=["decoded"], only=True).values["decoded"]
        found[scale] = accuracy(classifier, images, labels)
    print(f"\nseed {seed}: CPU seconds {spent}, which are {cost:.0f} core-pair seconds; ", end="")
    print(f"{clearness(first.values['first_stage']):.1f} dB; asked class found, by guidance scale: {found}")
    assert cost <= 300
    assert found[3.0] >= 0.9

    again, folder, took = from_the_command_line(tmp_path, seed)
    print(f"the same again: {took:.1f} CPU seconds")
    assert not again & {*TRAININGS, "latents", "sample"}
    assert (folder / "outputs" / "quickstart.png").read_bytes() == picture.read_bytes()
    assert took < 15

    guided, folder, _ = from_the_command_line(tmp_path, seed, "scale=2")
    assert "sample" in guided
    assert not guided & {*TRAININGS, "latents"}
    assert (folder / "outputs" / "quickstart.png").read_bytes() != picture.read_bytes()

    looked, _, _ = from_the_command_line(tmp_path, seed, "look_at_samples.n=77", "preview.steps=5")
    assert not looked & {*TRAININGS, "latents", "sample"}

    steps = shipped.nodes["diffusion"].params["steps"]
    longer, folder, _ = from_the_command_line(tmp_path, seed, f"unet_steps={steps + 20}")
    assert "diffusion" in longer
    assert not longer & {"autoencoder", "latents"}
    assert f"turn {steps} of an earlier run" in (folder / "events.jsonl").read_text()
