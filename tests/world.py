"""A function in a world of several processes: `python -m tests.world MODULE:FUNCTION FOLDER` is one of them."""

from __future__ import annotations

import importlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]
HUNG = 17
SECONDS = 120  # for what takes a moment: a process that waits for another waits for ever


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def in_two(function: str, folder: Path) -> list[Any]:
    """What "module:function" gives, called with its `Processes` in each of two processes."""
    return in_world(2, function, folder)


def in_world(world: int, function: str, folder: Path) -> list[Any]:
    """What "module:function" gives, called with its `Processes` in each of so many processes."""
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "WORLD_SIZE": str(world)}
    surroundings |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    command = [sys.executable, "-m", "tests.world", function, str(folder)]
    all_of_them = [
        subprocess.Popen(command, cwd=ROOT, env=surroundings | {"RANK": str(rank)}, stderr=subprocess.PIPE, text=True)
        for rank in range(world)
    ]
    told = [process.communicate(timeout=1200)[1] for process in all_of_them]
    assert [process.returncode for process in all_of_them] == [0] * world, "\n".join(told)[-5000:]
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(world)]


@contextmanager
def watched(what: str, seconds: float = SECONDS) -> Iterator[None]:
    """End this process, and so the test, where `what` hangs; in a collective no signal would reach Python."""

    def end() -> None:
        print(f"{what} hangs", file=sys.stderr, flush=True)
        os._exit(HUNG)

    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _threads_of_gloo() -> list[str]:
    """Those of this process that still live, by name; none where the system does not tell (it does on Linux)."""
    found = []
    for task in Path("/proc/self/task").glob("*"):
        with suppress(OSError):
            found.append(task.joinpath("comm").read_text().strip())
    return [name for name in found if "gloo" in name]


def _main(function: str, folder: str) -> None:
    from graph_runner.contract.processes import joined

    module, _, name = function.partition(":")
    with joined("cpu") as (processes, _), watched(function, 9 * SECONDS):
        result = getattr(importlib.import_module(module), name)(processes)
        torch.save(result, Path(folder) / f"{processes.rank}.pt")
        processes.agree(None)  # rank 0 keeps what they meet by: it leaves last
    for _ in range(200):  # the system may still list one that has just ended
        if not _threads_of_gloo():
            return
        time.sleep(0.05)
    raise AssertionError("a thread of gloo's outlives the run: it may abort the process when Python ends")


if __name__ == "__main__":
    _main(*sys.argv[1:])
