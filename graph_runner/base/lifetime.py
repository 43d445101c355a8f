"""Processes that end with the one that started them."""

from __future__ import annotations

import os
import threading
import time

FAILED = 1
WATCH_SECONDS = 0.2


def live_with(parent: int) -> None:
    """End this process once the one that started it is gone: nobody would hear of it, and nobody could stop it.

    parent: its number.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        os._exit(FAILED)

    threading.Thread(target=watch, daemon=True).start()
