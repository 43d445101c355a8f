"""One training at a time: two workers that trained the same lineage would write each other's checkpoints.

The lineage of a training is all that it depends on but its number of steps (`graph_runner.keys`): runs that share one share
a folder of checkpoints, and the second goes on where the first ends. So it waits for that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import networkx as nx
from filelock import FileLock, Timeout

from graph_runner.engine import Engine, place_paths
from graph_runner.graph import dependencies
from graph_runner.keys import Keys
from graph_runner.lock import version_of
from graph_runner.validate import errors, validate
from graph_runner.workflow import Workflow

PAUSE_SECONDS = 0.2


def lineages(workflow: Workflow, engine: Engine, seed: int) -> list[str]:
    """What the trainings of a workflow would go on from; none where the workflow is wrong.

    Raises WorkflowError where a file that it reads is absent.
    """
    top, problems = validate(workflow, engine.registry)
    if errors(problems):
        return []
    place_paths(top, engine.workspace)
    keys = Keys(seed, str(engine.dtype).removeprefix("torch."), lambda bound: version_of(bound.spec))
    for id in nx.topological_sort(dependencies(top)):
        keys.key(top.nodes[id])
    return sorted({keys.lineage(bound) for bound in top.walk() if bound.spec.trains})


@contextmanager
def alone(folder: Path, names: Sequence[str], stop: threading.Event, waits: Callable[[], None]) -> Iterator[None]:
    """Hold these lineages, files of `folder` standing for them. Where another process holds one this says that it `waits`,
    and does, until `stop` is set.
    """
    with ExitStack() as held:
        for name in sorted(names):  # in one order everywhere, so that no two wait for each other
            lock = FileLock(folder / f"lineage-{name[:32]}.lock")
            told = False
            while not stop.is_set():
                try:
                    held.enter_context(lock.acquire(timeout=PAUSE_SECONDS if told else 0))
                    break
                except Timeout:
                    if not told:
                        waits()
                    told = True
        yield
