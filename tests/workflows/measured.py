"""`python -m tests.workflows.measured WORKFLOW WORKSPACE [shard]`: run a workflow, and print the most anonymous memory that this process
held: under torchrun's variables, one process of several."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from pathlib import Path
from typing import Any

_STATUS = Path("/proc/self/status")


def anonymous() -> int:
    """Bytes of this process' memory that lie in no file (RssAnon)."""
    found = re.search(r"RssAnon:\s+(\d+) kB", _STATUS.read_text())
    assert found is not None
    return int(found[1]) * 1024


def peak() -> int:
    """The most bytes of memory that this process has had, with those that lie in files (VmHWM)."""
    found = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())
    assert found is not None
    return int(found[1]) * 1024


def main(workflow: str, workspace: str, how: str = "") -> None:
    from graph_runner.contract.processes import joined
    from graph_runner.contract.registry import Registry
    from graph_runner.run.engine import Engine

    most = before = 0
    over = threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.is_set():
            most = max(most, anonymous())
            time.sleep(0.002)

    registry = Registry.installed()
    with joined("cpu") as (processes, device):
        shard: Any = {"shard": True} if how else {}
        engine = Engine(registry, workspace, device=device, processes=processes, **shard)
        before = anonymous()
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            engine.run(workflow, targets=["fit"], only=True, checkpoint_seconds=1e9)
        finally:
            over.set()
            watcher.join()
    print(f"rank {os.environ.get('RANK', '0')} {before} {most}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
