"""Doing one run: the engine that it asks for, and all that is told of it as messages (see `ui.worker`)."""

from __future__ import annotations

import gc
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

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
from ui.easel import Easel
from ui.pictures import Projections
from ui.schemas import Refused, Value, sendable


class Sender(Protocol):
    """Where a run's messages go."""

    def send(self, **message: Any) -> None:
        """Send one."""
        ...


@dataclass(frozen=True)
class Place:
    """How a worker was started. engine: the options of its engines; packages: of nodes; roots: folders to read below, if any are named."""

    workspace: Path
    device: str
    engine: Mapping[str, Any]
    packages: tuple[str, ...] = ()
    roots: tuple[Path, ...] = ()
    log: tuple[str, ...] = ()
    threads: int = 0

    def to_json(self) -> dict[str, Any]:
        """As another process is told of it."""
        return {**vars(self), "workspace": str(self.workspace), "roots": [*map(str, self.roots)]}

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> Place:
        """What `to_json` told."""
        lists = {name: tuple(told[name]) for name in ("packages", "log")}
        return cls(**{**told, **lists, "workspace": Path(told["workspace"]), "roots": tuple(map(Path, told["roots"]))})


class Engines:
    """The engine for what runs ask for: one at a time, kept as long as they ask for the same. place: as the worker was started."""

    def __init__(self, registry: Registry, place: Place) -> None:
        self.registry, self.place = registry, place
        self._tf32 = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        self._made: tuple[dict[str, Any], Engine] | None = None

    def __call__(self, asked: Mapping[str, Any]) -> Engine:
        """An engine with these options, and for the rest as the worker was started. Raises ValueError where it cannot be."""
        wanted = {**self.place.engine, "device": self.place.device, **asked}
        if self._made is None or self._made[0] != wanted:
            self.let_go()
            # PyTorch's own switches, of the whole process: an engine that says nothing of them has them as they were.
            torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = self._tf32
            memory = DeviceMemory(choose_device(wanted["device"]))
            if total := memory.total():
                memory.limit(total)
            workspace, roots = self.place.workspace, self.place.roots
            advise = adviser(self.registry, workspace, roots)
            self._made = wanted, Engine(self.registry, workspace, **wanted, roots=roots, advise=advise)
        return self._made[1]

    def let_go(self) -> None:
        """Forget the engine, so that its models leave the device before others come."""
        if self._made is not None:
            device = self._made[1].device
            self._made = None
            gc.collect()
            DeviceMemory(device).give_back()


def run(
    engines: Callable[[Mapping[str, Any]], Engine],
    projections: Projections,
    job: dict[str, Any],
    stop: threading.Event,
    channel: Sender,
    log: Sequence[str] = (),
    on: str = "here",
    threads: int = 0,
    looks: bool = True,
) -> bool:
    """Do one run and tell all about it, and the loggers too. engines: makes the one for what the run asks for. on: who does the
    items of its sweeps. looks: draw what it is about, beside what its nodes draw. Returns whether this process is fit for another."""
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
            observer=easel if looks else None,
            raise_errors=False,
            threads=own.get("threads", threads),
        )
        over["status"] = result.status
        if result.error is not None:
            over |= {"error": str(result.error), "node": result.error.node}
            over["fit"] = not isinstance(result.error.__cause__, torch.OutOfMemoryError | MemoryError)
        for target, value in result.values.items():
            tell(Value(target, in_a_line(value)))
        if job["only"] and looks:
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
