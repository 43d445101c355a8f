"""The engine's door: hand it a workflow, get a run."""

from __future__ import annotations

import json
import platform
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import torch

from graph_runner import events
from graph_runner.cache import Cache
from graph_runner.compile import compile_graph
from graph_runner.context import Processes
from graph_runner.execute import execute
from graph_runner.files import write_atomically
from graph_runner.graph import BoundNode, Scope, Source
from graph_runner.keys import Keys
from graph_runner.lock import version_of
from graph_runner.plan import NodeError, Stopped
from graph_runner.problems import Problem, WorkflowError, did_you_mean
from graph_runner.registry import Registry
from graph_runner.runtime import Runtime, Watch
from graph_runner.space import prepare
from graph_runner.validate import errors, validate
from graph_runner.workflow import Workflow, write

GIB = 2**30


@dataclass(frozen=True)
class Result:
    """What a run gave: the values asked for, the files shown, and the folder that records it."""

    status: str
    folder: Path
    values: dict[str, Any] = field(default_factory=dict)
    shown: list[events.Shown] = field(default_factory=list)
    events: list[events.Event] = field(default_factory=list)
    error: NodeError | None = None


class Engine:
    """Runs workflows in one workspace; keeps values in memory from run to run.

    device: "auto", "cpu", "cuda", "cuda:1", "mps". dtype: "float32", "bfloat16" or "float16" (parameters stay float32;
    the heavy operations run in dtype). memory: bytes of cached values held. Raises ValueError for a device that is absent
    and for a workspace that cannot be used.
    """

    def __init__(
        self,
        registry: Registry,
        workspace: str | Path,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        memory: int = 4 * GIB,
        processes: Processes | None = None,
    ) -> None:
        self.registry = registry
        self.workspace = Path(workspace).expanduser().resolve()
        self.device = choose_device(device)
        self.dtype = getattr(torch, dtype)
        self.processes = processes or Processes()
        if self.processes.rank == 0:
            prepare(self.workspace)
        self.cache = Cache(self.workspace, memory)

    def run(
        self,
        workflow: Workflow,
        *,
        targets: Iterable[str] = (),
        only: bool = False,
        seed: int = 0,
        fresh: bool = False,
        checkpoint_seconds: float = 30.0,
        listeners: Iterable[Callable[[events.Event], None]] = (),
        stop: threading.Event | None = None,
        watch: Watch | None = None,
        raise_errors: bool = True,
    ) -> Result:
        """Run everything with an effect, and `targets` (nodes or ports by name), whose values the result holds.

        only: run nothing but the targets and what they need.
        fresh: take nothing from caches and checkpoints. stop: set it to end the run at the end of a turn.
        watch: looks into the loops of the top, now and then.
        raise_errors: raise a node's failure (NodeError) instead of returning it. Raises WorkflowError before anything is
        computed where the workflow is wrong.
        """
        top, problems = validate(workflow, self.registry)
        if errors(problems):
            raise WorkflowError(errors(problems))
        wanted, ids = _targets(top, targets)
        place_paths(top, self.workspace)
        keys = Keys(seed, str(self.dtype).removeprefix("torch."), lambda bound: version_of(bound.spec))
        plan = compile_graph(top, wanted, keys, ids if only else None)
        if not plan.roots:
            raise WorkflowError(
                [
                    Problem(
                        "there is nothing to do: no node saves or shows anything",
                        remedy="Add a node such as save_image or preview_image, or name an output to compute",
                    )
                ]
            )
        folder = self.processes.agree(self._new_folder(workflow) if self.processes.rank == 0 else None)
        text = write(workflow)
        if self.processes.rank == 0:
            self._record_surroundings(folder, text, seed)
        seen: list[events.Event] = []
        record = events.Record(folder / "events.jsonl") if self.processes.rank == 0 else None
        own: list[events.Listener] = [seen.append, *([record] if record else [])]
        emit = events.Stream([*own, *(listeners if self.processes.rank == 0 else [])])
        runtime = Runtime(
            self.workspace,
            folder,
            seed,
            self.device,
            self.dtype,
            emit,
            self.processes,
            text,
            checkpoint_seconds,
            fresh,
            watch,
            stop or threading.Event(),
        )
        for problem in problems:
            emit(events.Log(str(problem), level="warning"))
        began = time.perf_counter()
        status, values, failure = "failed", dict[str, Any](), None
        try:
            precision = torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)
            with precision, events.Warnings(emit):
                values = execute(plan, top, runtime, self.cache)
            status = "done"
        except Stopped:
            status = "stopped"
        except NodeError as error:
            failure = error
        finally:
            emit(events.Ended(status, round(time.perf_counter() - began, 3)))
            if record:
                record.close()
        if failure is not None and raise_errors:
            raise failure
        return Result(status, folder, values, runtime.shown, seen, failure)

    def _new_folder(self, workflow: Workflow) -> Path:
        name = re.sub(r"[^a-z0-9]+", "-", workflow.title.lower()).strip("-")[:40] or "run"
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        runs = self.workspace / "runs"
        runs.mkdir(exist_ok=True)
        number = 1
        while True:
            folder = runs / (f"{stamp}-{name}" + (f"-{number}" if number > 1 else ""))
            try:
                folder.mkdir()
                return folder
            except FileExistsError:
                number += 1

    def _record_surroundings(self, folder: Path, workflow: str, seed: int) -> None:
        """Write down the workflow and what it ran in, so that the run can be made again."""
        write_atomically(folder / "workflow.json", workflow.encode())
        environment = {
            "seed": seed,
            "device": str(self.device),
            "dtype": str(self.dtype).removeprefix("torch."),
            "threads": torch.get_num_threads(),
            "processes": self.processes.world,
            "python": sys.version.split()[0],
            "platform": platform.platform(),
            "gpu": torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else None,
            "packages": _installed(),
        }
        write_atomically(folder / "environment.json", json.dumps(environment, indent=1).encode())


