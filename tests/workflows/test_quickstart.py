"""The quickstart as shipped: what it costs, and that a classifier finds in its pictures what was asked for."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
import torch

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
    first = Engine(registry, tmp_path).run(shipped, seed=seed, listeners=[watch])
    picture = first.folder / "outputs" / "quickstart.png"
    cost = sum(spent.values()) / 2

    classifier, labels = oracle(), torch.arange(SAMPLES) % 24
    found = {}
    for scale in (1.0, 3.0):
        engine = Engine(registry, tmp_path)
        images = engine.run(asking_for(SAMPLES, scale), seed=seed, targets=["decoded"], only=True).values["decoded"]
        found[scale] = accuracy(classifier, images, labels)
    print(f"\nseed {seed}: {spent}, {cost:.0f} core-pair seconds; asked class found {found}")
    assert cost <= 300
    assert found[3.0] >= 0.9

    again = Engine(registry, tmp_path).run(shipped, seed=seed)
    assert not computed(again) & {*TRAININGS, "latents", "sample"}
    assert (again.folder / "outputs" / "quickstart.png").read_bytes() == picture.read_bytes()

    guided = load(QUICKSTART)
    assert guided.nodes["sample"].body is not None
    guided.nodes["sample"].body.nodes["guide"].params["scale"] = 2
    sampled = computed(Engine(registry, tmp_path).run(guided, seed=seed))
    assert "sample" in sampled
    assert not sampled & {*TRAININGS, "latents"}

    looked = load(QUICKSTART)
    assert looked.nodes["diffusion"].body is not None
    looked.nodes["diffusion"].body.nodes["look_at_samples"].params["n"] = 77
    assert not computed(Engine(registry, tmp_path).run(looked, seed=seed)) & {*TRAININGS, "latents"}

    longer = load(QUICKSTART)
    longer.nodes["diffusion"].params["steps"] += 5
    more = Engine(registry, tmp_path).run(longer, seed=seed)
    assert any(
        isinstance(event, events.Log) and f"turn {shipped.nodes['diffusion'].params['steps']}" in event.message
        for event in more.events
    )
