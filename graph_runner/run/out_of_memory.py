"""What is done where memory runs out in a call: room is made and the call repeated, once; then it is an error that says what helps.

A repeated call draws the same random numbers. What may have left traces is not repeated: a zone (its nodes are, each by itself),
a node that shows or saves, one that changes what it is given, and one that speaks with other processes, which would wait for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import torch

from graph_runner.base.events import Log

if TYPE_CHECKING:
    from graph_runner.compile.plan import Step
    from graph_runner.run.activation import Activation

T = TypeVar("T")

_UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "KB": 1e3, "MB": 1e6, "GB": 1e9}
_ASKED = re.compile(r"allocate (\d+(?:\.\d+)?) ?(bytes|[KMGT]i?B)")
_SAID = re.compile(r"out of memory|can't allocate memory|not enough memory", re.IGNORECASE)


class OutOfMemoryError(MemoryError):
    """A call wants more memory than there is, after all that could leave has left. need, free: bytes, where they are known."""

    def __init__(self, need: int | None, free: int | None, device: torch.device) -> None:
        self.need, self.free, self.device = need, free, device
        wanted = "more memory than there is" if need is None else f"{_size(need)} of memory"
        left = "" if free is None else f", and {_size(free)} are free"
        super().__init__(f"{device} ran out of memory: it asked for {wanted}{left}")


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out: PyTorch's on any device, its CPU allocator's, and Python's."""
    if isinstance(error, OutOfMemoryError):
        return False  # it is told already
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and _SAID.search(str(error)) is not None


def asked_for(error: BaseException) -> int | None:
    """The bytes that were asked for in vain, as the error's text has them."""
    found = _ASKED.search(str(error))
    return None if found is None else int(float(found[1]) * _UNITS[found[2]])


def with_room(call: Callable[[], T], step: Step, around: Activation) -> T:
    """What a call of a step gives; where memory runs out, what `again` gives."""
    try:
        return call()
    except (MemoryError, RuntimeError) as error:
        return again(error, call, step, around)


def again(error: BaseException, call: Callable[[], T], step: Step, around: Activation) -> T:
    """What a call gives, now that it failed: once more, after room was made.

    Raises the error where it is another one, and OutOfMemoryError where that does not help, or must not be tried.
    """
    if not ran_out(error):
        raise error
    if not _repeatable(step, around):
        raise _shortage(error, around) from error
    need, runtime = asked_for(error), around.runtime
    error.__traceback__ = error.__context__ = None  # its frames hold tensors
    freed = runtime.make_room()
    told = "ran out of memory" if need is None else f"ran out of memory asking for {_size(need)}"
    room = (
        f"{_size(freed)} of models and cached values left {runtime.device}" if freed else "nothing was there to leave"
    )
    runtime.emit(Log(f"{told}; {room}, and it is called again", step.id, "warning"))
    try:
        return call()
    except (MemoryError, RuntimeError) as second:
        if not ran_out(second):
            raise
        raise _shortage(second, around) from second


def _shortage(error: BaseException, around: Activation) -> OutOfMemoryError:
    return OutOfMemoryError(asked_for(error), around.runtime.memory.free(), around.runtime.device)


def _repeatable(step: Step, around: Activation) -> bool:
    spec = step.spec
    speaks = "processes" in spec.injected.values() and around.runtime.processes.world > 1
    return not (spec.body is not None or spec.effect or spec.mutates or speaks)


def _size(size: int) -> str:
    return f"{size / 2**30:,.2f} GiB" if size >= 2**27 else f"{size / 2**20:,.1f} MiB"
