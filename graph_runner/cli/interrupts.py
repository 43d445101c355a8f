"""Ctrl-C and SIGTERM: the first asks the run to stop at a step's end, with a checkpoint; the second ends it at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stopping(stop: threading.Event, tell: Callable[[], None], together: bool = False) -> Iterator[None]:
    """While inside, the first signal sets `stop` and calls `tell` (on a thread, for a handler may not print).

    together: this process runs among others. One Ctrl-C may then arrive twice, from the terminal and from who started them, so
    later ones are ignored: who started them ends them.
    """
    owner = os.getpid()

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as the signal module calls it
        if os.getpid() != owner:  # a forked child that inherited this handler
            if number == signal.SIGTERM:
                os._exit(128 + number)
            return
        stop.set()
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN if together else signal.SIG_DFL)
        threading.Thread(target=tell, daemon=True).start()

    before = {each: signal.signal(each, handle) for each in SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
