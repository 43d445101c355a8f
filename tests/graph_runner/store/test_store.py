"""What lies on disk: whole or not at all, whatever dies in the middle."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graph_runner.base import files
from graph_runner.base.events import Log, Shown
from graph_runner.context import Processes
from graph_runner.store import folders
from graph_runner.store.checkpoints import KEPT, Checkpoints
from graph_runner.store.folders import StoreError, load_meta, load_tree, save_tree
from graph_runner.store.host import size_of
from tests import crashes

ROOT = Path(__file__).parents[3]

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


@pytest.mark.parametrize("damage", [folders.TENSORS, folders.TREE])
def test_a_damaged_folder_is_named(tmp_path: Path, damage: str) -> None:
    save_tree(tmp_path / "t", [torch.ones(3)])
    (tmp_path / "t" / damage).write_bytes(b"\x00" * 20)
    with pytest.raises(StoreError, match=r"cannot read .*/t .*delete that folder and run again"):
        load_tree(tmp_path / "t")


def placed(tmp_path: Path) -> tuple[Path, Callable[[float], None]]:
    folder = tmp_path / "store" / "t"
    return folder, lambda value: save_tree(folder, {"state": torch.full((40,), float(value))})


@pytest.mark.parametrize("exchange", [True, False], ids=["at once", "in two steps"])
def test_killed_at_any_moment_the_old_state_or_the_new_one_is_there(
    tmp_path: Path, exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchange:  # another system than Linux, or a file system that cannot
        monkeypatch.setattr(files, "_exchanged", lambda a, b: False)
    folder, write = placed(tmp_path)

    def start() -> None:
        shutil.rmtree(folder.parent, ignore_errors=True)
        write(0)

    found = set()
    for how in crashes.every_death(lambda: write(1), start):
        if exchange:
            assert load_tree(folder), f"{how}: not even for an instant it is away"
        files.sweep(folder.parent)
        found.add(float(load_tree(folder)["state"].mean()))
        assert [entry.name for entry in folder.parent.iterdir()] == ["t"], f"{how}: what was left is swept"
    assert found == {0.0, 1.0}


def test_a_disk_that_refuses_leaves_all_as_it_was(tmp_path: Path) -> None:
    folder, write = placed(tmp_path)
    for n in range(1, crashes.steps(lambda: write(0)) + 1):
        write(0)
        full = OSError(errno.ENOSPC, "No space left on device")
        assert crashes.refused_at(n, full, lambda: write(1))
        assert load_tree(folder)["state"].unique().tolist() in ([0.0], [1.0])
        files.sweep(folder.parent)
        assert crashes.leftovers(tmp_path) == []


def test_sweeping_leaves_living_writers_alone(tmp_path: Path) -> None:
    """Also those of another container, whose process number says nothing here, or belongs to somebody else."""
    writing, done = tmp_path / "writing", tmp_path / "done"
    child = os.fork()
    if child == 0:
        with files.atomic_folder(tmp_path / "theirs") as temporary:
            (temporary / "half").write_text("and the other half")
            writing.touch()
            while not done.exists():
                time.sleep(0.01)
        os._exit(0)
    while not writing.exists():
        time.sleep(0.01)
    for name in (f".writing-{child}-abc", ".writing-1-abc", f".writing-{os.getpid()}-abc"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").write_text("…")
    with files.atomic_file(tmp_path / "mine") as temporary:
        files.sweep(tmp_path)
        assert len(crashes.leftovers(tmp_path)) == 2, "theirs, in the making, and mine"
        temporary.write_text("whole")
    done.touch()
    os.waitpid(child, 0)
    assert (tmp_path / "theirs" / "half").read_text() == "and the other half"
    assert crashes.leftovers(tmp_path) == []


def test_where_locks_are_unknown_only_what_is_old_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "fcntl", None)
    for name, days in (("new", 0), ("old", 2)):
        leftover = tmp_path / f".writing-{name}"
        leftover.mkdir()
        os.utime(leftover, (time.time() - days * files.ABANDONED_SECONDS,) * 2)
    files.sweep(tmp_path)
    assert crashes.leftovers(tmp_path) == [".writing-new"]


def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    """A folder kept on a larger disk."""
    (tmp_path / "large").mkdir()
    folder = tmp_path / "small" / "t"
    folder.parent.mkdir()
    folder.symlink_to(tmp_path / "large" / "t")
    for value in (1.0, 2.0):
        with files.atomic_folder(folder) as temporary:
            (temporary / "value").write_text(str(value))
        assert folder.is_symlink()
        assert (tmp_path / "large" / "t" / "value").read_text() == str(value)


def test_removing_something_hides_it_first(tmp_path: Path) -> None:
    folder, write = placed(tmp_path)

    def start() -> None:
        shutil.rmtree(folder.parent, ignore_errors=True)
        write(0)

    for how in crashes.every_death(lambda: files.remove(folder), start):
        files.sweep(folder.parent)
        assert not folder.exists() or load_tree(folder), how
        assert crashes.leftovers(tmp_path) == []


def test_core_writes_files_as_the_engine_does() -> None:
    for name in ("files", "checksums"):
        ours, theirs = (Path(f"{package}/{name}.py") for package in ("graph_runner/base", "core"))
        assert (ROOT / ours).read_text() == (ROOT / theirs).read_text(), f"{ours} and {theirs} are one text"


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
    assert logged == [Log("goes on from step 5 of an earlier run", "fit")]
    assert '"fit"' in (tmp_path / "run" / "checkpoints.json").read_text()


def test_a_checkpoint_that_was_being_written_is_passed_over(tmp_path: Path) -> None:
    checkpoints(tmp_path).save(5, State(5))
    half = tmp_path / "lineage" / ".writing-999999999-abc"
    shutil.copytree(tmp_path / "lineage" / "step-5", half)
    (half / folders.TENSORS).write_bytes(b"half")
    state = State()
    assert checkpoints(tmp_path).restore(state, 9) == 5
    assert not half.exists()


def test_a_damaged_checkpoint_is_passed_over_and_named(tmp_path: Path) -> None:
    for step in (5, 6, 7):
        checkpoints(tmp_path).save(step, State(step), final=True)
    (tmp_path / "lineage" / "step-7" / folders.TENSORS).write_bytes(b"half")
    shutil.rmtree(tmp_path / "lineage" / "step-6")
    (tmp_path / "lineage" / "step-6").write_text("a file")
    told: list[Any] = []
    state = State()
    assert checkpoints(tmp_path, log=told.append).restore(state, 9) == 5
    assert float(state.value) == 5
    warned = [log.message for log in told if log.level == "warning"]
    assert [message.partition(":")[0] for message in warned] == [
        "passes over its checkpoint of step 7",
        "passes over its checkpoint of step 6",
    ]
    assert str(tmp_path / "lineage" / "step-7") in warned[0]
    for step in (6, 7, 8, 9):
        checkpoints(tmp_path).save(step, State(step))
    state = State()
    assert checkpoints(tmp_path).restore(state, 7) == 0 or float(state.value) in (5, 7)
    assert checkpoints(tmp_path).restore(state, 9) == 9


def test_a_training_goes_on_though_no_checkpoint_can_be_read(tmp_path: Path) -> None:
    checkpoints(tmp_path).save(5, State(5))
    (tmp_path / "lineage" / "step-5" / folders.TREE).unlink()
    (tmp_path / "lineage" / "step-of-stone").mkdir()
    assert checkpoints(tmp_path).restore(State(), 9) == 0
    for step in (6, 7, 8, 9):
        checkpoints(tmp_path).save(step, State(step))
    assert checkpoints(tmp_path).restore(State(), 9) == 9


@pytest.mark.parametrize("dies", [crashes.dies_at, crashes.interrupted_at])
def test_killed_while_it_saves_or_removes_an_old_one_the_training_goes_on(tmp_path: Path, dies: Any) -> None:
    lineage, n = tmp_path / "lineage", 0
    while True:
        n += 1
        shutil.rmtree(lineage, ignore_errors=True)
        for step in (10, 20, 30):
            checkpoints(tmp_path).save(step, State(step))
        if not dies(n, lambda: checkpoints(tmp_path).save(40, State(40))):
            break
        state = State()
        found = checkpoints(tmp_path).restore(state, 100)
        assert found in (30, 40)
        assert float(state.value) == found
        assert crashes.leftovers(lineage) == []
        for step in (40, 50, 60):
            checkpoints(tmp_path).save(step, State(step))
        assert checkpoints(tmp_path).steps() == [50, 60]
    assert n > 15


def test_a_full_disk_costs_a_checkpoint_and_not_the_training(tmp_path: Path) -> None:
    told: list[Any] = []
    kept = checkpoints(tmp_path, log=told.append)
    kept.save(5, State(5))
    full = OSError(errno.ENOSPC, "No space left on device")
    for n in range(1, 12):
        assert crashes.refused_at(n, full, lambda: kept.save(6, State(6)))
        assert checkpoints(tmp_path).restore(State(), 9) in (5, 6)
    assert all(log.message.startswith("has no checkpoint of step 6: no room is left in ") for log in told)
    assert "`clean --keep" in told[0].message


def test_only_the_first_process_writes(tmp_path: Path) -> None:
    other = checkpoints(tmp_path)
    other.processes = Processes(rank=1, world=2)
    other.save(5, State())
    assert not (tmp_path / "lineage").exists()
