"""Damaged cache entries and checkpoints: computed anew or passed over, told, and never silently wrong or the end of a run."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from graph_runner.base import events
from graph_runner.context import Processes
from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Engine
from graph_runner.store.checkpoints import Checkpoints
from tests import damages
from tests.effort import cases
from tests.graph_runner.drawing import noted, run_in
from tests.graph_runner.toys import CALLS


class State:
    def __init__(self, seed: int = 0) -> None:
        self.load_state_dict({"weights": torch.full((30,), float(seed)), "steps": [seed, str(seed), seed / 3]})

    def state_dict(self) -> dict[str, Any]:
        return self.state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.state = state

    def same(self, seed: int) -> bool:
        other = State(seed).state
        return torch.equal(self.state["weights"], other["weights"]) and self.state["steps"] == other["steps"]


def checkpoints(folder: Path, told: list[Any]) -> Checkpoints:
    run = folder.parent / "run"
    run.mkdir(parents=True, exist_ok=True)
    return Checkpoints(
        folder, Processes(), node="fit", run=run, shown=[], show=told.append, ignore=False, log=told.append
    )


def test_no_damage_to_the_cache_is_wrong_or_fatal(registry: Registry, tmp_path: Path) -> None:
    nodes: dict[str, Any] = {
        "v": {"type": "vector", "params": {"values": [1.0] * 40}},
        "w": {"type": "vector", "params": {"values": [2.0] * 40}},
        "k": noted("v", "k", "kept"),
        "l": noted("w", "l", "kept"),
        "sum": {"type": "add", "wires": {"a": "k", "b": "l"}},
    }
    run_in(Engine(registry, tmp_path), nodes, "sum")
    chance = random.Random(1)
    shutil.copytree(tmp_path / "cache", tmp_path / "whole")
    again = 0
    for _ in range(cases(100, 1000)):
        shutil.rmtree(tmp_path / "cache")
        shutil.copytree(tmp_path / "whole", tmp_path / "cache")
        entries = sorted((tmp_path / "cache").iterdir())
        chance.shuffle(entries)
        file = chance.choice(sorted(entries[0].iterdir()))
        done = damages.any_damage(chance, file, entries[1] / file.name)
        result = run_in(Engine(registry, tmp_path), nodes, "sum")
        assert result.values["sum"].eq(3).all(), done
        warned = [event.node for event in result.events if isinstance(event, events.Log) and event.level == "warning"]
        assert sorted(warned) == sorted(CALLS), f"{done}: what is computed anew is told"
        again += bool(CALLS)
        run_in(Engine(registry, tmp_path), nodes, "sum")
        assert CALLS == [], done
        shutil.rmtree(tmp_path / "runs")
    assert again > cases(80, 800)


def test_no_damage_to_a_checkpoint_is_wrong_or_fatal(tmp_path: Path) -> None:
    for name, seeds in (("mine", (10, 20, 30)), ("other", (11, 21, 31))):
        for step, seed in zip((10, 20, 30), seeds, strict=True):
            checkpoints(tmp_path / "whole" / name, []).save(step, State(seed), final=True)
    chance = random.Random(2)
    passed_over = 0
    for _ in range(cases(150, 1500)):
        shutil.rmtree(tmp_path / "now", ignore_errors=True)
        shutil.copytree(tmp_path / "whole", tmp_path / "now")
        lineage = tmp_path / "now" / "mine"
        step = chance.choice([20, 30, 30])
        file = chance.choice(sorted((lineage / f"step-{step}").iterdir()))
        other = chance.choice([lineage / "step-10", tmp_path / "now" / "other" / f"step-{step}"])
        done = damages.any_damage(chance, file, other / file.name)
        state, told = State(), list[Any]()
        found = checkpoints(lineage, told).restore(state, 100)
        assert found in (10, 20, 30), done
        assert state.same(found), done
        warned = [event.message for event in told if event.level == "warning"]
        assert bool(warned) == (found < 30), done
        assert all(str(lineage / "step-30") in message for message in warned[:1])
        passed_over += found < 30
        checkpoints(lineage, []).save(40, State(40))
        assert checkpoints(lineage, []).restore(State(), 100) == 40, done
    assert passed_over > cases(70, 700)


@pytest.mark.parametrize("swapped", ["step-30", "step-20"])
def test_whole_checkpoints_under_each_others_names_are_found_out(tmp_path: Path, swapped: str) -> None:
    for name, seed in (("mine", 0), ("other", 1)):
        for step in (10, 20, 30):
            checkpoints(tmp_path / name, []).save(step, State(step + seed), final=True)
    other = tmp_path / ("other/step-30" if swapped == "step-30" else "mine/step-20")
    damages.swap(tmp_path / "mine" / "step-30", other)
    state = State()
    found = checkpoints(tmp_path / "mine", []).restore(state, 100)
    assert found == (20 if swapped == "step-30" else 10)
    assert state.same(found)


@pytest.mark.parametrize("place", ["cache", "checkpoints", "checkpoints/LINEAGE", "checkpoints/LINEAGE/lock"])
def test_what_stands_in_the_way_of_a_store_ends_no_run(registry: Registry, tmp_path: Path, place: str) -> None:
    """A file where a folder should be, and a folder where a file should be."""
    body = {"nodes": {"twice": {"type": "add", "wires": {"a": "z.x", "b": "z.x"}}}, "results": {"number": "twice"}}
    nodes = {
        "one": {"type": "number", "params": {"value": 1}},
        "z": {"type": "counted", "wires": {"x": "one"}, "params": {"n": 4}, "body": body},
    }
    run_in(Engine(registry, tmp_path), nodes, "z")
    [lineage] = (tmp_path / "checkpoints").iterdir()
    shutil.rmtree(tmp_path / "cache")
    path = tmp_path / place.replace("LINEAGE", lineage.name)
    if place.endswith("lock"):
        path.unlink()
        path.mkdir()
    else:
        shutil.rmtree(path, ignore_errors=True)
        path.write_text("in the way")
    nodes["z"]["params"]["n"] = 6  # type: ignore[index]
    result = run_in(Engine(registry, tmp_path), nodes, "z")
    assert float(result.values["z"]) == 64
    told = [event.message for event in result.events if isinstance(event, events.Log) and event.level == "warning"]
    assert any(str(path) in message for message in told), told
