"""The engine's door: hand it a workflow, get a run."""

from __future__ import annotations

import copy
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from graph_runner.base import events
from graph_runner.base.contents import Contents
from graph_runner.base.disk import sentence
from graph_runner.base.hashes import Hashes
from graph_runner.base.home import folder_of, home_of, named
from graph_runner.base.problems import Problem, WorkflowError
from graph_runner.bind.given import UNSEEN, with_inputs
from graph_runner.bind.graph import Scope
from graph_runner.bind.paths import Paths, expanded
from graph_runner.bind.renamed import under_current_names
from graph_runner.bind.validate import errors, validate
from graph_runner.compile.compiler import compile_graph
from graph_runner.compile.keys import Keys, has_effect
from graph_runner.compile.lock import unseen, version_of
from graph_runner.contract import LARGEST_SEED, PortType
from graph_runner.contract.context import Processes
from graph_runner.contract.registry import Registry
from graph_runner.format.png import open_workflow
from graph_runner.format.workflow import Workflow, write
from graph_runner.run import executors, loggers, looks, surroundings
from graph_runner.run.acceleration import OFF, Acceleration
from graph_runner.run.call import Calls
from graph_runner.run.device_memory import DeviceMemory
from graph_runner.run.devices import choose_device
from graph_runner.run.elsewhere import Elsewhere
from graph_runner.run.execute import execute
from graph_runner.run.failures import ElsewhereError, NodeError, OutOfMemoryError, Stopped
from graph_runner.run.injectables import INJECTABLES
from graph_runner.run.interpreter import Do, Interpreter
from graph_runner.run.numbers import Checked, first_seen
from graph_runner.run.observer import Observer
from graph_runner.run.part import Part
from graph_runner.run.precision import Precision, allow_tf32, told_tf32
from graph_runner.run.profile import Profile
from graph_runner.run.residence import Residence
from graph_runner.run.runtime import Runtime
from graph_runner.run.targets import targets_of
from graph_runner.run.threads import Threads, choose
from graph_runner.run.weights import Weights, known_weights
from graph_runner.store.cache import Cache
from graph_runner.store.space import keep_copy_small, prepare

GIB = 2**30
CALLERS = (
    "self",
    "registry",
    "workspace",
    "processes",
    "advise",
    "workflow",
    "profile",
    "log",
    "listeners",
    "stop",
    "observer",
)
OWN = frozenset((*CALLERS, "raise_errors", "on", "part"))
"""The options of an engine and of a run that are for this process alone. All others hold wherever a part of the run is done."""
HASHES = "cache/hashes.db"
"""Where, in the workspace, the hashes of files that nodes read are kept."""


@dataclass(frozen=True)
class Result:
    """What a run gave: the values of its targets by their names, the files shown, and the folder that records it.

    types: of the values. `result["name"]` is a value; a notebook shows the pictures.
    """

    status: str
    folder: Path
    values: dict[str, Any] = field(default_factory=dict)
    shown: list[events.Shown] = field(default_factory=list)
    events: list[events.Event] = field(default_factory=list)
    error: NodeError | None = None
    profile: Profile | None = None
    types: dict[str, PortType] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        """The value of a target. Raises KeyError, saying what there is."""
        if name not in self.values:
            raise KeyError(f"{name!r} was not asked for; there is {', '.join(self.values) or 'nothing'}")
        return self.values[name]

    def _repr_html_(self) -> str:
        """What a notebook shows: the pictures among the values, what the others are, the files shown."""
        return looks.html(self.status, self.values, self.types, self.shown, self.folder.parents[1])

    def _repr_png_(self) -> bytes | None:
        """The picture, where one of the values has looks."""
        drawn = list(looks.drawn(self.values, self.types).values())
        return drawn[0] if len(drawn) == 1 else None


