"""Bounds around a test: memory that it may ask for, and a time after which it counts as hanging."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

GIB = 2**30
HANGS = 60
"""Seconds: far beyond what any case takes on any machine."""


@contextmanager
def no_hang(told: str) -> Iterator[None]:
    """Fail, saying which case it was, where the block does not end."""

    def over(*_: Any) -> None:
        raise AssertionError(f"hangs: {told}")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(HANGS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def memory(gib: int) -> Iterator[None]:
    """At most so many GiB of addresses more than are in use: what asks for more fails at once."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + gib * GIB, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
