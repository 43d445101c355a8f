"""The process that runs graphs: one engine, one device, one run at a time; `python -m ui.worker`, started by the server.

It reads requests from a socket and answers on it (`ui.channel`); what nodes print goes to its log, and its standard input
is empty. When the socket ends (the server is gone) it stops the run at the end of its step, with a checkpoint, and leaves.

    in   {"run": 3, "text": …, "targets": […], "only": false, "seed": 0, "fresh": false, "check_numbers": false, "profile": false}     {"stop": 3}
    out  {"ready": {"device": …, "name": …}}   {"event": {…}}   {"over": {"status": …, "error": …, "node": …, "problems": […], "fit": true}}
"""

from __future__ import annotations

import argparse
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from filelock import FileLock

from graph_runner.base import events
from graph_runner.base.disk import sentence
from graph_runner.base.problems import WorkflowError
from graph_runner.base.telling import in_a_line
from graph_runner.cli import engine_options
from graph_runner.contract.registry import Registry
from graph_runner.estimate.remedies import adviser
from graph_runner.format.workflow import read
from graph_runner.run.engine import Engine
from ui.channel import Channel
from ui.easel import Easel
from ui.pictures import Projections
from ui.schemas import Refused, Value, sendable

LEAVE_SECONDS = 10.0
"""How long a run may take to stop after the server has gone."""


class Sender(Protocol):
    """Where a run's messages go."""

    def send(self, **message: Any) -> None:
        """Send one."""
        ...


class Requests:
    """Requests from the server, read on a thread of its own so that a stop is heard during a run."""

    def __init__(self, channel: Channel) -> None:
        self.jobs: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.stops: dict[int, threading.Event] = {}
        threading.Thread(target=self._read, args=(channel,), daemon=True).start()

    def _read(self, channel: Channel) -> None:
        for message in channel.messages():
            if "stop" in message:
                self.stops[message["stop"]].set()
            else:
                self.stops[message["run"]] = threading.Event()
                self.jobs.put(message)
        for stop in self.stops.values():
            stop.set()
        self.jobs.put(None)
        time.sleep(LEAVE_SECONDS)
        os._exit(3)


def run(
    engine: Engine,
    projections: Projections,
    job: dict[str, Any],
    stop: threading.Event,
    channel: Sender,
    log: Sequence[str] = (),
    on: str = "here",
    threads: int = 0,
) -> bool:
    """Do one run and tell all about it, and the loggers too. on: who does the items of its sweeps. Returns whether this process is fit for another."""
    ending: list[events.Ended] = []
    began = time.perf_counter()

    def tell(event: Any) -> None:
        if isinstance(event, events.Ended):
            ending.append(event)  # the last word comes after the values of the targets
        else:
            channel.send(event=as_json(event))

    over: dict[str, Any] = {"status": "failed", "error": "", "node": "", "problems": [], "fit": True}
    try:
        workflow = read(job["text"])
        easel = Easel(projections, engine.registry, engine.workspace, workflow, job["text"], tell)
        result = engine.run(
            workflow,
            targets=job["targets"],
            only=job["only"],
            seed=job["seed"],
            fresh=job["fresh"],
            check_numbers=job["check_numbers"],
            profile=job["profile"],
            log=log,
            on=on,
            listeners=[tell],
            stop=stop,
            observer=easel,
            raise_errors=False,
            threads=threads,
        )
        over["status"] = result.status
        if result.error is not None:
            over |= {"error": str(result.error), "node": result.error.node}
            over["fit"] = not isinstance(result.error.__cause__, torch.OutOfMemoryError | MemoryError)
        for target, value in result.values.items():
            tell(Value(target, in_a_line(value)))
        if job["only"]:
            for target, value in result.values.items():
                easel.target(result.folder, target, value)
    except WorkflowError as error:
        problems = [problem.to_json() for problem in error.problems]
        over |= {"error": str(error.problems[0]), "node": error.problems[0].node, "problems": problems}
        tell(Refused([sendable(problem) for problem in error.problems]))
    except Exception as error:
        over["error"] = sentence(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        tell(events.Failed("", over["error"], traceback.format_exc()))
        over["fit"] = False
    ended = ending[0] if ending else events.Ended(over["status"], round(time.perf_counter() - began, 3))
    channel.send(event=as_json(ended))
    channel.send(over=over)
    return bool(over["fit"])


def as_json(event: Any) -> dict[str, Any]:
    """An event as it is sent: with its time, and null for numbers that JSON does not know."""
    return {"time": round(time.time(), 3), **events.to_json(event)}


def main() -> int:
    """Serve runs until the input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--device", required=True)
    engine_options.add_to(parser)
    parser.add_argument("--nodes", action="append", default=[])
    parser.add_argument("--only-below", action="append", default=[], type=Path)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--log", action="append", default=[])
    parser.add_argument("--channel", type=int, required=True, help="the socket's descriptor")
    options = parser.parse_args()
    channel = Channel(options.channel)
    requests = Requests(channel)
    # When memory runs out, the system should end this process and not the server.
    oom = Path("/proc/self/oom_score_adj")
    if oom.exists():
        oom.write_text("500")
    # A worker whose server was killed may still be writing its checkpoint: wait for it.
    with FileLock(options.workspace / ".server" / f"worker-{options.device.replace(':', '-')}.lock"):
        registry = Registry.installed(options.nodes, passing_over=True)  # the server tells which are passed over
        engine = Engine(
            *(registry, options.workspace),
            **engine_options.chosen(options),
            device=options.device,
            roots=options.only_below,
            advise=adviser(registry, options.workspace, options.only_below),
        )
        projections = Projections()
        device = engine.device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
        channel.send(ready={"device": str(device), "name": name})
        while (job := requests.jobs.get()) is not None:
            stop = requests.stops[job["run"]]
            if not run(engine, projections, job, stop, channel, options.log, threads=options.threads):
                break  # memory may be fragmented, or the engine in no known state: the server starts another
    return 0


if __name__ == "__main__":
    sys.exit(main())
