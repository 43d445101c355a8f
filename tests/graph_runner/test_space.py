"""How much room a workspace takes, and what is forgotten first."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import torch

from graph_runner.__main__ import main
from graph_runner.space import forgettable, make_room, sizes
from graph_runner.store import load_tree, save_tree

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
