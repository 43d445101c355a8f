"""How a run ends before its end: a node's failure, told in a sentence, or the user's wish."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from graph_runner.base.disk import sentence


class NodeError(RuntimeError):
    """A node could not do its work. `node` is its id, `when` the step it was in, if any; the cause is chained.

    What a node says by itself (ValueError, FloatingPointError), and what is said of a disk, is told in its own words.
    """

    def __init__(self, node: str, cause: BaseException, when: str = "") -> None:
        self.node, self.when = node, when
        text = str(cause) or type(cause).__name__
        if (memory := _memory(cause)) is not None:
            text = f"this asks for {memory} than there is; make it smaller (fewer samples, lower resolution, narrower model)"
        elif isinstance(cause, OSError) and (said := sentence(cause)) != text:
            text = said
        elif not isinstance(cause, ValueError | FloatingPointError):
            text = f"{type(cause).__name__}: {text}"
        super().__init__(f"{node}: {text}")


def _memory(cause: BaseException) -> str | None:
    """How much memory was asked for in vain, in words; None where an error is of another kind."""
    text = str(cause)
    asked = re.search(r"allocate (\d+) bytes|allocate ([\d.]+ [KMGTPE]iB)", text)
    if asked is None and not isinstance(cause, MemoryError) and "Storage size calculation overflowed" not in text:
        return None
    if asked is None:
        return "more memory"
    return f"{asked[2] or f'{int(asked[1]) / 2**30:,.1f} GiB'} more memory"


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