_packages: dict[str, str] = {}


def _installed() -> dict[str, str]:
    """Installed packages and their versions (read once a process: it takes a tenth of a second)."""
    if not _packages:
        _packages.update(sorted((dist.metadata["Name"], dist.version) for dist in distributions()))
    return _packages


def choose_device(name: str) -> torch.device:
    """A device by name; "auto" takes a GPU where there is one. Raises ValueError where it is absent."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"there is no device called {name!r}; it can be auto, cpu, cuda, cuda:N or mps") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("no CUDA device is here; use --device cpu, or --device auto")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError("no MPS device is here; use --device cpu, or --device auto")
    return device


def _targets(top: Scope, names: Iterable[str]) -> tuple[dict[str, Source], set[str]]:
    """The ports that are asked for, by name, and the nodes they belong to (which may give nothing)."""
    targets: dict[str, Source] = {}
    ids: set[str] = set()
    for name in names:
        for asked, reference in _meant(top, name).items():
            id, _, rest = reference.partition(".")
            bound = top.nodes.get(id)
            if bound is None:
                message = f"there is no node {id!r} at the top of the graph"
                raise WorkflowError([Problem(message, remedy=did_you_mean(id, [*top.nodes, *top.uses]))])
            slots = {".".join(part for part in slot if part): slot for slot in bound.outputs}
            if rest and rest not in slots:
                raise WorkflowError([Problem(f"{id!r} has no output {rest!r}", id, remedy=did_you_mean(rest, slots))])
            for port in [rest] if rest else slots:  # a node stands for all it gives
                targets[asked if rest or len(slots) == 1 else f"{asked}.{port}"] = Source(id, *slots[port])
            ids.add(id)
    return targets, ids


def _meant(top: Scope, name: str) -> dict[str, str]:
    """What a name asks for: itself, or what the results of a definition's use stand for."""
    id, _, port = name.partition(".")
    if id not in top.uses:
        return {name: name}
    outputs = {port: reference for port, reference in top.uses[id].items() if isinstance(reference, str)}
    if port and port not in outputs:
        raise WorkflowError([Problem(f"{id!r} has no output {port!r}", id, remedy=did_you_mean(port, outputs))])
    if port or len(outputs) == 1:
        return {name: outputs[port or next(iter(outputs))]}
    return {f"{id}.{each}": reference for each, reference in outputs.items()}


def place_paths(top: Scope, workspace: Path) -> None:
    """Make the paths of files that nodes read absolute: relative ones start at the workspace.

    Raises WorkflowError with every one that does not exist.
    """
    missing: list[Problem] = []
    for bound in top.walk():
        for name, param in bound.spec.params.items():
            value = bound.params.get(name)
            if param.path_kind is None or not value:
                continue
            path = Path(value).expanduser()
            path = path if path.is_absolute() else workspace / path
            if not path.exists():
                missing.append(_missing(bound, name, path, param.path_kind))
            bound.params[name] = str(path)
    if missing:
        raise WorkflowError(missing)


def _missing(bound: BoundNode, name: str, path: Path, kind: str) -> Problem:
    return Problem(
        f"there is no {kind} {path}",
        bound.id,
        name,
        f"Give the path of a {kind}, absolute or relative to the workspace",
    )
