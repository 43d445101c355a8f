"""What is done where memory runs out in a call: room is made and the call repeated, once; then it is an error that says what helps.

A repeated call draws the same random numbers. What may have left traces is not repeated: a zone (its nodes are, each by itself),
a node that shows or saves, one that changes what it is given, and one that speaks with other processes, which would wait for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from graph_runner.base.events import Log
from graph_runner.base.telling import binary
from graph_runner.run.failures import OutOfMemoryError, asked_for, ran_out

if TYPE_CHECKING:
    from graph_runner.compile.plan import Step
    from graph_runner.run.activation import Activation

T = TypeVar("T")


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
    if isinstance(error, OutOfMemoryError) or not ran_out(error):  # told already by a node inside, or another one
        raise error
    if not _repeatable(step, around):
        raise _shortage(error, around) from error
    need, runtime = asked_for(error), around.runtime
    error.__traceback__ = error.__context__ = None  # its frames hold tensors
    freed = runtime.make_room()
    told = "ran out of memory" if need is None else f"ran out of memory asking for {binary(need)}"
    room = (
        f"{binary(freed)} of models and cached values left {runtime.device}" if freed else "nothing was there to leave"
    )
    runtime.emit(Log(f"{told}; {room}, and it is called again", step.id, "warning"))
    try:
        return call()
    except (MemoryError, RuntimeError) as second:
        if isinstance(second, OutOfMemoryError) or not ran_out(second):
            raise
        raise _shortage(second, around) from second


def _shortage(error: BaseException, around: Activation) -> OutOfMemoryError:
    return OutOfMemoryError(asked_for(error), around.runtime.memory.free(), str(around.runtime.device))


def _repeatable(step: Step, around: Activation) -> bool:
    spec = step.spec
    speaks = "processes" in spec.injected.values() and around.runtime.processes.world > 1
    return not (spec.body is not None or spec.effect or spec.mutates or speaks)
