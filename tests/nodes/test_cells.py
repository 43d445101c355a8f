"""Data sets, models and losses of a notebook's cells: they train, are found again, and go on after a stop; or it is told why not."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch

import graph_runner
from graph_runner.base import events
from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Engine, Result
from tests.graph_runner.compile.test_live import Notebook

CELLS = (
    """
import torch
from torch import nn

from core.models.registry import model
from graph_runner.contract import node
from nodes.wires import Batch, Denoiser, Loss
""",
    """
class Greys:
    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        return {"latent": torch.full((2, 4, 4), i / self.count)}

    def content_key(self):
        return [1, self.count]
""",
    """
@model
class Scaled(nn.Module):
    def __init__(self, start: float = 2.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(start))

    def forward(self, z):
        return z * self.weight


@node(category="mine")
def scaled(start: float = 2.0) -> Denoiser:
    '''A model of one weight.'''
    return Scaled(start)
""",
    """
POWER = 2


@node(category="mine")
def my_loss(batch: Batch, model: Denoiser) -> Loss:
    '''How far the scaled latents are from themselves.'''
    z = batch["latents"]
    return (model(z) - z).abs().pow(POWER).mean()
""",
)
GRAPH = {
    "nodes": {
        "data": {"type": "shapes_dataset"},
        "model": {"type": "scaled"},
        "optimizer": {"type": "adamw", "params": {"lr": 0.1}},
        "fit": {
            "type": "train",
            "params": {"steps": 4, "batch_size": 2},
            "wires": {"data": "data", "models": {"m": "model"}},
            "body": {
                "nodes": {
                    "loss": {"type": "my_loss", "wires": {"batch": "fit.batch", "model": "fit.models.m"}},
                    "aim": {
                        "type": "objective",
                        "wires": {"loss": "loss", "models": ["fit.models.m"], "optimizer": "optimizer"},
                    },
                },
                "results": {"objectives": ["aim"]},
            },
        },
    }
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.installed()


@pytest.fixture
def notebook() -> Notebook:
    made = Notebook()
    for cell in CELLS:
        made.cell(cell)
    return made


def fitted(notebook: Notebook, registry: Registry, folder: Path, data: Any, **options: Any) -> Result:
    """Train as a program would that was just started: nothing is in memory."""
    own = [notebook["scaled"], notebook["my_loss"], notebook["Scaled"]]
    fit = graph_runner.open(GRAPH, engine=Engine(registry, folder), nodes=own, outputs=["fit.models.m"])
    return fit.options(**options)(data=data)


def cached(result: Result) -> set[str]:
    return {event.node for event in result.events if isinstance(event, events.Cached)}


def test_a_training_of_cells_is_found_again_and_a_changed_loss_trains_anew(
    notebook: Notebook, registry: Registry, tmp_path: Path
) -> None:
    first = fitted(notebook, registry, tmp_path, notebook["Greys"](8))
    assert cached(first) == set()
    again = fitted(notebook, registry, tmp_path, notebook["Greys"](8))
    assert cached(again) == {"fit"}
    assert torch.equal(first["fit.models.m"].weight, again["fit.models.m"].weight)
    notebook.cell("POWER = 4")
    other = fitted(notebook, registry, tmp_path, notebook["Greys"](8))
    assert cached(other) == set()
    assert not torch.equal(first["fit.models.m"].weight, other["fit.models.m"].weight)


def test_it_goes_on_after_a_stop_to_the_same_bits(notebook: Notebook, registry: Registry, tmp_path: Path) -> None:
    whole = fitted(notebook, registry, tmp_path / "whole", notebook["Greys"](8))["fit.models.m"]
    stop = threading.Event()

    def stopping(event: events.Event) -> None:
        if isinstance(event, events.Metric):
            stop.set()

    asked = {"stop": stop, "listeners": [stopping], "checkpoint_seconds": 0.0}
    stopped = fitted(notebook, registry, tmp_path / "cut", notebook["Greys"](8), **asked)
    assert stopped.status == "stopped"
    on = fitted(notebook, registry, tmp_path / "cut", notebook["Greys"](8))
    assert on.status == "done"
    assert len([event for event in on.events if isinstance(event, events.Metric)]) == 1, (
        "the first step is not done again"
    )
    assert torch.equal(on["fit.models.m"].weight, whole.weight)


def test_data_without_a_content_is_trained_on_and_told(notebook: Notebook, registry: Registry, tmp_path: Path) -> None:
    notebook.cell("class Unknown(Greys):\n    content_key = None\n")
    result = fitted(notebook, registry, tmp_path, notebook["Unknown"](8))
    assert result.status == "done"
    told = [event.message for event in result.events if isinstance(event, events.Log) and event.level == "warning"]
    assert any(sentence.startswith("the content of the input data cannot be seen: ") for sentence in told)
    assert cached(fitted(notebook, registry, tmp_path, notebook["Unknown"](8))) == set()