class Engine:
    """Runs workflows in one workspace; keeps values in memory from run to run.

    registry: the nodes that may be used; left out, those of all installed packages. workspace: the folder of all data,
    made where it is absent, or an address such as s3://bucket/path (see `graph_runner.base.home`). device: "auto", "cpu", "cuda", "cuda:1", "mps", or another that PyTorch knows. dtype: "float32", "bfloat16" or "float16"
    (parameters stay float32; the heavy operations run in dtype). memory: bytes of cached values held. roots: see
    `graph_runner.bind.paths.Paths`. shard: split models that train among the processes, instead of a whole one in each. weights: "float32",
    "bfloat16", "float16" or "float8", in which the weights of models are kept that do not train (see `graph_runner.run.weights`).
    tf32: whether GPUs may compute float32 products with 10 bits of fraction; left out, as PyTorch has it. vram: bytes that may be
    taken of the device's memory; left out, what it has free; on a CPU it says nothing. guest: it does parts of another engine's
    runs, which made the workspace ready. compile, attention, channels_last: see `graph_runner.run.acceleration.Acceleration`; they
    change results by rounding alone, and no key. advise: says what would help a workflow that ran out of memory (see
    `graph_runner.estimate.remedies`). Raises ValueError for a device that is absent, for a workspace that cannot be used, where
    one process alone should shard, and where what is split should be compiled.
    """

    def __init__(
        self,
        registry: Registry | None = None,
        workspace: str | Path = "workspace",
        *,
        device: str = "cpu",
        dtype: str = "float32",
        memory: int = 4 * GIB,
        processes: Processes | None = None,
        roots: Iterable[Path] = (),
        shard: bool = False,
        weights: str = "float32",
        tf32: bool | None = None,
        vram: int | None = None,
        guest: bool = False,
        compile: str = "off",
        attention: str = "auto",
        channels_last: bool = False,
        advise: Callable[[Workflow, torch.dtype], Sequence[str]] | None = None,
    ) -> None:
        roots = tuple(roots)
        self._options = {name: value for name, value in locals().items() if name not in OWN}
        self.registry = Registry.installed() if registry is None else registry
        self.workspace = expanded(folder_of(workspace)).resolve()
        self.home = home_of(self.workspace)
        self.roots = roots
        self.device = choose_device(device)
        self.dtype = getattr(torch, dtype)
        self.precision = Precision(self.dtype, self.device.type)
        self.weights = known_weights(weights)
        allow_tf32(tf32)
        self.acceleration = Acceleration(compile, attention, channels_last)
        if shard and compile != OFF:
            raise ValueError(
                "models that are split among processes are not compiled: each block's weights are put together where it is called;"
                " leave out --compile, or --shard"
            )
        self.advise = advise
        self.processes = processes or Processes()
        self.processes.split_models(shard)
        if self.home.address and self.processes.shard and self.processes.here < self.processes.world:
            raise ValueError(
                f"models that are split over several machines have checkpoints of which each machine writes a part, and {self.home.address} "
                "is reached through a copy on each; take a folder that all machines see as the workspace, or leave out --shard"
            )
        self.residence = Residence(self.device, vram) if self.device.type != "cpu" else None
        if self.processes.rank == 0 and not guest:
            prepare(self.workspace)
            self.home.prepare()
        keep_copy_small(self.workspace)
        self.cache = Cache(self.workspace, memory, self.registry.models, self.device)

    def including(self, *own: Callable[..., Any] | type) -> Engine:
        """This engine, with nodes of your own besides (see `Registry.including`); it holds the same values in memory."""
        other = copy.copy(self)
        other.registry, other.cache = self.registry.including(*own), copy.copy(self.cache)
        other.cache.models = other.registry.models
        return other

    def run(
        self,
        workflow: Workflow | str | Path,
        *,
        inputs: Mapping[str, Any] | None = None,
        targets: Iterable[str] = (),
        only: bool = False,
        seed: int = 0,
        fresh: bool = False,
        check_numbers: bool = False,
        profile: bool = False,
        checkpoint_seconds: float = 30.0,
        log: Iterable[str] = (),
        listeners: Iterable[events.Listener] = (),
        stop: threading.Event | None = None,
        observer: Observer | None = None,
        raise_errors: bool = True,
        on: str | executors.Executor = "here",
        part: Part | None = None,
        threads: int = 0,
    ) -> Result:
        """Run everything with an effect, and `targets` (nodes, ports or exposed outputs by name), whose values the result holds.

        workflow: or the path of a workflow's file, or of a picture that carries one.
        inputs: values by the places they go to, instead of what would be computed there (see `graph_runner.bind.given`): a
            node or one of its ports, or a parameter that the workflow exposes.
        only: run nothing but the targets and what they need.
        fresh: take nothing from caches and checkpoints. stop: set it to end the run at the end of a step.
        check_numbers: look at all that nodes give, and fail at the first that gives values that are no numbers; without
            it they are looked for only once a node refused them.
        log: loggers by name, with their options (see `graph_runner.run.loggers`). listeners: hear every event; one that
            raises is told of and hears no more.
        profile: count what each node takes, and write it into the run's folder (see `graph_runner.run.profile`).
        observer: looks on at what nodes at the top give, and now and then at what their loops are at.
        on: who does the items of `for_each`: "here", "ray", "ray://host:port" (see `graph_runner.run.executors`).
        part: only this one iteration, of a run that is another process'.
        threads: that processors compute with; 0 chooses by what is free (see `graph_runner.run.threads`).
        raise_errors: raise a node's failure (NodeError) instead of returning it. Raises WorkflowError before anything is
        computed where the workflow is wrong.
        """
        targets = tuple(targets)
        options = {name: value for name, value in locals().items() if name not in OWN}
        executor = self._executor(on)
        if not 0 <= seed <= LARGEST_SEED:
            raise WorkflowError([Problem(f"the run's seed {seed} must be a whole number from 0 to {LARGEST_SEED}")])
        logged = loggers.chosen(log)
        if not isinstance(workflow, Workflow):
            workflow = open_workflow(workflow)
        workflow = under_current_names(workflow, self.registry)
        asked = {workflow.exposed.outputs.get(name, name): name for name in targets}
        current = workflow
        given = with_inputs(workflow, self.registry, inputs or {}, asked, part.place.contents if part else {})
        workflow, registry = given.workflow, given.nodes
        paths = Paths(self.workspace, self.roots, anew=True)
        top, problems = validate(workflow, registry, paths)
        if wrong := errors(problems) or self.precision.problems(top):
            raise WorkflowError(wrong)
        wanted, ids = targets_of(top, asked)
        if not wanted and not (only and ids) and (only or not any(has_effect(bound) for bound in top.nodes.values())):
            raise WorkflowError(
                [
                    Problem(
                        "there is nothing to do: no node saves or shows anything",
                        remedy="Add a node such as save_image or preview_image, or name an output to compute",
                    )
                ]
            )
        leads = self.processes.rank == 0 and part is None
        folder = self.processes.agree(
            surroundings.new_folder(self.workspace / "runs", workflow.title, self.home) if leads else None
        )
        folder = self.workspace / part.place.folder if part else folder
        text = write(given.written)
        chosen = self.processes.agree(choose(threads, self.processes.here))
        options["threads"] = at_first = chosen.count  # another machine's part of the run computes to the same bits
        if leads:
            self._record(folder, text, seed, given.values, chosen)
        seen: list[events.Event] = []
        record = events.Record(folder / "events.jsonl") if leads else None
        own: list[events.Listener] = [seen.append, *([record] if record else [])]
        emit = events.Stream([*own, *(listeners if self.processes.rank == 0 else [])])
        began, dtype = time.perf_counter(), str(self.dtype).removeprefix("torch.")
        if self.processes.rank == 0:
            settings = {"seed": seed, "device": str(self.device), "dtype": dtype}
            loggers.listen(emit, logged, loggers.LoggedRun(self.workspace, folder, given.written, settings))
        profiled, interpreter = self._interpreter(top, check_numbers, profile and self.processes.rank == 0)
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
            observer,
            stop or threading.Event(),
            paths=paths,
            models=top.models,
            threads=chosen,
            interpreter=interpreter,
            injectables={**INJECTABLES, **self.registry.injectables},
            residence=self.residence,
            memory=DeviceMemory(self.device),
            forget=self.cache.let_go if self.residence is None else lambda: 0,  # it holds nothing on a device
        )
        if self.residence is not None:
            self.residence.tell = emit
        runtime.contents = Contents(Hashes(self.workspace / HASHES), runtime.tell_reading)
        if part is None:
            _tell_of_unseen(top, given.values, emit)
        for problem in problems if part is None else ():
            emit(events.Log(str(problem), level="warning"))
        if part is None and (not chosen.fixed or threads):
            emit(events.Log(f"computes with {chosen} ({chosen.why})"))
        status, values, failure = "failed", dict[str, Any](), None
        try:
            with events.Warnings(emit), chosen.computing():
                run = part.place.run if part else ""
                keys = Keys(seed, dtype, lambda bound: version_of(bound.spec), runtime.contents, self.weights, run)
                plan = compile_graph(top, wanted, keys, ids if only else None)
                if executor is not None:
                    went = (write(current), options, given.values, top, keys, self.cache)
                    runtime.elsewhere = Elsewhere(executor, self._made(), self._options["device"], *went)
                if part is not None:
                    part.do(plan, top, keys, runtime, self.cache)
                else:
                    values = execute(plan, runtime, self.cache)
            status = "done"
        except Stopped:
            status = "stopped"
        except NodeError as error:
            failure = self._cause(error, top, keys, runtime, check_numbers) if part is None else error
            failure = self._advised(failure, given.written, emit)
            trace = "".join(traceback.format_exception(failure.__cause__ or failure))
            emit(events.Failed(failure.node, str(failure), trace))
        finally:
            if self.residence is not None:
                self.residence.rest()
            if runtime.elsewhere is not None:
                runtime.elsewhere.close()
            if profiled is not None:
                _write(profiled, folder, time.perf_counter() - began, emit)
            if leads and chosen.count != at_first:  # a training went on with those that it had
                self._record(folder, text, seed, given.values, chosen)
            emit(events.Ended(status, round(time.perf_counter() - began, 3)))
            if record:
                record.close()
                self._keep(folder, events.Stream([seen.append, *listeners]))
        if failure is not None and raise_errors:
            raise failure
        values = {asked.get(name, name): value for name, value in values.items()}
        kinds = {name: top.nodes[source.node].outputs[source.port, source.name] for name, source in wanted.items()}
        types = {asked.get(name, name): kind for name, kind in kinds.items()}
        return Result(status, folder, values, runtime.shown, seen, failure, profiled, types)

    def _executor(self, on: str | executors.Executor) -> executors.Executor | None:
        """Who does iterations that may be done anywhere; None for this process."""
        executor = executors.chosen(on) if isinstance(on, str) else on
        if executor is not None and self.processes.world > 1:
            remedy = "Leave out --on, or start one process; a sweep's items are trained side by side then"
            raise WorkflowError([Problem("several processes (torchrun) share this run, and --on would share it again", remedy=remedy)])  # fmt: skip
        if executor is not None and self.registry.scanned is None:
            remedy = "Make it with Registry.scan([...]) or Registry.installed([...])"
            raise WorkflowError([Problem("another process cannot make this registry: it is of single nodes", remedy=remedy)])  # fmt: skip
        return executor

    def _made(self) -> Callable[[Processes, str], Engine]:
        """Makes an engine like this one on another machine, for a process and its device there; can be pickled."""
        assert self.registry.scanned is not None
        options = {**self._options, "guest": True}
        return partial(_made, self.registry.scanned, named(self.workspace), options)

    def _interpreter(
        self, top: Scope, check_numbers: bool, profile: bool = False
    ) -> tuple[Profile | None, Interpreter]:
        """What counts the steps of a run, if anything does, and what does them."""
        weights = Weights(self.weights, top)
        calls = Calls(
            lambda spec: self.precision.around(spec, self.acceleration.around(spec, spec.function)),
            weights,
            elsewhere=self.residence is not None,
            instead=weights.instead,
        )
        if not check_numbers and not profile:
            return None, Interpreter(calls, calls.quick)
        do: Do = Checked(calls) if check_numbers else calls
        profiled = Profile(do, self.device) if profile else None
        return profiled, Interpreter(profiled or do)

    def _cause(self, error: NodeError, top: Scope, keys: Keys, runtime: Runtime, check_numbers: bool) -> NodeError:
        """What a failure came of: of another process' failure, or of values that were no numbers, maybe an earlier node's."""
        message = str(error).removeprefix(f"{error.node}: ")
        if first := self.processes.failed_before(error.node, message):
            return ElsewhereError(first.node, ValueError(f"{first.message} (in process {first.rank})"))
        return first_seen(error, error, self.dtype) if check_numbers else self._traced(error, top, keys, runtime)

    def _advised(self, failure: NodeError, workflow: Workflow, emit: events.Stream) -> NodeError:
        """A failure for want of memory, with what would help; any other as it is."""
        cause = failure.__cause__
        if self.advise is None or not isinstance(cause, OutOfMemoryError):
            return failure
        try:
            remedies = self.advise(workflow, self.dtype)
        except Exception as error:  # whatever it was: the failure is what counts
            emit(events.Log(f"what would help could not be found out: {error}", failure.node))
            return failure
        if not remedies:
            return failure
        told = NodeError(failure.node, cause.with_remedies(remedies), failure.when)
        told.__cause__ = cause
        return told

    def _traced(self, refused: NodeError, top: Scope, keys: Keys, runtime: Runtime) -> NodeError:
        """Where values that a node refused were first no numbers: what it needs is gone through again, looking at each."""
        if (
            not isinstance(refused.__cause__, FloatingPointError)
            or runtime.processes.world > 1
            or runtime.stop.is_set()
        ):
            return refused
        message = f"{refused}. Going through it again, to find where values first were no numbers"
        runtime.emit(events.Log(message, refused.node, "warning"))
        within = next(bound for bound in top.walk() if bound.id == refused.node)
        while within.scope.zone is not None:
            within = within.scope.zone
        plan = compile_graph(top, {}, keys, {within.id})
        try:
            execute(plan, runtime.searching(self._interpreter(top, check_numbers=True)[1]), self.cache)
        except NodeError as error:
            return first_seen(error, refused, self.dtype)
        except Stopped:
            pass
        return refused

    def _record(self, folder: Path, workflow: str, seed: int, inputs: Mapping[str, str], threads: Threads) -> None:
        """Write down what a run ran in."""
        settings = {
            "seed": seed,
            "device": str(self.device),
            "dtype": str(self.dtype).removeprefix("torch."),
            "weights": self.weights,
            "tf32": told_tf32(),
            **self.acceleration.settings,
            "threads": threads.count,
            "threads_chosen": threads.why,
            "processes": self.processes.world,
            **({"shard": True} if self.processes.shard else {}),
            **({"inputs": inputs} if inputs else {}),
        }
        surroundings.record(folder, workflow, self.device, settings)
        self.home.keep_below(folder)

    def _keep(self, folder: Path, tell: events.Stream) -> None:
        """Keep a run's record at home too, whole as it is now."""
        try:
            self.home.keep_below(folder)
        except OSError as error:
            tell(events.Log(f"the run's record is on this machine alone: {sentence(error)}", level="warning"))


def _tell_of_unseen(top: Scope, values: Mapping[str, str], emit: events.Stream) -> None:
    """Say what cannot be kept, before hours are spent on it."""
    remedy = "nothing that is made of it is kept, and a training with it does not go on after a stop"
    for bound in top.walk():
        if not bound.spec.fleeting and (what := unseen(bound.spec)):
            emit(events.Log(f"its code cannot be seen ({what}): {remedy}", bound.id, "warning"))
    for name, known in values.items():
        if known.startswith(UNSEEN):
            emit(events.Log(f"the content of the input {name} cannot be seen: {remedy}", level="warning"))


def _made(
    scanned: tuple[Any, Any], workspace: str, options: Mapping[str, Any], processes: Processes, device: str
) -> Engine:
    return Engine(Registry.scan(*scanned), workspace, **{**options, "processes": processes, "device": device})


def _write(profile: Profile, folder: Path, seconds: float, emit: events.Stream) -> None:
    """Write a profile down. A full disk does not take the run from those who wait for it."""
    try:
        profile.write(folder, seconds)
    except OSError as error:
        emit(events.Log(f"the profile is not kept: {sentence(error)}", level="warning"))
