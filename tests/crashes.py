"""A process that dies, or a disk that refuses, at the n-th thing that an operation does to the disk.

What reaches the disk goes through a handful of functions: renaming, removing, making, linking, syncing, and opening to
write. They are counted here. `dies_at(n, operation)` does the operation in a forked child that dies before its n-th, with
`os._exit`: no handler runs, and the system closes what was open. `dies_writing(size, operation)` lets it die where a file
grows beyond so many bytes, in whatever language it is written.
"""

from __future__ import annotations

import io
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch

import core.files
import graph_runner.base.files

Step = Callable[[], None]
SYSTEM = ("rename", "replace", "unlink", "remove", "rmdir", "mkdir", "link", "fsync", "chmod")
DIED = 99


def counted(patch: pytest.MonkeyPatch, step: Step) -> None:
    """Call `step` before anything reaches the disk."""

    def before(holder: Any, name: str, when: Callable[..., bool] = lambda *_, **__: True) -> None:
        original = getattr(holder, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            if when(*args, **kwargs):
                step()
            return original(*args, **kwargs)

        patch.setattr(holder, name, call)

    def writes(_path: Any, mode: str = "r", *_: Any, **__: Any) -> bool:
        return any(letter in mode for letter in "wxa+")

    for name in SYSTEM:
        before(os, name)
    before(os, "open", lambda _path, flags, *_, **__: bool(flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR)))
    before(io, "open", writes)
    before(safetensors.torch, "serialize_file")
    for files in (graph_runner.base.files, core.files):
        before(files, "_exchanged")


def steps(operation: Step) -> int:
    """How many things an operation does to the disk."""
    reached = [0]

    def step() -> None:
        reached[0] += 1

    with pytest.MonkeyPatch.context() as patch:
        counted(patch, step)
        operation()
    return reached[0]


def dies_at(n: int, operation: Step) -> bool:
    """Do an operation in a child that dies before its n-th step; whether it came so far."""
    left = [n]

    def step() -> None:
        left[0] -= 1
        if left[0] <= 0:
            os._exit(DIED)

    def prepare() -> None:
        counted(pytest.MonkeyPatch(), step)

    return _in_a_child(prepare, operation) == DIED


def dies_writing(size: int, operation: Step) -> bool:
    """Do an operation in a child that is killed where a file grows beyond `size` bytes; whether one did."""

    def prepare() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    return _in_a_child(prepare, operation) == -signal.SIGXFSZ


def _in_a_child(prepare: Step, operation: Step) -> int:
    child = os.fork()
    if child == 0:
        try:
            prepare()
            operation()
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, DIED, -signal.SIGXFSZ), "the operation itself failed"
    return code


class Interrupted(BaseException):
    """As sudden as Ctrl-C, and from then on nothing more reaches the disk."""


def interrupted_at(n: int, operation: Step) -> bool:
    """Do an operation here, with an exception before its n-th step and every later one; whether it came so far."""
    return _refused(n, operation, Interrupted, lambda reached: reached >= n)


def refused_at(n: int, error: OSError, operation: Step) -> bool:
    """Do an operation here on a disk that refuses its n-th step, and that one only; whether it came so far."""
    return _refused(n, operation, error, lambda reached: reached == n)


def _refused(n: int, operation: Step, error: Any, when: Callable[[int], bool]) -> bool:
    reached = [0]

    def step() -> None:
        reached[0] += 1
        if when(reached[0]):
            raise error

    with pytest.MonkeyPatch.context() as patch:
        counted(patch, step)
        with suppress(Interrupted, OSError):
            operation()
    return reached[0] >= n


def every_death(operation: Step, restore: Step) -> Iterator[str]:
    """Let an operation die in every way, again and again from what `restore` makes; tells how, once it has died."""
    for how, die in (("killed", dies_at), ("interrupted", interrupted_at)):
        n = 1
        while True:
            restore()
            if not die(n, operation):
                break
            yield f"{how} at step {n}"
            n += 1
        assert n > 3
    for size in (0, 1, 7, 64, 200):
        restore()
        if dies_writing(size, operation):
            yield f"killed after {size} bytes of a file"


def leftovers(folder: Path) -> list[str]:
    """What killed writers left anywhere below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob(f"{graph_runner.base.files.TEMPORARY}*"))
