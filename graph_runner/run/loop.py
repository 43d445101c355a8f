"""The iterations of a zone, and what happens each time that one has ended.

That is one moment with listeners, which hear of it in this order: `Asides` (callbacks look at the iteration's
values), `Teller` (how far the loop is), `Watcher` (the host looks on), `Saver` (a checkpoint, with all that was shown by then).
Each is there only where it has something to do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from graph_runner.base import events
from graph_runner.base.home import home_of
from graph_runner.compile.plan import Step
from graph_runner.contract.context import Judge, Stateful, derive
from graph_runner.run.failures import NodeError, Stopped
from graph_runner.store.checkpoints import Checkpoints, mesh_of

if TYPE_CHECKING:
    from graph_runner.run.activation import Activation
    from graph_runner.run.interpreter import Frame
    from graph_runner.run.observer import Observer

R = TypeVar("R")

PROGRESS_SECONDS = 0.1

TurnEnded = Callable[[int, bool], None]
"""Hears that an iteration has ended: its number, and whether it was the last."""
Around = Callable[[], AbstractContextManager[Any]]
"""What a zone wants around its callbacks."""


class ZoneLoop:
    """The `Loop` that a zone is handed (see `graph_runner.context.Loop`)."""

    def __init__(self, activation: Activation) -> None:
        self.activation = activation
        self._base, self._around, self._micro = activation.path, activation.turns, activation.micro
        self._turn = 0
        self._ended = False  # whether the zone has said so of the walk that it is on

    def __call__(
        self,
        n: int,
        state: Stateful | None = None,
        aside: Around | None = None,
        seen: Callable[[Any], Any] | None = None,
        origin: str = "",
        judge: Judge | None = None,
    ) -> Iterator[int]:
        """The iterations still to do, of n. Raises ValueError where `origin` leaves none, or does not suit `state`."""
        own, runtime = self.activation, self.activation.runtime
        own.steps, self._ended = n, False
        own.seen = seen if own.processes.world > 1 else None
        refuse_unheard(own, judge)
        nested, begin, saver = own.stateful, 0, None
        if state is not None:
            checkpoints = _checkpoints(own, self._base)
            own.held.enter_context(checkpoints.alone(runtime.stop))
            begin = checkpoints.restore(state, n)
            if not begin and origin:
                begin = checkpoints.take_over(Path(origin), state, n, own.step.spec.continues_from if own.step else "")
                if judge is not None:
                    judge.anew()
            own.stateful = True
            saver = Saver(checkpoints, state, runtime.checkpoint_seconds) if not runtime.search else None
        teller = Teller(own, n, self._around, within=bool(self._base))
        listeners = list(self._listeners(aside or nullcontext, teller, saver, judge))

        def over() -> bool:
            return self._ended or (judge is not None and judge.over)

        for turn in range(begin, n):
            if over():
                break
            if not nested and runtime.stopping(own.sharded):
                teller.tell(turn)
                if saver is not None and turn > begin:
                    saver.save(turn)
                raise Stopped
            own.path, own.turns, self._turn = (*self._base, turn), (*self._around, turn), turn
            yield turn
            own.path = (*self._base, turn)
            for ended in listeners:
                ended(turn, over() or turn == n - 1)
        own.path, own.turns = self._base, self._around

    def micro(self, n: int) -> Iterator[int]:
        """The micro-batches of the current iteration."""
        own = self.activation
        for micro in range(n):
            own.path, own.micro = (*self._base, self._turn, micro), self._micro * n + micro
            yield micro
        own.path, own.micro = (*self._base, self._turn), self._micro

    def end(self) -> None:
        """The current iteration is the last one."""
        self._ended = True

    def map(self, body: Callable[..., R], given: Sequence[tuple[Any, ...]]) -> Iterator[R]:
        """What the body gives for each of these, here or elsewhere; what is inside of another loop goes where that one is."""
        own = self.activation
        if own.runtime.elsewhere is not None and not self._base and not own.training:
            yield from own.runtime.elsewhere.each(own, given, self._elsewhere_ended(len(given)))
            return
        for turn in self(len(given)):
            own.item = given[turn]
            yield body(*given[turn])
        own.item = ()

    def _elsewhere_ended(self, n: int) -> Callable[[int, tuple[Any, ...]], None]:
        """What hears how many of n iterations that are done elsewhere have ended, and what the last of them was given."""
        own, teller = self.activation, Teller(self.activation, n, (), within=False)
        watcher = Watcher(own, own.runtime.observer) if own.runtime.observer is not None else None

        def ended(count: int, given: tuple[Any, ...]) -> None:
            teller(count - 1, count == n)
            if watcher is not None and own.body is not None:
                own.body.given = dict(zip(own.body.names, given, strict=False))
                watcher(count - 1, count == n)

        return ended

    def _listeners(
        self, aside: Around, teller: Teller, saver: Saver | None, judge: Judge | None
    ) -> Iterator[TurnEnded]:
        own = self.activation
        if own.body is not None and own.body.code.asides:
            yield Asides(own, aside, judge)
        yield teller
        if own.runtime.observer is not None and not self._base:
            yield Watcher(own, own.runtime.observer)
        if saver is not None:
            yield saver


class Asides:
    """Runs the callbacks that are due, on the values of the iteration that has ended."""

    def __init__(self, activation: Activation, around: Around, judge: Judge | None = None) -> None:
        self.activation, self.around, self.judge = activation, around, judge

    def __call__(self, turn: int, last: bool) -> None:
        """An iteration has ended."""
        own, body = self.activation, self.activation.body
        if body is None or body.frame is None:
            return
        frame = body.frame
        due = [step for step in body.code.asides if (turn + 1) % interval(step, frame, own.when) == 0]
        if self.judge is not None and (deciding := [step for step in due if step.spec.decides]):
            own.told.clear()
            self._run(deciding, frame)
            for told in own.processes.agree(own.told):
                self.judge.measured(told)
            last = last or self.judge.over
        self._run([step for step in body.code.asides if not step.spec.decides and (last or step in due)], frame)

    def _run(self, due: list[Step], frame: Frame) -> None:
        own = self.activation
        frame = own.whole(due, frame)
        if due and own.processes.rank == 0:
            with torch.no_grad(), self.around():
                for step in due:
                    own.runtime.interpreter.perform_one(step, frame, own)


def refuse_unheard(own: Activation, judge: Judge | None) -> None:
    """Raises ValueError, naming it, where a callback would decide how a loop goes on that does not hear it."""
    asides = own.body.code.asides if own.body is not None and judge is None else ()
    if told := [step.id for step in asides if step.spec.decides]:
        raise ValueError(f"{told[0]!r} decides when a training ends, and this is none; move it into the body of one")


def interval(step: Step, frame: Frame, when: str = "") -> int:
    """A zone runs every so many steps of the loop around: how many, wired or typed in. Raises NodeError where that is no number of
    steps."""
    name = step.spec.aside
    turns = next((frame[slot] for port, slot in step.singles if port == name), step.constants.get(name))
    if not isinstance(turns, int) or turns < 1:
        raise NodeError(step.id, ValueError(f"{name} is {turns!r:.40}; give a whole number of steps, at least 1"), when)
    return turns


class Teller:
    """Tells now and then how far a loop of n iterations is.

    turns: the iterations of the loops around. within: short loops within loops tell nothing; the loop around them does.
    """

    def __init__(self, activation: Activation, n: int, turns: tuple[int, ...], within: bool) -> None:
        self.node, self.emit, self.n, self.turns, self.within = (
            activation.node,
            activation.runtime.emit,
            n,
            turns,
            within,
        )
        self._told = time.monotonic()
        self._silent = within

    def __call__(self, turn: int, last: bool) -> None:
        """An iteration has ended."""
        now = time.monotonic()
        if now - self._told >= PROGRESS_SECONDS or (last and not self._silent):
            self._told, self._silent = now, False
            self.tell(turn + 1)

    def tell(self, done: int) -> None:
        """So many iterations are done."""
        self.emit(events.Progress(self.node, done, self.n, self.turns))


class Watcher:
    """Lets the host look now and then at what a loop of the top is at."""

    def __init__(self, activation: Activation, observer: Observer) -> None:
        self.activation, self.observer = activation, observer
        self._looked = time.monotonic()

    def __call__(self, turn: int, last: bool) -> None:
        """An iteration has ended."""
        now, own = time.monotonic(), self.activation
        if own.body is not None and (last or now - self._looked >= PROGRESS_SECONDS):
            self._looked = now
            self.observer.on_turn(own.runtime.folder, own.node, turn, own.body.given)


class Saver:
    """Writes checkpoints: now and then, and after the last iteration."""

    def __init__(self, checkpoints: Checkpoints, state: Stateful, seconds: float) -> None:
        self.checkpoints, self.state, self.seconds = checkpoints, state, seconds
        self._saved = time.monotonic()

    def __call__(self, turn: int, last: bool) -> None:
        """An iteration has ended."""
        if last or self._due():
            self.save(turn + 1, last)
            self._saved = time.monotonic()

    def _due(self) -> bool:
        """Whether it is time. Processes that each hold a part of the state write together, when the first one's clock says so."""
        due = time.monotonic() - self._saved >= self.seconds
        return bool(self.checkpoints.processes.agree(due)) if mesh_of(self.state) is not None else due

    def save(self, done: int, final: bool = False) -> None:
        """Keep the state after so many iterations."""
        self.checkpoints.save(done, self.state, final)


