"""The engine's door: hand it a workflow, get a run."""

from __future__ import annotations

import json
import platform
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import torch

from graph_runner.base import events
from graph_runner.base.contents import Contents
from graph_runner.base.files import write_atomically
from graph_runner.base.hashes import Hashes
from graph_runner.base.problems import Problem, WorkflowError, did_you_mean
from graph_runner.bind.graph import Scope, Source
from graph_runner.bind.paths import PathError, Paths, expanded
from graph_runner.bind.renamed import present, under_current_names
from graph_runner.bind.validate import errors, validate
from graph_runner.compile.compiler import compile_graph
from graph_runner.compile.keys import Keys, has_effect
from graph_runner.compile.lock import version_of
from graph_runner.compile.plan import ElsewhereError, NodeError, Stopped
from graph_runner.contract import LARGEST_SEED
from graph_runner.contract.context import Processes
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow, write
from graph_runner.run.execute import execute
from graph_runner.run.numbers import checked, first_seen
from graph_runner.run.precision import Precision
from graph_runner.run.runtime import Runtime, Watch
from graph_runner.store.cache import Cache
from graph_runner.store.space import prepare

GIB = 2**30
HASHES = "cache/hashes.db"
"""Where, in the workspace, the hashes of files that nodes read are kept."""


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
    the heavy operations run in dtype). memory: bytes of cached values held. roots: see `graph_runner.bind.paths.Paths`. Raises
    ValueError for a device that is absent and for a workspace that cannot be used.
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
        roots: Iterable[Path] = (),
    ) -> None:
        self.registry = registry
        self.workspace = expanded(workspace).resolve()
        self.roots = tuple(roots)
        self.device = choose_device(device)
        self.dtype = getattr(torch, dtype)
        self.precision = Precision(self.dtype, self.device.type)
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
        check_numbers: bool = False,
        checkpoint_seconds: float = 30.0,
        listeners: Iterable[Callable[[events.Event], None]] = (),
        stop: threading.Event | None = None,
        watch: Watch | None = None,
        raise_errors: bool = True,
    ) -> Result:
        """Run everything with an effect, and `targets` (nodes or ports by name), whose values the result holds.

        only: run nothing but the targets and what they need.
        fresh: take nothing from caches and checkpoints. stop: set it to end the run at the end of a turn.
        check_numbers: look at all that nodes give, and fail at the first that gives values that are no numbers; without
            it they are looked for only once a node refused them.
        watch: looks into the loops of the top, now and then.
        raise_errors: raise a node's failure (NodeError) instead of returning it. Raises WorkflowError before anything is
        computed where the workflow is wrong.
        """
        if not 0 <= seed <= LARGEST_SEED:
            raise WorkflowError([Problem(f"the run's seed {seed} must be a whole number from 0 to {LARGEST_SEED}")])
        workflow = under_current_names(workflow, self.registry)
        top, problems = validate(workflow, self.registry)
        if wrong := errors(problems) or self.precision.problems(top):
            raise WorkflowError(wrong)
        wanted, ids = _targets(top, targets)
        place_paths(top, self.workspace, self.roots)
        policy = checked(self.precision) if check_numbers else self.precision
        if not wanted and not (only and ids) and (only or not any(has_effect(bound) for bound in top.nodes.values())):
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
            paths=Paths(self.workspace, self.roots),
        )
        runtime.contents = Contents(Hashes(self.workspace / HASHES), runtime.tell_reading)
        for problem in problems:
            emit(events.Log(str(problem), level="warning"))
        began, dtype = time.perf_counter(), str(self.dtype).removeprefix("torch.")
        status, values, failure = "failed", dict[str, Any](), None
        try:
            with events.Warnings(emit):
                keys = Keys(seed, dtype, lambda bound: version_of(bound.spec), runtime.contents)
                plan = compile_graph(top, wanted, keys, ids if only else None, policy)
                values = execute(plan, top, runtime, self.cache)
            status = "done"
        except Stopped:
            status = "stopped"
        except NodeError as error:
            failure = self._cause(error, workflow, keys, runtime, check_numbers)
            trace = "".join(traceback.format_exception(failure.__cause__ or failure))
            emit(events.Failed(failure.node, str(failure), trace))
        finally:
            emit(events.Ended(status, round(time.perf_counter() - began, 3)))
            if record:
                record.close()
        if failure is not None and raise_errors:
            raise failure
        return Result(status, folder, values, runtime.shown, seen, failure)

    def _cause(
        self, error: NodeError, workflow: Workflow, keys: Keys, runtime: Runtime, check_numbers: bool
    ) -> NodeError:
        """What a failure came of: of another process' failure, or of values that were no numbers, maybe an earlier node's."""
        if elsewhere := self.processes.failed_before(str(error)):
            return ElsewhereError(error.node, ValueError(elsewhere))
        return (first_seen(error, error, self.dtype) if check_numbers else None) or self._traced(
            error, workflow, keys, runtime
        )

    def _traced(self, refused: NodeError, workflow: Workflow, keys: Keys, runtime: Runtime) -> NodeError:
        """Where values that a node refused were first no numbers: what it needs is gone through again, looking at each."""
        if (
            not isinstance(refused.__cause__, FloatingPointError)
            or runtime.processes.world > 1
            or runtime.stop.is_set()
        ):
            return refused
        message = f"{refused}. Going through it again, to find where values first were no numbers"
        runtime.emit(events.Log(message, refused.node, "warning"))
        top, _ = validate(workflow, self.registry)
        place_paths(top, self.workspace, self.roots)
        within = next(bound for bound in top.walk() if bound.id == refused.node)
        while within.scope.zone is not None:
            within = within.scope.zone
        plan = compile_graph(top, {}, keys, {within.id}, checked(self.precision))
        try:
            execute(plan, top, runtime.searching(), self.cache)
        except NodeError as error:
            return first_seen(error, refused, self.dtype)
        except Stopped:
            pass
        return refused

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
            rest = present(bound.spec.outputs, rest)
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


def place_paths(top: Scope, workspace: Path, roots: Iterable[Path] = ()) -> None:
    """Make the paths of files that nodes read absolute (see `graph_runner.bind.paths.Paths`).

    Raises WorkflowError with every one that cannot be read.
    """
    paths, wrong = Paths(workspace, roots), list[Problem]()
    for bound in top.walk():
        for name, param in bound.spec.params.items():
            value = bound.params.get(name)
            if param.path_kind is None or not value:
                continue
            try:
                bound.params[name] = str(paths.place(value, param.path_kind))
            except PathError as error:
                wrong.append(Problem(error.message, bound.id, name, error.remedy))
    if wrong:
        raise WorkflowError(wrong)
