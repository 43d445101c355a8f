"""How a run ends before its end: a node's failure, told in a sentence, or the user's wish."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from graph_runner.base.disk import sentence
from graph_runner.base.telling import binary


class NodeError(RuntimeError):
    """A node could not do its work. `node` is its id, `when` the step it was in, if any; the cause is chained.

    What a node says by itself (ValueError, FloatingPointError), and what is said of a disk, is told in its own words.
    """

    def __init__(self, node: str, cause: BaseException, when: str = "") -> None:
        self.node, self.when = node, when
        text = str(cause) or type(cause).__name__
        if _too_much(cause):
            asked = asked_for(cause)
            memory = "more memory" if asked is None else f"{binary(asked)} more memory"
            text = f"this asks for {memory} than there is; make it smaller (fewer samples, lower resolution, narrower model)"
        elif isinstance(cause, OSError) and (said := sentence(cause)) != text:
            text = said
        elif not isinstance(cause, ValueError | FloatingPointError | OutOfMemoryError):
            text = f"{type(cause).__name__}: {text}"
        super().__init__(f"{node}: {text}")


_UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "KB": 1e3, "MB": 1e6, "GB": 1e9}
_ASKED = re.compile(r"allocate (\d+(?:\.\d+)?) ?(bytes|[KMGT]i?B)")
_SAID = re.compile(r"out of memory|can't allocate memory|not enough memory", re.IGNORECASE)


class OutOfMemoryError(MemoryError):
    """A call wants more memory than there is, after all that could leave has left.

    need, free: bytes, None where they are not known. remedies: what would help, each a sentence's part.
    """

    def __init__(self, need: int | None, free: int | None, device: str, remedies: Sequence[str] = ()) -> None:
        self.need, self.free, self.device, self.remedies = need, free, device, remedies
        wanted = "more memory than there is" if need is None else f"{binary(need)} of memory"
        left = "" if free is None else f", and {binary(free)} are free"
        helps = "; ".join(remedies) or "make it smaller (fewer samples, lower resolution, narrower model)"
        super().__init__(f"{device} ran out of memory: it asked for {wanted}{left}. What helps: {helps}")

    def with_remedies(self, remedies: Sequence[str]) -> OutOfMemoryError:
        """The same, with what would help."""
        return OutOfMemoryError(self.need, self.free, self.device, remedies)


def _too_much(cause: BaseException) -> bool:
    """Whether an error that nobody answered says that memory will not do: it ran out, or no number holds what was asked for."""
    if isinstance(cause, OutOfMemoryError):
        return False
    return ran_out(cause) or "Storage size calculation overflowed" in str(cause)


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out: PyTorch's on any device, its CPU allocator's, and Python's."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _SAID.search(str(error)) is not None)


def asked_for(error: BaseException) -> int | None:
    """The bytes that were asked for in vain, as the error's text has them."""
    found = _ASKED.search(str(error))
    return None if found is None else int(float(found[1]) * _UNITS[found[2]])


class ElsewhereError(NodeError):
    """Another process could not do its work, and this one waited for it. `node` is that one's; the message says which process."""


class Stopped(Exception):  # noqa: N818 - not an error: the user asked
    """The run was asked to stop, and did so at the end of a step."""


@contextmanager
def blamed(node: str, when: str = "") -> Iterator[None]:
    """While inside, what fails is this node's failure, unless it is known whose it is."""
    try:
        yield
    except (NodeError, Stopped):
        raise
    except Exception as error:
        raise NodeError(node, error, when) from error
