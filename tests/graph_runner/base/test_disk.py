"""A disk that refuses is told in a sentence: what, where, what is safe, what to do."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from graph_runner.base.disk import sentence
from graph_runner.run.failures import NodeError

ROOM = "no room is left in /w/models for mine. What was saved before is safe, and nothing half-written stays; make room"


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, ROOM),
        (errno.EDQUOT, ROOM),
        (errno.EFBIG, "mine is larger than a file may be in /w/models; choose a workspace on another disk"),
        (errno.EROFS, "mine cannot be written: /w/models can only be read; choose another workspace"),
        (errno.EACCES, "no permission for mine in /w/models; change that, or choose another workspace"),
        (errno.EPERM, "no permission for mine in /w/models; change that, or choose another workspace"),
        (errno.EISDIR, "/w/models/mine is a folder, where a file should be; move it away"),
    ],
)
def test_what_the_system_says_becomes_a_sentence(number: int, told: str) -> None:
    error = OSError(number, os.strerror(number), "/w/models/mine")
    assert sentence(error).startswith(told)
    assert str(NodeError("keep", error)).startswith(f"keep: {told}")


def test_the_very_thing_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("in the way")
    with pytest.raises(OSError, match="models") as caught:
        (tmp_path / "models" / "mine").mkdir()
    assert sentence(caught.value) == f"{tmp_path}/models is in the way, where a folder should be; move it away"


def test_a_disk_without_a_name_and_other_errors_are_told_too() -> None:
    assert sentence(OSError(errno.ENOSPC, "No space left on device")).startswith(
        "no room is left in the workspace for a"
    )
    assert sentence(FileNotFoundError(errno.ENOENT, "No such file", "x")) == "[Errno 2] No such file: 'x'"
    assert str(NodeError("n", OSError("the host is down"))) == "n: OSError: the host is down"
