"""How many threads a run computes with on its processors: chosen once, told, and kept with its checkpoints.

Threads beyond the free processors wait for each other at the end of every operation: two on two processors that others used
too were 20 times slower than one (docs/scale.md). And another number of threads adds in another order, which changes last
bits, so a training that goes on does so with the number that it had.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from graph_runner.base import processors


class Threads:
    """The threads of a run.

    count: how many. why: what they were chosen by, for people. fixed: the user said so, here or by OMP_NUM_THREADS.
    """

    def __init__(self, count: int, why: str, fixed: bool = False) -> None:
        self.count, self.why, self.fixed = count, why, fixed

    @classmethod
    def as_they_are(cls) -> Threads:
        """Those that PyTorch computes with now."""
        return cls(torch.get_num_threads(), "as they are", fixed=True)

    def __str__(self) -> str:
        return f"{self.count} thread{'' if self.count == 1 else 's'}"

    def resumed(self, before: int | None) -> str:
        """Go on with the number that the steps before had, unless the user said another or this machine has fewer processors.
        Returns what is to be told of it.

        before: None where it is not known.
        """
        if before is None or before == self.count:
            return ""
        if self.fixed or before > processors.available():
            return f"with {self}, where the steps before had {before}: last bits may differ"
        self.count, self.why = before, "as the steps before"
        torch.set_num_threads(before)
        return f"with {self}, as the steps before"

    @contextmanager
    def computing(self) -> Iterator[None]:
        """While inside, PyTorch computes with so many threads."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.count)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def choose(asked: int = 0, processes: int = 1) -> Threads:
    """The threads for a run. asked: what the user wants, 0 for nothing. processes: those of this run on this machine."""
    if asked:
        return Threads(asked, "as asked for", fixed=True)
    most = torch.get_num_threads()  # the cores without their hyper-threads; less where the host says so
    if os.environ.get("OMP_NUM_THREADS"):
        return Threads(most, "by OMP_NUM_THREADS", fixed=True)
    allowed, busy = processors.available(), processors.busy()
    free = max(1, (os.cpu_count() or 1) - busy)
    shared = f", shared by {processes} processes" if processes > 1 else ""
    why = f"{free} of {os.cpu_count()} processors free, {allowed} allowed{shared}"
    return Threads(max(1, min(most, allowed, free) // processes), why)
