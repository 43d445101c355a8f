"""A run while it runs: where it computes, what its nodes are handed, and the turns of its loops."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graph_runner.base import events
from graph_runner.base.contents import Contents
from graph_runner.base.names import refuse_twin, safe_name
from graph_runner.bind.paths import Paths
from graph_runner.compile.plan import BodyCall, Frame, Step, Stopped
from graph_runner.contract.context import Models, Processes, Rng, Stateful, derive
from graph_runner.run.outputs import OutputFolder
from graph_runner.run.shares import put_together, shared
from graph_runner.store.checkpoints import Checkpoints

PROGRESS_SECONDS = 0.1
MEGABYTE = 10**6

Watch = Callable[[Path, str, int, Mapping[str, Any]], None]
"""Looks on while a loop of the top turns: the run's folder, the zone, the turn, and what its body was last given."""


@dataclass(eq=False)
class Runtime:
    """One run's surroundings."""

    workspace: Path
    folder: Path
    seed: int
    device: torch.device
    dtype: torch.dtype
    emit: events.Stream
    processes: Processes
    workflow: str
    checkpoint_seconds: float
    fresh: bool = False
    watch: Watch | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    shown: list[events.Shown] = field(default_factory=list)
    search: bool = False  # goes through a run once more, only to look at its values
    paths: Paths = field(kw_only=True)
    contents: Contents = field(default_factory=Contents)
    models: Models = field(default_factory=Models)
    _told: set[tuple[str, Path]] = field(default_factory=set)
    _saved: set[str] = field(default_factory=set)

    def searching(self) -> Runtime:
        """The same run gone through once more to look at its values: nothing is saved or shown, and only how far it is told."""

        def tell(event: events.Event) -> None:
            if isinstance(event, events.Progress | events.Log):
                self.emit(event)

        return replace(self, emit=events.Stream([tell]), shown=list(self.shown), watch=None, search=True)

    def loop(self, activation: Activation) -> Any:
        """What counts the turns of a zone (see `graph_runner.context.Loop`)."""
        return ZoneLoop(activation)

    def place(self, value: Any) -> Any:
        """A value on the run's device: tensors, modules, what has `.to(device)`, and containers of them."""
        if self.device.type == "cpu" or isinstance(value, str | int | float | bool | None):
            return value
        if isinstance(value, dict):
            return {key: self.place(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.place(item) for item in value]
        return value.to(self.device) if hasattr(value, "to") else value

    def stopping(self, together: bool = True) -> bool:
        """Whether to stop now. Several processes stop together, where all of them come to ask, and nowhere else."""
        if self.processes.world == 1:
            return self.stop.is_set()
        return together and self.processes.any(self.stop.is_set())

    def tell_reading(self, node: str, path: Path, done: int, total: int) -> None:
        """Files are read for a node's key, which takes long: `done` of `total` bytes. Raises Stopped where that is asked."""
        if self.stopping(together=False):
            raise Stopped
        if (node, path) not in self._told:
            self._told.add((node, path))
            size = f"{total / 1e6:,.0f} MB"
            self.emit(events.Log(f"reads {path} ({size} new or changed) to know whether its result is known", node))
        self.emit(events.Progress(node, done // MEGABYTE, -(-total // MEGABYTE)))

    def saving(self, node: str, name: str) -> Path:
        """Where a node saves under a name (see `graph_runner.context.Saving`)."""
        target = self.workspace / safe_name(name)
        refuse_twin(self.workspace, name)
        if name not in self._saved and target.exists():
            since = datetime.fromtimestamp(target.stat().st_mtime)
            self.emit(events.Log(f"replaces {name}, which was saved on {since:%Y-%m-%d at %H:%M:%S}", node, "warning"))
        self._saved.add(name)
        return target

    def show(self, shown: events.Shown) -> None:
        """A file was written for people to see."""
        self.shown.append(shown)
        self.emit(shown)

    def show_again(self, shown: events.Shown) -> None:
        """A file that an earlier run showed: this run's folder gets a copy. One that is gone is passed over."""
        if self.search:
            return
        source = self.workspace / shown.path
        if self.processes.rank > 0 or not source.exists():
            return
        if source.is_relative_to(self.folder):
            self.show(shown)
            return

        def tell(path: Path, media: str, preview: bool) -> None:
            relative = path.relative_to(self.workspace).as_posix()
            self.show(replace(shown, path=relative, media=media, preview=preview))

        name = shown.path.partition("/outputs/")[2]
        outputs = OutputFolder(self.folder, self.workspace, self.workflow, tell, "")
        outputs.again(name, source, media=shown.media, preview=shown.preview)


class Activation:
    """One execution of a zone (or the top): the turns around it, and what its nodes are handed."""

    def __init__(self, runtime: Runtime, around: Activation | None = None, step: Step | None = None) -> None:
        self.runtime, self.around, self.step = runtime, around, step
        self.path: tuple[int, ...] = around.path if around else ()  # turns and micro-batches of the loops around
        self.turns: tuple[int, ...] = around.turns if around else ()
        self.micro: int = around.micro if around else 0  # which part of a turn's batch, counted over the loops around
        self.training: bool = around.training if around else False
        self.sharded: bool = around.sharded if around else False
        self.stateful: bool = around.stateful if around else False
        self.lineage = step.lineage if step else ""
        self.body: BodyCall | None = None
        self.held = ExitStack()  # until the zone has returned, or failed
        # Those who go through this together: all, but beside the turns of a training, where the first is alone.
        self.processes: Processes = around.processes if around else runtime.processes
        self.shares: frozenset[int] = frozenset()  # slots of the body of which each process holds a part
        if step is not None and step.spec.trains:
            self.training = self.sharded = True
        if step is not None and step.spec.aside:
            self.training = self.sharded = False
            self.micro = 0
            self.processes = Processes()

    @property
    def part(self) -> int:
        """Which part of the global batch the rows here are: all processes' shares of a micro-batch come before the next."""
        return self.micro * self.processes.world + self.processes.rank if self.sharded else self.micro

    def enter(self, step: Step, frame: Frame) -> Activation:
        """The activation of a zone that is about to be called, its body bound to the values it captures."""
        assert step.body is not None
        inside = Activation(self.runtime, self, step)
        if inside.sharded and inside.processes.world > 1:
            inside.shares = shared(step, self.shares)
        if step.spec.trains:
            inside.held.enter_context(inside.processes.together())
        if step.spec.aside:
            inside.held.enter_context(self.runtime.processes.apart())
        template: Frame = [None] * step.body.size
        for outside, slot in step.captures:
            value = self.runtime.place(frame[outside])
            template[slot] = value.detach() if step.spec.aside and isinstance(value, Tensor) else value
        inside.body = BodyCall(step.body, template, step.spec, inside)
        return inside

    def whole(self, steps: Iterable[Step], frame: Frame) -> Frame:
        """The frame that these steps should see on rank 0: what each process holds a share of put together. All must ask."""
        slots = sorted(self.shares.intersection(slot for step in steps for slot in step.reads())) if self.shares else []
        if not slots:
            return frame
        frame = frame.copy()
        for slot, value in zip(slots, put_together([frame[slot] for slot in slots], self.processes), strict=True):
            frame[slot] = value
        return frame

    def leave(self) -> None:
        """Let go of what the zone held and its body captured, now that it has returned."""
        self.held.close()
        if self.body is not None:
            self.body.template.clear()
            self.body.frame = None
            self.body = None

    def inject(self, kind: str, node: str, *use: object) -> Any:
        """What the engine hands to a parameter of this kind of the node that is about to be called.

        use: what its random numbers are for.
        """
        runtime = self.runtime
        match kind:
            case "rng":
                return Rng(derive(runtime.seed, *use, self.turns), runtime.device, self.part)
            case "loop":
                return runtime.loop(self)
            case "outputs":
                return OutputFolder(
                    runtime.folder, runtime.workspace, runtime.workflow, partial(self._show, node), self._suffix()
                )
            case "saving":
                return partial(runtime.saving, node)
            case "metrics":
                return partial(self._metrics, node)
            case "tell":
                return partial(self._tell, node)
            case "progress":
                return partial(self._progress, node)
            case "device":
                return runtime.device
            case "dtype":
                return runtime.dtype
            case "workspace":
                return runtime.workspace
            case "models":
                return runtime.models
            case "processes":
                return self.processes if self.sharded else Processes()
        raise ValueError(f"the engine cannot hand in {kind!r}")

    def _show(self, node: str, path: Path, media: str, preview: bool) -> None:
        relative = path.relative_to(self.runtime.workspace).as_posix()
        self.runtime.show(events.Shown(node, relative, media, preview, self._turn()))

    def _turn(self) -> int | None:
        """The turn of the innermost loop."""
        return self.turns[-1] if self.turns else None

    @property
    def when(self) -> str:
        """The turns of the loops around, in words: "turn 3 of fit, turn 1 of sweep"; empty outside of loops."""
        told: list[str] = []
        around: Activation | None = self
        while around is not None and around.step is not None:
            if around.step.spec.loops and around.turns:
                told.append(f"turn {around.turns[-1] + 1} of {around.step.id}")
            around = around.around
        return ", ".join(told)

    def _suffix(self) -> str:
        return "".join(f"-{turn + 1:06d}" for turn in self.turns)

    def _metrics(self, node: str, **values: float | Tensor) -> None:
        numbers = {k: float(v.detach() if isinstance(v, Tensor) else v) for k, v in values.items()}
        self.runtime.emit(events.Metric(node, numbers, self._turn()))

    def _tell(self, node: str, sentence: str, level: str = "warning") -> None:
        self.runtime.emit(events.Log(sentence, node, level))

    def _progress(self, node: str, done: int, total: int) -> None:
        self.runtime.emit(events.Progress(node, done, total, self.turns))


class ZoneLoop:
    """The `Loop` that a zone is handed (see `graph_runner.context.Loop`)."""

    def __init__(self, activation: Activation) -> None:
        self.activation = activation
        self._base, self._around, self._micro = activation.path, activation.turns, activation.micro
        self._turn = 0

    def __call__(
        self,
        n: int,
        state: Stateful | None = None,
        aside: Callable[[], AbstractContextManager[Any]] | None = None,
    ) -> Iterator[int]:
        """The turns still to do, of n."""
        own, runtime = self.activation, self.activation.runtime
        checkpoints = None
        begin = 0
        if state is not None:
            checkpoints = self._checkpoints()
            own.held.enter_context(checkpoints.alone(runtime.stop))
            begin = checkpoints.restore(state, n)
            nested, own.stateful = own.stateful, True
        else:
            nested = own.stateful
        began = told = saved = time.monotonic()
        for turn in range(begin, n):
            if not nested and runtime.stopping(own.sharded):
                runtime.emit(events.Progress(own.step.id if own.step else "", turn, n, self._around))
                if checkpoints is not None and state is not None and turn > begin and not runtime.search:
                    checkpoints.save(turn, state)
                raise Stopped
            own.path, own.turns, self._turn = (*self._base, turn), (*self._around, turn), turn
            yield turn
            own.path = (*self._base, turn)
            self._run_asides(turn, turn == n - 1, aside or nullcontext)
            now = time.monotonic()
            # Short loops within loops tell nothing: the loop around them does.
            if now - told >= PROGRESS_SECONDS or (turn == n - 1 and (not self._base or told > began)):
                told = now
                runtime.emit(events.Progress(own.step.id if own.step else "", turn + 1, n, self._around))
                if runtime.watch is not None and own.step and own.body is not None and not self._base:
                    runtime.watch(runtime.folder, own.step.id, turn, own.body.given)
            if (
                checkpoints is not None
                and state is not None
                and not runtime.search
                and (turn == n - 1 or now - saved >= runtime.checkpoint_seconds)
            ):
                checkpoints.save(turn + 1, state, final=turn == n - 1)
                saved = time.monotonic()
        own.path, own.turns = self._base, self._around

    def micro(self, n: int) -> Iterator[int]:
        """The micro-batches of the current turn."""
        own = self.activation
        for micro in range(n):
            own.path, own.micro = (*self._base, self._turn, micro), self._micro * n + micro
            yield micro
        own.path, own.micro = (*self._base, self._turn), self._micro

    def _run_asides(self, turn: int, last: bool, aside: Callable[[], AbstractContextManager[Any]]) -> None:
        own = self.activation
        body = own.body
        if body is None or not body.code.asides or body.frame is None:
            return
        frame = body.frame
        due = [step for step in body.code.asides if last or (turn + 1) % step.arguments(frame).get("n", 1) == 0]
        frame = own.whole(due, frame)
        if due and own.processes.rank == 0:
            with torch.no_grad(), aside():
                for step in due:
                    step.call(step.arguments(frame), frame, own)

    def _checkpoints(self) -> Checkpoints:
        own, runtime = self.activation, self.activation.runtime
        given: list[str] = []  # what the zones around hand to their bodies, and so to this loop
        around = own.around
        while around is not None and around.step is not None:
            if around.step.spec.body is not None and around.step.spec.body.ports:
                given.append(around.step.key)
            around = around.around
        name = f"{derive(own.lineage, *given, *self._base):016x}" if given else own.lineage[:32]
        return Checkpoints(
            runtime.workspace / "checkpoints" / name,
            own.processes,
            node=own.step.id if own.step else "",
            run=runtime.folder,
            shown=runtime.shown,
            show=runtime.show_again,
            ignore=runtime.fresh,
            log=runtime.emit,
        )
