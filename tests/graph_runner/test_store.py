"""What lies on disk: whole or not at all, whatever dies in the middle."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graph_runner import store
from graph_runner.checkpoints import KEPT, Checkpoints
from graph_runner.context import Processes
from graph_runner.events import Log, Shown
from graph_runner.store import StoreError, load_meta, load_tree, save_tree, size_of, sweep

tensors = st.sampled_from(
    [
        torch.tensor(1.5),
        torch.arange(6).reshape(2, 3),
        torch.zeros(0, 3),
        torch.tensor([True, False]),
        torch.ones(3, dtype=torch.bfloat16),
        torch.arange(6.0).reshape(2, 3).t(),
        torch.ones(1).expand(4),
    ]
)
trees = st.recursive(
    tensors | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=5) | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=8,
)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return type(a) is type(b) and a == b


@settings(max_examples=40, deadline=None)
@given(tree=trees)
def test_what_was_saved_is_loaded(tree: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("store") / "tree"
    save_tree(folder, tree, {"note": 1})
    assert same(load_tree(folder), tree)
    assert load_meta(folder) == {"note": 1}


def test_tensors_that_share_memory_stay_apart(tmp_path: Path) -> None:
    whole = torch.arange(4.0)
    save_tree(tmp_path / "t", {"a": whole, "b": whole[:2], "c": whole})
    loaded = load_tree(tmp_path / "t")
    loaded["a"] += 1
    assert torch.equal(loaded["c"], whole)
    assert torch.equal(loaded["b"], whole[:2])


def test_what_cannot_be_stored_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="a set cannot be stored"):
        save_tree(tmp_path / "t", {"x": {1, 2}})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", [store.TENSORS, store.TREE])
def test_a_damaged_folder_is_named(tmp_path: Path, damage: str) -> None:
    save_tree(tmp_path / "t", [torch.ones(3)])
    (tmp_path / "t" / damage).write_bytes(b"\x00" * 20)
    with pytest.raises(StoreError, match=r"cannot read .*/t .*delete that folder and run again"):
        load_tree(tmp_path / "t")


class Killed(BaseException):
    """As sudden as a signal: no handler of the code under test runs."""


def dying(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """The process dies at the n-th thing that reaches the disk; nothing is cleaned up after it."""
    reached = [0]

    def step(original: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            reached[0] += 1
            if reached[0] > at:
                raise Killed
            return original(*args, **kwargs)

        return call

    monkeypatch.setattr(store, "save_file", step(store.save_file))
    monkeypatch.setattr(store, "_sync", step(store._sync))
    monkeypatch.setattr(Path, "rename", step(Path.rename))
    monkeypatch.setattr(store.shutil, "rmtree", step(lambda *_, **__: None))
    monkeypatch.setattr(store, "_alive", lambda pid: False)


@pytest.mark.parametrize("at", range(9))
def test_killed_at_any_moment_the_old_state_or_the_new_one_is_there(tmp_path: Path, at: int) -> None:
    folder = tmp_path / "t"
    save_tree(folder, {"state": torch.zeros(2)})
    with pytest.MonkeyPatch.context() as patch:
        dying(patch, at)
        try:
            save_tree(folder, {"state": torch.ones(2)})
        except Killed:
            assert at < 8
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_alive", lambda pid: False)
        sweep(tmp_path)
    assert load_tree(folder)["state"].unique().tolist() in ([0.0], [1.0])
    assert [entry.name for entry in tmp_path.iterdir()] == ["t"], "what was left is swept"
    if at == 0:
        assert load_tree(folder)["state"].sum() == 0


def test_sweeping_leaves_living_writers_alone(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    mine, dead = tmp_path / f".writing-{os.getpid()}-abc", tmp_path / f".writing-{ended.pid}-abc"
    mine.mkdir()
    dead.mkdir()
    (dead / "half").write_text("…")
    sweep(tmp_path)
    assert mine.exists()
    assert not dead.exists()


def test_sizes() -> None:
    class Holder:
        def __init__(self) -> None:
            self.inner = {"a": [torch.zeros(10), (torch.zeros(5, dtype=torch.float64),)]}
            self.me = self

    shared = torch.zeros(100)
    assert size_of(Holder()) == 80
    assert size_of([shared, shared]) == 400
    assert size_of(torch.nn.Linear(3, 4)) == 64
    assert size_of("text") == 0


# Checkpoints


class State:
    def __init__(self, value: float = 0.0) -> None:
        self.value = torch.tensor(value)

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value, "kind": "toy"}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value = state["value"]


def checkpoints(tmp_path: Path, **changed: Any) -> Checkpoints:
    run = tmp_path / "run"
    run.mkdir(exist_ok=True)
    told: list[Any] = []
    options = {"node": "fit", "run": run, "shown": told, "show": told.append, "ignore": False, "log": told.append}
    return Checkpoints(tmp_path / "lineage", Processes(), **(options | changed))


def test_the_newest_checkpoint_of_at_most_n_turns_is_restored(tmp_path: Path) -> None:
    kept = checkpoints(tmp_path)
    for step in (10, 20, 30):
        kept.save(step, State(step), final=True)
    for n, expected in ((100, 30), (30, 30), (29, 20), (9, 0)):
        state = State(-1)
        assert checkpoints(tmp_path).restore(state, n) == expected
        assert float(state.value) == (expected or -1)
    assert checkpoints(tmp_path, ignore=True).restore(State(), 100) == 0


def test_few_are_kept_on_the_way_and_all_at_an_end(tmp_path: Path) -> None:
    kept = checkpoints(tmp_path)
    kept.save(3, State(), final=True)
    for step in (10, 20, 30, 40):
        kept.save(step, State())
    assert kept.steps() == [3, 30, 40]
    assert KEPT == 2
    checkpoints(tmp_path).save(20, State())
    assert kept.steps() == [3, 20, 30, 40], "a shorter run removes nothing of a longer one"


def test_restoring_says_so_shows_again_and_notes_where_it_lies(tmp_path: Path) -> None:
    shown = [Shown("fit", "runs/a/outputs/before.txt", "text/plain", True)]
    first = checkpoints(tmp_path, shown=shown)
    shown.append(Shown("fit", "runs/a/outputs/look.txt", "text/plain", True, 4))
    first.save(5, State(1))
    again: list[Any] = []
    logged: list[Any] = []
    checkpoints(tmp_path, show=again.append, log=logged.append).restore(State(), 9)
    assert again == [shown[1]], "what this loop showed, and nothing of before"
    assert logged == [Log("goes on from turn 5 of an earlier run", "fit")]
    assert '"fit"' in (tmp_path / "run" / "checkpoints.json").read_text()


def test_a_checkpoint_that_was_being_written_is_passed_over(tmp_path: Path) -> None:
    checkpoints(tmp_path).save(5, State(5))
    half = tmp_path / "lineage" / ".writing-999999999-abc"
    shutil.copytree(tmp_path / "lineage" / "step-5", half)
    (half / store.TENSORS).write_bytes(b"half")
    state = State()
    assert checkpoints(tmp_path).restore(state, 9) == 5
    assert not half.exists()


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    checkpoints(tmp_path).save(5, State(5))
    (tmp_path / "lineage" / "step-5" / store.TENSORS).write_bytes(b"half")
    with pytest.raises(StoreError, match="step-5"):
        checkpoints(tmp_path).restore(State(), 9)


def test_only_the_first_process_writes(tmp_path: Path) -> None:
    other = checkpoints(tmp_path)
    other.processes = Processes(rank=1, world=2)
    other.save(5, State())
    assert not (tmp_path / "lineage").exists()
