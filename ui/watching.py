"""Word of every change of the user's workflow files, whoever makes it: this server, an editor, a version control."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

EVERY = 1.0
"""Seconds between two looks."""


async def watch(folder: Path, changed: Callable[[], None], wanted: Callable[[], bool]) -> None:
    """Call `changed` when a workflow below a folder comes, goes or is written; looks only while `wanted`. Never returns."""
    before = await asyncio.to_thread(_seen, folder)
    while True:
        await asyncio.sleep(EVERY)
        if not wanted():
            continue
        now = await asyncio.to_thread(_seen, folder)
        if now != before:
            before = now
            changed()


def _seen(folder: Path) -> dict[Path, tuple[int, int, int]]:
    """Every workflow file, with what changes when it is written."""
    found: dict[Path, tuple[int, int, int]] = {}
    for parent, folders, files in os.walk(folder):  # what cannot be read is passed over, as if it were not there
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(parent, name) for name in files if name.endswith(".json") and not name.startswith(".")):
            with suppress(OSError):
                stat = path.stat()
                found[path] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    return found
