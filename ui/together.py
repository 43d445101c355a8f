"""One run in several processes (`devices`, `shard`): the worker starts what `./loom WORKFLOW --devices N` starts, and hands on what the
first process tells.

    worker  ──starts──▶  launcher (`python -m ui.together FOLDER`)  ──torchrun──▶  a process for each device (the same command)
            ◀──────────────── messages of the first, over a socket in FOLDER ────────────────

Whoever is killed takes those below along: each watches the one that started it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from graph_runner.base import events
from graph_runner.base.lifetime import FAILED, live_with
from graph_runner.base.problems import WorkflowError
from graph_runner.cli import engine_options, launch
from graph_runner.cli.interrupts import stopping
from graph_runner.contract.context import Processes
from graph_runner.contract.processes import joined
from graph_runner.contract.registry import Registry
from graph_runner.estimate.remedies import adviser
from graph_runner.run.engine import Engine
from ui.channel import Channel, received
from ui.doing import Place, Sender, as_json, run
from ui.pictures import Projections

JOB, WORKFLOW, SOCKET, WORDS = "job.json", "workflow.json", "events", "words.txt"
LAST_WORDS = 4000
"""Characters of what a launcher wrote, where nothing else is known of a failure."""
LOOK_SECONDS = 0.2
LATE_SECONDS = 10.0
"""How long what a killed launcher's processes told is waited for: they end as soon as they notice."""


def run_together(place: Place, job: Mapping[str, Any], stop: threading.Event, channel: Sender) -> bool:
    """Do one run in the processes that it asks for, and tell all about it. Returns whether this process is fit for another: it is."""
    over: list[dict[str, Any]] = []
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="loom-") as name, socket.socket(socket.AF_UNIX) as door:
        folder = Path(name)
        (folder / JOB).write_text(json.dumps(job))
        (folder / WORKFLOW).write_text(job["text"])
        door.bind(str(folder / SOCKET))
        door.listen(1)
        hearing = threading.Thread(target=_hear, args=(door, channel, over), daemon=True)
        hearing.start()
        with (folder / WORDS).open("wb") as words:
            command = [sys.executable, "-m", "ui.together", str(folder), "--place", json.dumps(place.to_json())]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=words, stderr=words)
            told = False
            while process.poll() is None:
                if stop.wait(LOOK_SECONDS) and not told:
                    told = True
                    process.send_signal(signal.SIGTERM)  # all stop at the end of their step, with a checkpoint
                elif told:
                    time.sleep(LOOK_SECONDS)
        with suppress(OSError), socket.socket(socket.AF_UNIX) as nobody:
            nobody.connect(str(folder / SOCKET))  # it would wait for ever for a process that never came
        hearing.join(LATE_SECONDS if not over else None)
        said = (folder / WORDS).read_text(errors="replace")[-LAST_WORDS:]
    if not over:  # the first process could not say it
        status = "stopped" if process.returncode == launch.STOPPED else "failed"
        error = "" if status == "stopped" else _sentence(said)
        if error:
            channel.send(event=as_json(events.Failed("", error, said)))
        channel.send(event=as_json(events.Ended(status, round(time.perf_counter() - began, 3))))
        over.append({"status": status, "error": error, "node": "", "problems": []})
    channel.send(over={**over[0], "fit": True})
    return True


def _hear(door: socket.socket, channel: Sender, over: list[dict[str, Any]]) -> None:
    """Hand on what the first process tells, until it has gone. That it is over is told once all processes are."""
    connection, _ = door.accept()
    with connection:
        for message in received(connection):
            if "over" in message:
                over.append(message["over"])
            else:
                channel.send(**message)


def _sentence(words: str) -> str:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    return lines[0] if lines else "the processes of the run ended without a word"


class _Sender:
    """The first process' end; those of the others say nothing. over: how the run ended."""

    def __init__(self, path: Path, processes: Processes) -> None:
        self.over: dict[str, Any] = {}
        self._channel: Channel | None = None
        if processes.rank == 0:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(str(path))
            self._channel = Channel(connection.detach())

    def send(self, **message: Any) -> None:
        """Send one message."""
        self.over = message.get("over", self.over)
        if self._channel is not None:
            self._channel.send(**message)


def main(argv: Sequence[str]) -> int:
    """Be the launcher, or one of the processes that it started. Returns the exit code."""
    parser = argparse.ArgumentParser("python -m ui.together")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--place", required=True)
    options = parser.parse_args(argv)
    place = Place.of_json(json.loads(options.place))
    job = json.loads((options.folder / JOB).read_text())
    asked = engine_options.read(job["options"])
    if launch.launched():
        return _one(options.folder, place, job, asked)
    live_with(os.getppid())
    device = asked.get("device", place.device)
    started = argparse.Namespace(
        workflow=options.folder / WORKFLOW, workspace=place.workspace, devices=asked["devices"], device=device
    )
    try:
        return launch.launch(started, argv, module="ui.together")
    except WorkflowError as error:
        print(error.problems[0], file=sys.stderr)
        return launch.WRONG


def _one(folder: Path, place: Place, job: dict[str, Any], asked: Mapping[str, Any]) -> int:
    """The part of one process."""
    launch.live_with_launcher()
    registry = Registry.installed(place.packages)
    device = asked.get("device", place.device)
    own = {name: value for name, value in asked.items() if name in engine_options.OPTIONS}
    stop = threading.Event()
    with joined(device) as (processes, own_device):
        engine = Engine(
            *(registry, place.workspace),
            **{**place.engine, **own},
            device=own_device,
            processes=processes,
            roots=place.roots,
            shard=bool(asked.get("shard")),
            advise=adviser(registry, place.workspace, place.roots),
        )
        sender = _Sender(folder / SOCKET, processes)
        threads = asked.get("threads", place.threads)
        with stopping(stop, lambda: None, together=True):
            first = processes.rank == 0
            run(lambda _: engine, Projections(), job, stop, sender, place.log, threads=threads, looks=first)
        if sender.over["status"] == "failed":
            launch.report([sender.over["error"]], own=True)
            os._exit(FAILED)  # the others may wait in a collective, and torchrun ends them
    return launch.STOPPED if sender.over["status"] == "stopped" else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
