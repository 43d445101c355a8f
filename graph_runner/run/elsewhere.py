"""Iterations of a run's zones, handed to an executor; what they tell and give comes back as if they had been done here."""

from __future__ import annotations

import pickle
import tempfile
import threading
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from graph_runner.base import events
from graph_runner.base.home import home_of
from graph_runner.bind.graph import Scope
from graph_runner.compile.keys import Keys
from graph_runner.contract.processes import Processes
from graph_runner.run.executors import Again, Executor, Job
from graph_runner.run.failures import NodeError, Stopped
from graph_runner.run.parcel import opened, packed
from graph_runner.run.part import Iterations, KeptItems, Outcome, Place
from graph_runner.store.cache import Cache
from graph_runner.store.folders import StoreError

if TYPE_CHECKING:
    from graph_runner.run.activation import Activation
    from graph_runner.run.runtime import Runtime

Arguments = tuple[Any, ...]
HELD = 2**20
"""Bytes of what an iteration tells that wait in memory; more of it waits in a file."""


class InTurn:
    """Numbers and progress of iterations that go on at once, told as if they came one after another: curves and bars are of one
    iteration. The first that goes on is told of as it comes; what later ones tell waits on disk for their turn.
    """

    def __init__(self, emit: Callable[[events.Event], None]) -> None:
        self._emit, self._turn = emit, 0
        self._held: dict[int, tempfile.SpooledTemporaryFile[bytes]] = {}

    def __call__(self, item: int, event: events.Event) -> None:
        """An iteration tells something."""
        if item == self._turn:
            self._emit(event)
            return
        if item not in self._held:
            self._held[item] = tempfile.SpooledTemporaryFile(HELD)  # noqa: SIM115 - until its turn
        pickle.dump(event, self._held[item])

    def begin(self, item: int) -> None:
        """It is this iteration's turn."""
        self._turn = item
        if item in self._held:
            with self._held.pop(item) as held:
                end = held.tell()
                held.seek(0)
                while held.tell() < end:
                    self._emit(pickle.load(held))

    def __enter__(self) -> InTurn:
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever ended them, all that they told is told."""
        for item in sorted(self._held):
            self.begin(item)


@dataclass(eq=False)
class Elsewhere:
    """Where one run's iterations go.

    engine: makes an engine like the run's for one of the processes of a world and its device, and can be pickled. workflow, asked, contents: how the run was asked for. device: as
    the user named it.
    """

    executor: Executor
    engine: Callable[[Processes, str], Any]
    device: str
    workflow: str
    asked: Mapping[str, Any]
    contents: Mapping[str, str]
    top: Scope
    keys: Keys
    cache: Cache
    _held: ExitStack = field(default_factory=ExitStack)
    _open: bool = False

    def close(self) -> None:
        """End what the executor started for this run."""
        self._held.close()

    def each(
        self, own: Activation, given: Sequence[Arguments], ended: Callable[[int, Arguments], None]
    ) -> Iterator[Any]:
        """What the body of this zone gives for each of these, in order. Raises NodeError and Stopped.

        ended: hears how many iterations are done, and what the last of them was given.
        """
        assert own.step is not None
        runtime, step = own.runtime, own.step
        kept = KeptItems.of(next(bound for bound in self.top.walk() if bound.id == step.id), self.keys)
        results = self._known(step.id, len(given), kept, runtime)
        todo = [item for item in range(len(given)) if item not in results]
        count = len(results)
        if results:
            runtime.emit(events.Log(f"takes {count} of {len(given)} items from the cache", step.id))
        with InTurn(runtime.emit) as told, closing(self._outcomes(own, given, todo, told)) as outcomes:
            for item in range(len(given)):
                told.begin(item)
                while item not in results:
                    done, outcome = next(outcomes, (item, Outcome()))
                    if outcome.stopped:
                        raise Stopped
                    if outcome.node:
                        raise outcome.failure()
                    results[done] = self._value(step.id, done, outcome, kept, runtime)
                    count += 1
                    ended(count, given[done])
                yield results.pop(item)
                results[item] = None

    def _known(self, zone: str, n: int, kept: KeptItems | None, runtime: Runtime) -> dict[int, Any]:
        """The results that a run before left in the cache."""
        if kept is None or runtime.fresh:
            return {}
        keys = {kept.key(item): item for item in range(n)}
        found = {}
        for key in sorted(self.cache.stored(keys), key=keys.__getitem__):
            try:
                entry = self.cache.recall(key, kept.types, set(kept.types), keep=True, lasting=False)
            except Exception as error:  # whatever damage does to a codec
                told = f"does item {keys[key]} anew, as its cached value is damaged: {error}"
                runtime.emit(events.Log(told, zone, "warning"))
                self.cache.forget(key)
                continue
            if entry is not None:
                found[keys[key]] = {name: runtime.place(value) for (_, name), value in entry.values.items()}
                for shown in entry.shown:
                    runtime.show_again(shown)
        return found

    def _outcomes(
        self, own: Activation, given: Sequence[Arguments], todo: list[int], told: InTurn
    ) -> Generator[tuple[int, Outcome]]:
        """How the iterations ended, as they do. Raises NodeError where they cannot be done."""
        assert own.step is not None
        runtime, zone = own.runtime, own.step.id

        def hear(item: int, event: events.Event | Again) -> None:
            if isinstance(event, Again):
                again = f"does item {item} again, whose process was lost; a training in it goes on from its checkpoint"
                runtime.emit(events.Log(again, zone, "warning"))
            elif isinstance(event, events.Shown):
                home_of(runtime.workspace).bring(runtime.workspace / event.path)
                runtime.show(event)
            elif isinstance(event, events.Log):
                runtime.emit(event)
            else:
                told(item, event)

        try:
            if not todo:
                return
            threads = torch.get_num_threads()
            kind = self.device.partition(":")[0]  # another machine numbers its devices by itself
            work = Iterations(uuid.uuid4().hex, self.engine, kind, self.workflow, self._sent(own, given), threads)
            job = Job(
                *(zone, work, todo, self.top, runtime.workspace, self.device),
                *(str(runtime.dtype).removeprefix("torch."), runtime.paths.roots, runtime.injectables, threads, True),
            )
            if not self._open:
                self._held.enter_context(self.executor.opened())
                self._open = True
            yield from self.executor(job, hear, runtime.stop, threading.Event())
        except (NodeError, Stopped):
            raise
        except Exception as error:
            raise NodeError(zone, error) from error

    def _sent(self, own: Activation, given: Sequence[Arguments]) -> bytes:
        """What an iteration needs to know, as a parcel."""
        assert own.step is not None
        assert own.body is not None
        zones, around = list[str](), own
        while around.around is not None:
            zones.insert(0, around.node)
            around = around.around
        runtime = own.runtime
        folder = runtime.folder.relative_to(runtime.workspace).as_posix()
        values, arguments = own.body.template, list(given)
        try:
            place = Place(folder, tuple(zones), own.step.key, self.keys.run, self.contents, values, arguments)
            return packed((dict(self.asked), place))
        except ValueError:
            for value in [*values, *arguments, *self.asked.values()]:
                try:
                    packed(value)
                except ValueError as error:
                    raise ValueError(f"its body reads a {type(value).__name__}, and {error}") from error
            raise

    def _value(self, zone: str, item: int, outcome: Outcome, kept: KeptItems | None, runtime: Runtime) -> Any:
        if outcome.parcel is not None:
            return runtime.place(opened(outcome.parcel))
        assert kept is not None
        try:
            entry = self.cache.get(kept.key(item), kept.types)
        except StoreError as error:
            raise NodeError(
                zone, ValueError(f"what item {item} gave does not lie in this workspace: {error}")
            ) from error
        return {name: runtime.place(value) for (_, name), value in entry.values.items()}
