"""The small trained model that ships: it draws in an empty workspace, says how it was made, and shows what was asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from core.checkpoints.weights import read_metadata
from graph_runner.bind.paths import SHIPPED
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import load
from graph_runner.run.engine import Engine
from tests.workflows.oracle import accuracy, oracle
from tests.workflows.test_quickstart import SAMPLES, asking_for

FOLDER = SHIPPED / "models" / "quickstart"
NAMES = ("autoencoder", "embedder", "unet")


@pytest.mark.parametrize("name", ["sample", "langevin"])
def test_an_empty_workspace_draws_with_it(name: str, registry: Registry, tmp_path: Path) -> None:
    workflow = load(SHIPPED / f"{name}.json")
    for id, changes in {"sample": {"steps": 2}, "walk": {"iterations": 2}}.items():
        if id in workflow.nodes:
            workflow.nodes[id].params.update(changes)
    result = Engine(registry, tmp_path).run(workflow)
    assert any(not shown.preview for shown in result.shown)


def test_its_files_are_small_and_say_how_they_were_made() -> None:
    assert sorted(path.stem for path in FOLDER.iterdir()) == sorted(NAMES)
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 5e6
    for name in NAMES:
        about = json.loads(read_metadata(FOLDER / f"{name}.safetensors")["latent_loom"])["about"]
        assert (SHIPPED.parent / about["trained by"]).is_file()
        assert about["asked class found, by guidance scale"]["3"] >= 0.9


# .988 of 256 were found where it was made.
@pytest.mark.slow
def test_what_was_asked_is_found_in_its_pictures(registry: Registry, tmp_path: Path) -> None:
    asked = asking_for(SAMPLES, 3.0, SHIPPED / "sample.json")
    images = Engine(registry, tmp_path).run(asked, targets=["decoded"], only=True).values["decoded"]
    assert accuracy(oracle(), images, torch.arange(SAMPLES) % 24) >= 0.9
