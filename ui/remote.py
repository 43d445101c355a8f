"""Runs on an executor (`--on ray`): each waiting run is handed on at once, and the cluster decides when and where it begins.

To the run manager a place on the cluster looks like a worker process (`ui.process`): it says the same messages (`ui.worker`).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch

from graph_runner.base.events import Log
from graph_runner.base.home import folder_of
from graph_runner.bind.paths import Paths
from graph_runner.bind.validate import validate
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import read
from graph_runner.run.devices import choose_device
from graph_runner.run.engine import Engine
from graph_runner.run.executors import Again, Executor, Job, Tell
from ui.doing import as_json, run
from ui.pictures import Projections
from ui.schemas import Worker, WorkerMemory


@dataclass(frozen=True)
class Place:
    """How engines are made for runs. workspace: its folder on the server. home: how another machine finds the same. device: as the
    host named it. engine: its other options. on: who does the items of a sweep that is in a run."""

    workspace: Path
    home: str
    device: str
    engine: tuple[tuple[str, Any], ...] = ()
    packages: tuple[str, ...] = ()
    roots: tuple[Path, ...] = ()
    log: tuple[str, ...] = ()
    on: str = "here"


@dataclass(frozen=True)
class WholeRun:
    """A run as work for an executor (see `graph_runner.run.executors.Work`). job: as a worker process is told of it."""

    place: Place
    job: Mapping[str, Any]
    threads: int

    def __call__(self, item: int, tell: Tell, stop: threading.Event) -> None:  # noqa: ARG002 - there is one
        """Do it."""
        torch.set_num_threads(self.threads)

        def engine(options: Mapping[str, Any]) -> Engine:
            return _engine(replace(self.place, engine=tuple({**dict(self.place.engine), **options}.items())))

        # A run that holds a GPU does its sweeps by itself: items that wait for that GPU would wait for ever.
        on = self.place.on if choose_device(self.place.device).type == "cpu" else "here"
        if not run(engine, _projections(), {**self.job}, stop, _Channel(tell), self.place.log, on, self.threads):
            _engine.cache_clear()


class _Channel:
    """What stands for a worker's socket."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def send(self, **message: Any) -> None:
        """Tell one message. Whether the process is fit for another run is for the cluster to know."""
        if "over" in message:
            message["over"]["fit"] = True
        self._tell(message)


@lru_cache(maxsize=1)
def _engine(place: Place) -> Engine:
    """One for all runs that a process does, as long as they ask for the same: models stay warm."""
    registry = Registry.installed(place.packages)
    workspace = folder_of(place.home)
    roots = [workspace if root == place.workspace else root for root in place.roots]
    options = {**dict(place.engine), "device": place.device, "roots": roots}
    return Engine(registry, workspace, **options, guest=True)


@cache
def _projections() -> Projections:
    return Projections()


@dataclass(eq=False)
class Cluster:
    """The executor, open as long as the server is. registry: of the server's own nodes, which are the cluster's too."""

    executor: Executor
    place: Place
    registry: Registry
    _held: ExitStack = field(default_factory=ExitStack)

    def open(self) -> None:
        """Join or start the cluster. Raises LostError."""
        self._held.enter_context(self.executor.opened())

    def close(self) -> None:
        """Leave it, or end what was started."""
        self._held.close()

    def job(self, message: Mapping[str, Any]) -> Job:
        """A run, as a job of one item."""
        place, threads = self.place, torch.get_num_threads()
        graph = validate(read(message["text"]), self.registry, Paths(place.workspace, place.roots))[0]
        work = WholeRun(place, message, threads)
        where = (place.workspace, place.device, dict(place.engine).get("dtype", "float32"), place.roots)
        return Job(f"run {message['run']}", work, [0], graph, *where, self.registry.injectables, threads)


class RemoteWorker:
    """A place on the cluster for one run at a time. What the run says goes to `heard`, its loss (with the reason) to `ended`."""

    def __init__(
        self,
        device: str,
        cluster: Cluster,
        heard: Callable[[Any, dict[str, Any]], None],
        ended: Callable[[Any, str], None],
    ) -> None:
        self.device, self.name = device, "cluster"
        self.run: int | None = None
        self.state: str = "down"
        self.ready = False
        self.memory: WorkerMemory | None = None
        self._cluster, self._heard, self._ended = cluster, heard, ended
        self._stop, self._at_once = threading.Event(), threading.Event()
        self._doing: asyncio.Task[None] | None = None
        self._words = ""

    @property
    def alive(self) -> bool:
        """Whether runs can be handed to it."""
        return self.ready

    def describe(self) -> Worker:
        """What the page shows of it."""
        told = {"device": self.device, "name": self.name, "state": self.state, "run": self.run, "pid": None}
        return Worker.model_validate(told)

    async def start(self) -> None:
        """It is ready at once: the cluster is."""
        self.state, self.ready = "idle", True
        self._heard(self, {"ready": {"device": self.device, "name": self.name}})

    def say(self, **message: Any) -> None:
        """Hand on a run, or the wish to stop it. Of another machine's memory nothing is known here."""
        if "memory" in message:
            return
        if "stop" in message:
            self._stop.set()
        else:
            self._stop, self._at_once = threading.Event(), threading.Event()
            self._doing = asyncio.create_task(self._do(message, asyncio.get_running_loop()))

    def kill(self) -> None:
        """End the run at once."""
        self._at_once.set()

    async def close(self, grace: float) -> None:
        """Let the run stop at the end of a step; after `grace` seconds by force."""
        self._stop.set()
        if self._doing is not None and not self._doing.done():
            await asyncio.wait([self._doing], timeout=grace)
            self._at_once.set()
            await asyncio.wait([self._doing])

    def last_words(self) -> str:
        """What is known of why a run was lost."""
        return self._words

    async def _do(self, message: dict[str, Any], loop: asyncio.AbstractEventLoop) -> None:
        """One run, on a thread of its own."""
        self._words = ""

        def hear(_: int, told: Any) -> None:
            if isinstance(told, Again):
                again = "the run begins again, for its process was lost; its trainings go on from their checkpoints"
                told = {"event": as_json(Log(again, level="warning"))}
            loop.call_soon_threadsafe(self._heard, self, told)

        def work() -> bool:
            outcomes = self._cluster.executor(self._cluster.job(message), hear, self._stop, self._at_once)
            return any(True for _ in outcomes)

        try:
            why = "" if await asyncio.to_thread(work) else "the run was ended before it was done"
        except Exception as error:
            why, self._words = str(error), repr(error)
        if self.run is not None:  # the run itself has not said that it is over
            self._ended(self, why or "the run ended without a word")
