"""Who holds a lineage at an address, where there are no locks: leases, each an object with a number, of which the highest counts.

The next number can be created by one process only (fsspec's `mode="create"`: `If-None-Match` on S3, `ifGenerationMatch=0` on
Google's). Whoever has it writes it anew every few seconds; it is free once its holder says so, or was not heard of for `PATIENCE`
seconds. That is measured by the clock of who waits, so that machines whose clocks differ agree. A holder that was taken for dead
and was not sees the higher number, and knows that it has lost.

The copy of this machine (`graph_runner.base.home`) has a lock besides, which the system lets go of when a process ends: a
lease of the same copy is free to whoever has that lock.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from graph_runner.base.home import OWN, Lease

BEAT_SECONDS = 5.0
PATIENCE = 30.0
PAUSE_SECONDS = 0.2

Tell = Callable[[str, str], None]


class Leased(Lease):
    """A lease that this process has, and says so as long as it does. number: of its object in the folder `place`."""

    def __init__(self, store: Any, place: str, number: int, who: dict[str, Any]) -> None:
        self._store, self._place, self._number, self._who = store, place, number, who
        self._lost, self._over, self._heard = False, threading.Event(), time.monotonic()
        self._beating = threading.Thread(target=self._beat, daemon=True)
        self._beating.start()

    @property
    def lost(self) -> bool:
        """See `Lease.lost`."""
        return self._lost or time.monotonic() - self._heard > PATIENCE

    def close(self) -> None:
        """Let others have it at once; where the store cannot be told, they wait `PATIENCE` seconds."""
        self._over.set()
        self._beating.join()
        with suppress(Exception):
            self._say(free=True)

    def _beat(self) -> None:
        beat = 0
        while not self._over.wait(BEAT_SECONDS):
            beat += 1
            with suppress(Exception):  # the next one tries again; `lost` says when that is too late
                if _numbers(self._store, self._place)[-1:] != [self._number]:
                    self._lost = True
                    return
                self._say(beat=beat)
                self._heard = time.monotonic()

    def _say(self, **more: Any) -> None:
        self._store.pipe_file(f"{self._place}/{self._number:010d}", json.dumps({**self._who, **more}).encode())


@contextmanager
def first_here(copy: Path, place: str, stop: threading.Event) -> Iterator[None]:
    """One process of this machine after the other."""
    lock = FileLock(copy / OWN / f"lease-{uuid.uuid5(uuid.NAMESPACE_URL, place).hex[:12]}.lock")
    while not stop.is_set():
        with suppress(Timeout):
            lock.acquire(timeout=PAUSE_SECONDS)
            break
    try:
        yield
    finally:
        lock.release()


def taken(store: Any, place: str, copy: Path, stop: threading.Event, tell: Tell) -> Lease:
    """Wait for the lease and take it; one that means nothing where `stop` was set first. See `graph_runner.base.home.Home.lease`.

    store: fsspec's file system; place: the leases' folder there. Whoever calls has `first_here`.
    """
    who: dict[str, Any] = {
        "host": socket.gethostname(),
        "process": os.getpid(),
        "copy": _mark(copy),
        "token": uuid.uuid4().hex,
    }
    last: tuple[int, bytes] | None = None
    since, told = time.monotonic(), False
    while not stop.is_set():
        numbers = _numbers(store, place)
        now = (numbers[-1], _content(store, place, numbers[-1])) if numbers else None
        if now != last:
            last, since = now, time.monotonic()
        if now is None or _free(now[1], who["copy"]) or time.monotonic() - since > PATIENCE:
            number = now[0] + 1 if now else 1
            with suppress(FileExistsError):
                content = json.dumps(who).encode()
                store.pipe_file(f"{place}/{number:010d}", content, mode="create")
                if _numbers(store, place)[-1:] != [number]:  # it was had in turn and removed meanwhile
                    store.rm_file(f"{place}/{number:010d}")
                    continue
                if not _exclusive(store, f"{place}/{number:010d}", content):
                    tell("this store lets two processes create one object: train the same once at a time", "warning")
                for old in numbers:
                    with suppress(FileNotFoundError):
                        store.rm_file(f"{place}/{old:010d}")
                return Leased(store, place, number, who)
            continue
        if not told:
            tell(f"waits for another run that trains the same ({_named(now[1])}), to go on from its checkpoint", "info")
            told = True
        stop.wait(PAUSE_SECONDS)
    return Lease()


def _exclusive(store: Any, name: str, content: bytes) -> bool:
    """Whether what is there cannot be created again."""
    try:
        store.pipe_file(name, content, mode="create")
    except FileExistsError:
        return True
    return False


def _numbers(store: Any, place: str) -> list[int]:
    try:
        names = (str(name).rpartition("/")[2] for name in store.ls(place, detail=False))
        return sorted(int(name) for name in names if name.isdigit())
    except FileNotFoundError:
        return []


def _content(store: Any, place: str, number: int) -> bytes:
    try:
        return bytes(store.cat_file(f"{place}/{number:010d}"))
    except FileNotFoundError:
        return b""


def _free(content: bytes, copy: str) -> bool:
    told = _read(content)
    return bool(told.get("free")) or told.get("copy") == copy


def _named(content: bytes) -> str:
    told = _read(content)
    return f"process {told.get('process', '?')} on {told.get('host', 'another machine')}"


def _read(content: bytes) -> dict[str, Any]:
    try:
        told = json.loads(content)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _mark(copy: Path) -> str:
    """What tells this copy from those of other machines, which may lie at the same path: made once."""
    path = copy / OWN / "mark"
    with suppress(FileExistsError), path.open("x") as file:
        file.write(uuid.uuid4().hex)
    return path.read_text()
