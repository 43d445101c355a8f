"""How many processors this process may use, and how many of them nobody else uses now.

What it may use is told by its affinity and by the quota of its container (cgroups of version 1 and 2). What is free is told by
how many others want a processor at this moment; the load average, a mean over a minute, stands in where that is not told: of
what ended half a minute ago it still speaks, and of what has just begun not yet.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import suppress
from math import floor
from pathlib import Path

LOOKS, PAUSE_SECONDS = 5, 0.01
"""How often, and how long apart, it is looked who wants a processor: what lasts for milliseconds is no load."""
PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def available(proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
    """Processors that this process may use, at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota(proc, cgroups)
    return max(1, allowed if quota is None else min(allowed, floor(quota)))


def busy(proc: Path = PROC) -> int:
    """Processors of this machine that other processes and threads want, containers beside this one included."""
    try:
        looks = []
        for look in range(LOOKS):
            if look:
                time.sleep(PAUSE_SECONDS)
            running, _, _ = (proc / "loadavg").read_text().split()[3].partition("/")
            looks.append(int(running) - 1)  # this thread
        return max(0, round(statistics.median(looks)))
    except (OSError, ValueError, IndexError):
        return round(os.getloadavg()[0]) if hasattr(os, "getloadavg") else 0


def cpu_quota(proc: Path = PROC, cgroups: Path = CGROUPS) -> float | None:
    """The share of processors that this process' container has, such as 1.5; None where nothing limits it."""
    found: list[float] = []
    for folder in _cgroups(proc, cgroups):
        with suppress(OSError, ValueError, ZeroDivisionError):
            if (whole := folder / "cpu.max").exists():  # version 2: "150000 100000", or "max 100000"
                quota, period = whole.read_text().split()
            else:
                quota = (folder / "cpu.cfs_quota_us").read_text()
                period = (folder / "cpu.cfs_period_us").read_text()
            if quota != "max" and int(quota) > 0:
                found.append(int(quota) / int(period))
    return min(found, default=None)


def _cgroups(proc: Path, cgroups: Path) -> Iterator[Path]:
    """The folders of the groups that this process is in, and of those around them.

    Within a container a path may be the host's while only the container's own groups are to be seen, at the root.
    """
    with suppress(OSError):
        for line in (proc / "self" / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            root = cgroups / controllers if controllers else cgroups
            if controllers and not root.exists():
                root = cgroups / "cpu"
            parts = [part for part in path.split("/") if part not in ("", "..")]
            for end in range(len(parts), -1, -1):
                yield root.joinpath(*parts[:end])
