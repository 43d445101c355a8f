"""The process that runs graphs: one engine, one device, one run at a time; `python -m ui.worker`, started by the server.

It reads requests from a socket and answers on it (`ui.channel`); what nodes print goes to its log, and its standard input
is empty. When the socket ends (the server is gone) it stops the run at the end of its step, with a checkpoint, and leaves.

    in   {"run": 3, "text": …, "targets": […], "only": false, "seed": 0, "fresh": false, "check_numbers": false, "profile": false, "options": {…}}
         {"stop": 3}   {"memory": true}
    out  {"ready": {"device": …, "name": …}}   {"memory": {…}}   {"event": {…}}   {"over": {"status": …, "error": …, "node": …, "problems": […], "fit": true}}
"""

from __future__ import annotations

import argparse
import gc
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
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
from graph_runner.run.device_memory import DeviceMemory
from graph_runner.run.devices import choose_device
from graph_runner.run.engine import Engine
from graph_runner.run.gauges import ResidentMemory
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
    """Requests from the server, read on a thread of its own so that a stop is heard, and memory told, during a run.

    memory: what is told of it.
    """

    def __init__(self, channel: Channel, memory: Callable[[], Mapping[str, int | None]]) -> None:
        self.jobs: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.stops: dict[int, threading.Event] = {}
        self._memory = memory
        threading.Thread(target=self._read, args=(channel,), daemon=True).start()

    def _read(self, channel: Channel) -> None:
        for message in channel.messages():
            if "stop" in message:
                self.stops[message["stop"]].set()
            elif "memory" in message:
                channel.send(memory=self._memory())
            else:
                self.stops[message["run"]] = threading.Event()
                self.jobs.put(message)
        for stop in self.stops.values():
            stop.set()
        self.jobs.put(None)
        time.sleep(LEAVE_SECONDS)
        os._exit(3)


class Engines:
    """The engine for what runs ask for: one at a time, kept as long as they ask for the same. device, options: as the worker was started."""

    def __init__(
        self, registry: Registry, workspace: Path, device: str, options: Mapping[str, Any], roots: Sequence[Path]
    ) -> None:
        self.registry, self.workspace, self.roots = registry, workspace, roots
        self._started = {**options, "device": device}
        self._tf32 = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        self._made: tuple[dict[str, Any], Engine] | None = None

    def __call__(self, asked: Mapping[str, Any]) -> Engine:
        """An engine with these options, and for the rest as the worker was started. Raises ValueError where it cannot be."""
        wanted = {**self._started, **asked}
        if self._made is None or self._made[0] != wanted:
            self._made = None  # its models go before others come
            gc.collect()
            # PyTorch's own switches, of the whole process: an engine that says nothing of them has them as they were.
            torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = self._tf32
            memory = DeviceMemory(choose_device(wanted["device"]))
            memory.give_back()
            if total := memory.total():
                memory.limit(total)
            advise = adviser(self.registry, self.workspace, self.roots)
            engine = Engine(self.registry, self.workspace, **wanted, roots=self.roots, advise=advise)
            self._made = wanted, engine
        return self._made[1]


def memory_of(device: torch.device) -> dict[str, int | None]:
    """What this process takes, in bytes (see `ui.schemas.WorkerMemory`)."""
    try:
        told: dict[str, int | None] = {"resident": ResidentMemory().now()}
    except OSError:  # another system than Linux
        told = {}
    if device.type != "cpu":
        memory = DeviceMemory(device)
        told |= {"used": memory.used(), "free": memory.free(), "total": memory.total()}
    return told


def run(
    engines: Callable[[Mapping[str, Any]], Engine],
    projections: Projections,
    job: dict[str, Any],
    stop: threading.Event,
    channel: Sender,
    log: Sequence[str] = (),
    on: str = "here",
    threads: int = 0,
) -> bool:
    """Do one run and tell all about it, and the loggers too. engines: makes the one for what the run asks for. on: who does the
    items of its sweeps. Returns whether this process is fit for another."""
    ending: list[events.Ended] = []
    began = time.perf_counter()

    def tell(event: Any) -> None:
        if isinstance(event, events.Ended):
            ending.append(event)  # the last word comes after the values of the targets
        else:
            channel.send(event=as_json(event))

    over: dict[str, Any] = {"status": "failed", "error": "", "node": "", "problems": [], "fit": True}
    try:
        asked = engine_options.read(job["options"])
        own = {name: asked.pop(name) for name in ("on", "threads", "devices", "shard") if name in asked}
        engine = engines(asked)
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
            on=own.get("on", on),
            listeners=[tell],
            stop=stop,
            observer=easel,
            raise_errors=False,
            threads=own.get("threads", threads),
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
    requests = Requests(channel, lambda: memory_of(choose_device(options.device)))
    # When memory runs out, the system should end this process and not the server.
    oom = Path("/proc/self/oom_score_adj")
    if oom.exists():
        oom.write_text("500")
    # A worker whose server was killed may still be writing its checkpoint: wait for it.
    with FileLock(options.workspace / ".server" / f"worker-{options.device.replace(':', '-')}.lock"):
        registry = Registry.installed(options.nodes)
        chosen = engine_options.chosen(options)
        engines = Engines(registry, options.workspace, options.device, chosen, options.only_below)
        projections = Projections()
        device = engines({}).device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
        channel.send(ready={"device": str(device), "name": name})
        while (job := requests.jobs.get()) is not None:
            stop = requests.stops[job["run"]]
            if not run(engines, projections, job, stop, channel, options.log, threads=options.threads):
                break  # memory may be fragmented, or the engine in no known state: the server starts another
    return 0


if __name__ == "__main__":
    sys.exit(main())
