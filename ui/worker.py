"""The process that runs graphs: one engine, one device, one run at a time; `python -m ui.worker`, started by the server.

It reads requests from a socket and answers on it (`ui.channel`); what nodes print goes to its log, and its standard input
is empty. When the socket ends (the server is gone) it stops the run at the end of its step, with a checkpoint, and leaves.

    in   {"run": 3, "text": …, "targets": […], "only": false, "seed": 0, "fresh": false, "check_numbers": false, "profile": false, "options": {…}}
         {"stop": 3}   {"memory": true}
    out  {"ready": {"device": …, "name": …}}   {"memory": {…}}   {"event": {…}}   {"over": {"status": …, "error": …, "node": …, "problems": […], "fit": true}}
"""

from __future__ import annotations

import argparse
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from graph_runner.cli import engine_options
from graph_runner.contract.registry import Registry
from graph_runner.run.device_memory import DeviceMemory
from graph_runner.run.devices import choose_device
from graph_runner.run.gauges import ResidentMemory
from ui.channel import Channel
from ui.doing import Engines, Place, run
from ui.pictures import Projections
from ui.together import run_together

LEAVE_SECONDS = 10.0
"""How long a run may take to stop after the server has gone."""


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


def memory_of(device: torch.device) -> dict[str, int | None]:
    """What this process takes, in bytes (see `ui.schemas.WorkerMemory`)."""
    try:
        told: dict[str, int | None] = {"resident": ResidentMemory().now()}
    except OSError:  # another system than Linux
        told = {}
    if device.type != "cpu":
        with suppress(RuntimeError):  # a device in which a run broke something: stops must be heard all the same
            memory = DeviceMemory(device)
            told |= {"used": memory.used(), "free": memory.free(), "total": memory.total()}
    return told


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
        registry = Registry.installed(options.nodes, passing_over=True)  # the server tells which are passed over
        place = Place(
            options.workspace,
            options.device,
            engine_options.chosen(options),
            packages=tuple(options.nodes),
            roots=tuple(options.only_below),
            log=tuple(options.log),
            threads=options.threads,
        )
        engines = Engines(registry, place)
        projections = Projections()
        device = engines({}).device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
        channel.send(ready={"device": str(device), "name": name})
        while (job := requests.jobs.get()) is not None:
            stop = requests.stops[job["run"]]
            if "devices" in job["options"]:
                engines.let_go()  # the processes of the run need the devices
                run_together(place, job, stop, channel)
            elif not run(engines, projections, job, stop, channel, place.log, threads=place.threads):
                break  # memory may be fragmented, or the engine in no known state: the server starts another
    return 0


if __name__ == "__main__":
    sys.exit(main())
