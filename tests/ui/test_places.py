"""Where a path field may look, and on whose machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ui.places import Places
from ui.refusal import RefusedError
from ui.workspace import Workspace


@pytest.fixture
def ground(tmp_path: Path) -> Path:
    for folder in ("workspace/cats/grey", "lent/photographs", "private/letters"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "workspace/cats/one.png").write_bytes(b"x")
    (tmp_path / "lent/two.png").write_bytes(b"xy")
    (tmp_path / "lent/out").symlink_to(tmp_path / "private")
    (tmp_path / "lent/back").symlink_to(tmp_path / "workspace/cats")
    return tmp_path


def places(ground: Path, confined: bool) -> Places:
    return Places(Workspace(ground / "workspace"), [ground / "lent"], confined)


def test_the_workspace_is_told_by_paths_within_it(ground: Path) -> None:
    told = places(ground, True).look("cats")
    assert told.host == socket.gethostname()
    assert (told.path, told.parent) == ("cats", "")
    assert [(entry.path, entry.kind) for entry in told.entries] == [("cats/grey", "folder"), ("cats/one.png", "file")]
    assert places(ground, True).look("").parent is None
    assert places(ground, True).look(str(ground / "workspace/cats")).path == "cats"


def test_what_is_lent_is_told_by_absolute_paths_and_nothing_beyond(ground: Path) -> None:
    confined = places(ground, True)
    assert [place.name for place in confined.look("").places] == ["Workspace", "lent"]
    told = confined.look(str(ground / "lent"))
    assert told.parent is None
    assert [entry.name for entry in told.entries] == ["back", "photographs", "two.png"]
    assert confined.look(str(ground / "lent/photographs")).parent == str(ground / "lent")
    for path in (
        "/",
        "~",
        str(ground),
        str(ground / "lent/.."),
        str(ground / "lent/out"),
        str(ground / "private/letters"),
    ):
        with pytest.raises(RefusedError) as refused:
            confined.look(path)
        assert refused.value.status == 403, path
    for path in ("..", "cats/../..", "\0", "/\0", "/" + "x/" * 3000, "~nosuchuser/x"):
        with pytest.raises(RefusedError):
            confined.look(path)


def test_where_nobody_else_reaches_the_server_all_its_folders_are_there(ground: Path) -> None:
    free = places(ground, False)
    assert [place.name for place in free.look("").places] == ["Workspace", "lent", "Home", "Computer"]
    told = free.look(str(ground / "private"))
    assert [entry.path for entry in told.entries] == [str(ground / "private/letters")]
    assert told.parent == str(ground)
    assert free.look("/").parent is None
    with pytest.raises(RefusedError, match=socket.gethostname()):
        free.look(str(ground / "absent"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_closed_folder_is_an_error_of_the_system(ground: Path) -> None:
    (ground / "private/letters").chmod(0)
    with pytest.raises(PermissionError):
        places(ground, False).look(str(ground / "private/letters"))
