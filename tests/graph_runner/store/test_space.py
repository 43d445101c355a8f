"""How much room a workspace takes, and what is forgotten first."""

from __future__ import annotations

import errno
import io
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from graph_runner.__main__ import main
from graph_runner.base.events import Log
from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Engine
from graph_runner.store.folders import load_tree, save_tree
from graph_runner.store.space import forgettable, make_room, prepare, sizes, tidy
from tests import crashes
from tests.graph_runner.conftest import graph

HOUR = 3600


def aged(folder: Path, hours: float, numbers: int = 1000) -> Path:
    """A stored value that was last used so long ago."""
    save_tree(folder, torch.zeros(numbers))
    then = time.time() - hours * HOUR
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (then, then))
    return folder


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    aged(tmp_path / "cache/new", 2)
    aged(tmp_path / "cache/old", 50)
    aged(tmp_path / "checkpoints/lineage/step-10", 9)
    os.utime(tmp_path / "checkpoints/lineage", (time.time() - 9 * HOUR,) * 2)
    (tmp_path / "models").mkdir()
    (tmp_path / "models/mine.safetensors").write_bytes(b"x" * 500)
    return tmp_path


def test_the_longest_unused_goes_first_and_only_as_much_as_is_needed(workspace: Path) -> None:
    found = forgettable(workspace)
    assert [kept.path.name for kept in found] == ["old", "lineage", "new"]
    each = found[0].size
    assert 4000 < each < 5000
    assert make_room(found, 3 * each) == []
    assert [kept.path.name for kept in make_room(found, 2 * each)] == ["old"]
    assert [kept.path.name for kept in forgettable(workspace)] == ["lineage", "new"]
    assert load_tree(workspace / "cache/new").shape == (1000,)
    assert sizes(workspace) == {"cache": each, "checkpoints": each, "models": 500}


def test_what_was_used_just_now_and_models_stay(workspace: Path) -> None:
    aged(workspace / "cache/now", 0.1)
    make_room(forgettable(workspace), 0)
    assert [kept.path.name for kept in forgettable(workspace)] == ["now"]
    assert (workspace / "models/mine.safetensors").exists()


def test_the_command_tells_and_forgets(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workspace / "cache/.writing-999999999-00000000").mkdir()  # a run that was killed
    assert main(["clean", "--workspace", str(workspace)]) == 0
    told = capsys.readouterr().out
    assert "models" in told
    assert "clean --keep 10GB" in told
    assert main(["clean", "--workspace", str(workspace), "--keep", "5 kB"]) == 0
    assert "Forgot 2 entries\n" in capsys.readouterr().out
    assert sorted(path.name for path in (workspace / "cache").iterdir()) == ["new"]
    aged(workspace / "cache/now", 0.1)
    assert main(["clean", "--workspace", str(workspace), "--keep", "0"]) == 0
    assert "Forgot 1 entry; what is left was used in the last hour" in capsys.readouterr().out
    assert main(["clean", "--workspace", str(workspace / "none")]) == 2
    with pytest.raises(SystemExit):
        main(["clean", "--keep", "much"])
    assert "'much' is no size; write 20GB" in capsys.readouterr().err


def test_killed_while_it_cleans_what_is_left_is_whole(tmp_path: Path) -> None:
    def start() -> None:
        shutil.rmtree(tmp_path / "w", ignore_errors=True)
        for name in ("a", "b"):
            aged(tmp_path / "w/cache" / name, 9, 10)
        aged(tmp_path / "w/checkpoints/lineage/step-10", 9, 10)
        os.utime(tmp_path / "w/checkpoints/lineage", (time.time() - 9 * HOUR,) * 2)

    for how in crashes.every_death(lambda: print(make_room(forgettable(tmp_path / "w"), 0)), start):
        tidy(tmp_path / "w")
        assert crashes.leftovers(tmp_path / "w") == [], how
        left = [path.parent for path in (tmp_path / "w").rglob("tree.json")]
        assert all(load_tree(folder).shape == (10,) for folder in left), how
        make_room(forgettable(tmp_path / "w"), 0)
        assert forgettable(tmp_path / "w") == [], how


