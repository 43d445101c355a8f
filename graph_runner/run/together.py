"""One iteration of a zone, shared by several processes of a machine as `torchrun` would share a whole run.

PyTorch's elastic agent starts and watches them. What the first process tells comes through a pipe; how each ended lies in a file of
its own, so that the failure which was first is known however the others ended.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import tempfile
import threading
import uuid
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from graph_runner.base.lifetime import FAILED, live_with
from graph_runner.run.executors import LostError, Tell
from graph_runner.run.part import Iterations, Outcome

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing import LogsSpecs
    from torch.distributed.launcher.api import LaunchConfig

LOOK_SECONDS = 0.1
LATE_SECONDS = 5.0
"""How long the last words of a process that was killed are waited for."""


def one_machine(processes: int, logs: LogsSpecs, **more: Any) -> LaunchConfig:
    """PyTorch's elastic agent for so many processes of this machine, which are not started again. Ctrl-C and SIGTERM are the caller's."""
    from torch.distributed.launcher.api import LaunchConfig

    return LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        logs_specs=logs,
        signals_to_handle="SIGHUP,SIGQUIT",
        **more,
    )


def together(work: Iterations, item: int, tell: Tell, stop: threading.Event, processes: int) -> Outcome:
    """Do an iteration in so many processes. Returns how it ended in the first, or its failure in the one that failed first.

    Raises LostError where a process was killed, and what the work raises.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch

    context = multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    wish, over = context.Event(), threading.Event()
    wrong: list[Exception] = []
    listening = threading.Thread(target=_listen, args=(reader, tell, stop, wish, over, wrong), daemon=True)
    with tempfile.TemporaryDirectory(prefix="loom-") as name:
        folder = Path(name)
        config = one_machine(processes, DefaultLogsSpecs(log_dir=str(folder / "logs")), start_method="spawn")
        listening.start()
        try:
            with suppress(ChildFailedError):  # how each ended lies in its file
                elastic_launch(config, _one)(work, item, writer, wish, folder, os.getpid())
        finally:
            over.set()
            listening.join(LATE_SECONDS)
        ends = sorted(folder.glob("*.end"), key=lambda path: path.stat().st_mtime_ns)
        ended = {int(path.stem): pickle.loads(path.read_bytes()) for path in ends}
    raised = next((end for end in ended.values() if isinstance(end, Exception)), None)
    failures = [end for end in ended.values() if isinstance(end, Outcome) and end.node]
    failed = next((end for end in failures if not end.lost), None)
    if failed is not None:
        return failed
    if raised is not None:
        raise raised
    if wrong:
        raise wrong[0]
    if gone := set(range(processes)) - ended.keys():
        raise LostError(f"process {min(gone)} of {processes} was killed, most often by the system for want of memory")
    if failures:
        raise LostError(failures[0].text)
    return cast("Outcome", ended[0])


def _listen(
    reader: Connection, tell: Tell, stop: threading.Event, wish: Event, over: threading.Event, wrong: list[Exception]
) -> None:
    """Hand on what the first process tells, and to all of them the wish to stop.

    wrong: gets what `tell` raises. Nothing is told any more then, and what comes is read all the same: the process would wait.
    """
    while True:
        last = over.is_set()
        while reader.poll(0 if last else LOOK_SECONDS):
            event = reader.recv()
            if wrong:
                continue
            try:
                tell(event)
            except Exception as error:
                wrong.append(error)
        if stop.is_set():
            wish.set()
        if last:
            return


def _one(work: Iterations, item: int, writer: Connection, wish: Event, folder: Path, parent: int) -> None:
    """The part of one process."""
    live_with(parent)
    rank = int(os.environ["RANK"])
    end: Any
    try:
        end = work(item, writer.send if rank == 0 else _unheard, cast("threading.Event", wish))
    except Exception as error:
        end = error
    try:
        content = pickle.dumps(end)
        pickle.loads(content)  # some exceptions can be written and not read
    except Exception:
        content = pickle.dumps(RuntimeError(f"{type(end).__name__}: {end}"))
    unfinished = folder / f"{rank}.part"
    unfinished.write_bytes(content)
    unfinished.rename(folder / f"{rank}.end")
    if isinstance(end, Exception) or end.node:
        os._exit(FAILED)  # the others may wait in a collective, and the agent ends them


def _unheard(_: Any) -> None:
    """What processes tell that are not the first: the same."""