def _checkpoints(own: Activation, base: tuple[int, ...]) -> Checkpoints:
    """Where a zone's checkpoints lie, by what it computes and by what the zones around hand to it."""
    runtime = own.runtime
    giving = [*own.around.giving()] if own.around is not None else []
    steps = [zone.step for zone in giving if zone.step is not None]
    # What the zones around hand to their bodies, and so to this loop. As it was before: of an item all items of its sweep, so
    # that another list was another lineage; as 0.2 had it: of the whole zones, so that a changed body was one.
    named = [[zone.hands for zone in giving], [step.handed for step in steps], [step.key for step in steps]]
    names = [f"{derive(own.lineage, *each, *base):016x}" if each else own.lineage[:32] for each in named]
    folders = [runtime.workspace / "checkpoints" / name for name in dict.fromkeys(names)]
    folder = next((each for each in folders if each.exists()), folders[0])

    def meta() -> dict[str, Any]:
        return {"threads": runtime.threads.count, "run": runtime.folder.name, "workflow": runtime.workflow}

    return Checkpoints(
        folder,
        own.processes,
        node=own.node,
        run=runtime.folder,
        shown=runtime.shown,
        show=runtime.show_again,
        ignore=runtime.fresh,
        meta=meta,
        resume=lambda kept: runtime.threads.resumed(kept.get("threads")),
        log=runtime.emit,
        home=home_of(runtime.workspace),
    )