def test_a_training_that_goes_on_keeps_its_checkpoints_however_old(workspace: Path) -> None:
    lineage = workspace / "checkpoints/lineage"
    with FileLock(lineage / "lock"):
        os.utime(lineage / "lock", (time.time() - 9 * HOUR,) * 2)
        os.utime(lineage, (time.time() - 9 * HOUR,) * 2)
        make_room(forgettable(workspace), 0)
        assert load_tree(lineage / "step-10").shape == (1000,)
    make_room(forgettable(workspace), 0)
    assert not lineage.exists()


def test_leftovers_are_swept_wherever_a_workspace_is_written_to(tmp_path: Path) -> None:
    for place in (
        "models",
        "models/deep/er",
        "runs/today/outputs/some",
        "runs",
        "workflows",
        "uploads",
        "cache",
        "pictures",
    ):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / ".writing-0123456789ab.png").write_text("half")
    prepare(tmp_path)
    assert crashes.leftovers(tmp_path) == ["pictures/.writing-0123456789ab.png"], "and nowhere else"


def test_a_workspace_that_cannot_be_used_is_told_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "at all")
    for name in ("file", "file/below", "dangling"):
        with pytest.raises(ValueError, match=r"(is a file and cannot be a workspace|cannot be made)"):
            prepare(tmp_path / name)
    workflow = tmp_path / "w.json"
    workflow.write_text('{"loom": 1, "nodes": {"n": {"type": "number", "params": {"value": 1}}}}')
    nodes = ["--nodes", "tests.graph_runner.toys", "--to", "n", "--device", "cpu"]
    assert main([str(workflow), "--workspace", str(tmp_path / "file"), *nodes]) == 2
    told = capsys.readouterr().err
    assert f"{tmp_path}/file is a file, and a folder is wanted" in " ".join(told.split())
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ValueError, match="cannot be written to; change its permission"):
        prepare(tmp_path / "closed")


def test_a_full_disk_ends_a_run_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow = tmp_path / "w.json"
    workflow.write_text(
        '{"loom": 1, "nodes": {"n": {"type": "number", "params": {"value": 1}},'
        ' "s": {"type": "show_number", "wires": {"x": "n"}}}}'
    )
    command = [
        str(workflow),
        "--workspace",
        str(tmp_path / "w"),
        "--nodes",
        "tests.graph_runner.toys",
        "--device",
        "cpu",
    ]
    assert main(command) == 0
    capsys.readouterr()
    moved = Path.replace
    for path, at in (("outputs", "s: no room is left in "), ("workflow.json", "no room is left in ")):
        with monkeypatch.context() as patch:

            def full(temporary: Path, target: Path, path: str = path) -> Path:
                if path in str(target):
                    raise OSError(errno.ENOSPC, "No space left on device")
                return moved(temporary, target)

            patch.setattr(Path, "replace", full)
            assert main(command) == 1
        told = " ".join(capsys.readouterr().err.split())
        assert at in told
        assert "What was saved before is safe" in told
        assert "`clean --keep 10GB`" in told
        assert "Traceback" not in told
        assert crashes.leftovers(tmp_path) == []


def test_a_run_whose_events_cannot_be_written_ends_well(tmp_path: Path, registry: Registry, monkeypatch: Any) -> None:
    class Full(io.StringIO):
        def flush(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    opened = Path.open
    monkeypatch.setattr(
        Path, "open", lambda self, *a, **k: Full() if self.name == "events.jsonl" else opened(self, *a, **k)
    )
    nodes = {"n": {"type": "number", "params": {"value": 1}}, "s": {"type": "show_number", "wires": {"x": "n"}}}
    result = Engine(registry, tmp_path).run(graph(nodes))
    assert result.status == "done"
    assert len(result.shown) == 1
    [told] = [event.message for event in result.events if isinstance(event, Log)]
    assert told.startswith("this run's events are no longer recorded: no room is left in ")
