"""One run in the process that runs graphs: what it tells, and how it looks on."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Annotated, Any

import pytest
import torch
from torch import Tensor

from graph_runner.contract import Wire, node
from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Engine
from graph_runner.store.cache import Cache
from ui import doing, worker
from ui.pictures import LATENT, Projections

Latent = Annotated[Tensor, Wire("latent", LATENT)]


@node(category="test")
def latents(n: int = 2) -> Latent:
    """Some latents."""
    return torch.ones(n, 4, 8, 8)


class Heard:
    """A channel that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def send(self, **message: Any) -> None:
        self.sent.append(message)


def run(engine: Engine, projections: Projections, **options: Any) -> list[dict[str, Any]]:
    text = json.dumps({"loom": 1, "nodes": {"z": {"type": "latents"}}})
    job = {
        "text": text,
        "targets": ["z"],
        "only": False,
        "seed": 0,
        "fresh": False,
        "check_numbers": False,
        "profile": False,
        "options": {},
        **options,
    }
    heard = Heard()
    assert doing.run(lambda _: engine, projections, job, threading.Event(), heard)  # type: ignore[arg-type]
    assert heard.sent[-1]["over"]["status"] == "done"
    return heard.sent


def test_it_looks_on_at_what_nodes_give_computed_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, projections = Engine(Registry.scan([__name__]), tmp_path), Projections()
    assert type(engine.cache) is Cache
    seen: list[tuple[int, ...]] = []
    monkeypatch.setattr(projections, "see", lambda kind, value: seen.append(tuple(value.shape)))
    for _ in range(2):
        run(engine, projections)
    assert seen == [(2, 4, 8, 8)] * 2


def test_a_run_is_profiled_where_that_is_asked_for(tmp_path: Path) -> None:
    engine, projections = Engine(Registry.scan([__name__]), tmp_path), Projections()
    run(engine, projections)
    assert not list(tmp_path.glob("runs/*/profile.json"))
    run(engine, projections, profile=True, fresh=True)
    [path] = tmp_path.glob("runs/*/profile.json")
    assert json.loads(path.read_text())["nodes"]["z"]["calls"] == 1


def test_a_device_that_tells_nothing_any_more_leaves_the_worker_listening(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: torch.device) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(worker, "DeviceMemory", broken)
    assert "used" not in worker.memory_of(torch.device("cuda"))
