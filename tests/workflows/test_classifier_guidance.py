"""Classifier guidance as shipped: it runs small, and trained it leads a denoiser that is told nothing to the class asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow, load
from graph_runner.run.engine import Engine
from tests.effort import cases
from tests.workflows.conftest import Check
from tests.workflows.oracle import accuracy, oracle
from tests.workflows.test_tasks import SMALL, changed, shown

SHIPPED = Path(__file__).parents[2] / "workflows" / "classifier_guidance.json"
CLASSES = 24


def test_it_trains_guides_and_saves(registry: Registry, tmp_path: Path, golden: Check) -> None:
    result = Engine(registry, tmp_path).run(changed("classifier_guidance", SMALL | {"free": {"steps": 2}}))
    assert shown(result) == {"classifier_guidance.png"}
    assert (tmp_path / "models" / "classifier_guidance" / "classifier.safetensors").exists()
    golden("classifier_guidance", result)


def asking(count: int, training_seed: int, seed: int) -> Workflow:
    """The shipped graph, asking for all classes in turn in `count` pictures."""
    workflow = load(SHIPPED)
    workflow.nodes["training"].params["seed"] = training_seed
    workflow.nodes["wanted"].params["classes"] = [i % CLASSES for i in range(count)]
    workflow.nodes["noise"].params |= {"shape": [count, 4, 8, 8], "seed": seed}
    for zone in ("sample", "free"):
        workflow.nodes[zone].params["steps"] = 50
    return workflow


@pytest.mark.slow
def test_the_class_asked_for_is_found_in_its_pictures(registry: Registry, tmp_path: Path) -> None:
    """Found by a classifier of clean pictures that had no part in the guidance; chance finds 1 of 24."""
    count, engine, judge = 2 * CLASSES, Engine(registry, tmp_path), oracle()
    asked = torch.arange(count) % CLASSES
    for seed in range(1, cases(2, 4)):
        found = engine.run(asking(count, seed, 10 + seed), targets=["decoded", "decoded_free"], only=True).values
        guided, free = (accuracy(judge, found[name], asked) for name in ("decoded", "decoded_free"))
        print(f"training seed {seed}: guided {guided:.3f}, unguided {free:.3f}")
        assert guided > 0.6
        assert free < 0.2
        assert accuracy(judge, found["decoded"], asked.roll(1)) < 0.2, "the pictures are of any class"
