"""One iteration of a zone, done away from the run that it belongs to (see `graph_runner.run.executors`).

What is sent is data: the workflow and how it was asked for, which zone, and the values that enter it. The far side binds and
compiles the workflow by itself and comes to the same keys, or refuses: it has other nodes then, or sees other files.
"""

from __future__ import annotations

import socket
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from graph_runner.base import events
from graph_runner.base.problems import WorkflowError
from graph_runner.bind.graph import BoundNode, Scope, Slot, Source
from graph_runner.compile.keys import Keys, lasting
from graph_runner.compile.plan import Code, Plan, Step
from graph_runner.contract import PortType
from graph_runner.contract.context import derive
from graph_runner.contract.processes import LostError, Processes, joined
from graph_runner.format.workflow import read
from graph_runner.run.activation import Activation
from graph_runner.run.executors import Tell
from graph_runner.run.failures import NodeError
from graph_runner.run.interpreter import BodyCall
from graph_runner.run.loop import Asides
from graph_runner.run.numbers import non_finite
from graph_runner.run.parcel import opened, packed
from graph_runner.run.runtime import Runtime
from graph_runner.store.cache import Cache, Entry

TOLD = (events.Progress, events.Metric, events.Shown, events.Log)
"""What an iteration tells; the rest is for the run itself to say."""


@dataclass(frozen=True)
class Outcome:
    """How an iteration ended: it gave a value, which lies in the workspace's cache where `parcel` is empty; it failed; or it was
    stopped, and the rest is empty. text: the failure in a sentence. trace: where it was. lost: it came of another process' end."""

    parcel: bytes | None = None
    kept: bool = False
    node: str = ""
    when: str = ""
    cause: bytes = b""
    text: str = ""
    trace: str = ""
    lost: bool = False

    @classmethod
    def of(cls, error: NodeError) -> Outcome:
        """A failure that is to be told elsewhere."""
        cause = error.__cause__ or error
        trace = "".join(traceback.format_exception(cause))
        try:
            parcel = packed(cause.with_traceback(None))
            opened(parcel)  # some exceptions can be written and not read
        except Exception:
            parcel = b""
        return cls(None, False, error.node, error.when, parcel, str(error), trace, isinstance(cause, LostError))

    @property
    def stopped(self) -> bool:
        """Whether there is neither a value nor a failure."""
        return self.parcel is None and not self.kept and not self.node

    def failure(self) -> NodeError:
        """The failure, as if it had happened here."""
        cause = opened(self.cause) if self.cause else ValueError(self.text.removeprefix(f"{self.node}: "))
        cause.add_note(f"Where it was done:\n{self.trace}")
        error = NodeError(self.node, cause, self.when)
        error.__cause__ = cause
        return error


@dataclass(frozen=True, eq=False)
class Place:
    """Which zone, and what enters it.

    zones: its id, and before it those of the zones around. values: what its body captures, by slot. given: the arguments of every
    iteration. key: the zone's. run, contents: see `Keys` and `with_inputs`.
    """

    folder: str
    zones: tuple[str, ...]
    key: str
    run: str
    contents: Mapping[str, str]
    values: list[Any]
    given: list[tuple[Any, ...]]


@dataclass(frozen=True, eq=False)
class Iterations:
    """The iterations of a zone as work for an executor (see `graph_runner.run.executors.Work`).

    Where `torchrun` or its like started this process among others, they do the iteration together.

    token: of these iterations alone. engine: makes the engine of one process. device: as the user named it. sent: how the run was asked for, and the `Place`, as a parcel.
    threads: to compute with.
    """

    token: str
    engine: Callable[[Processes, str], Any]
    device: str
    workflow: str
    sent: bytes
    threads: int

    def __call__(self, item: int, tell: Tell, stop: threading.Event) -> Outcome:
        """Do one."""

        def listen(event: events.Event) -> None:
            if isinstance(event, TOLD):
                tell(event)

        torch.set_num_threads(self.threads)
        asked, place = self._asked()
        try:
            with joined(self.device) as (processes, device):
                engine = self._engine(processes, device)
                self._see(engine, place)
                part = Part(place, item)
                engine.run(read(self.workflow), **asked, part=part, listeners=[listen], stop=stop)
        except NodeError as error:
            return Outcome.of(error)
        except WorkflowError as error:  # it binds here and not there: files are absent, or nodes
            where = ValueError(f"on {socket.gethostname()}: {error}")
            return Outcome.of(NodeError(place.zones[-1], where))
        return part.outcome

    def _see(self, engine: Any, place: Place) -> None:
        """Raises FileNotFoundError where the run does not lie in what is the workspace here."""
        record = engine.workspace / place.folder / "workflow.json"
        if not record.exists():
            engine.home.bring(record)
        if not record.exists():
            raise FileNotFoundError(
                f"{socket.gethostname()} does not see the run in the workspace {engine.workspace}; take a folder that all "
                "machines share, under the same path"
            )

    def _asked(self) -> tuple[dict[str, Any], Place]:
        """What all iterations that a process does one after the other have in common."""
        if self.token not in _ASKED:
            _ASKED.clear()
            _ENGINE.clear()
            _ASKED[self.token] = opened(self.sent)
        return _ASKED[self.token]

    def _engine(self, processes: Processes, device: str) -> Any:
        """Their engine, which holds what they have computed."""
        if self.token not in _ENGINE:
            _ENGINE[self.token] = self.engine(processes, device)
        return _ENGINE[self.token]


_ASKED: dict[str, tuple[dict[str, Any], Place]] = {}
_ENGINE: dict[str, Any] = {}


class Part:
    """One iteration, for the engine to do instead of a whole run. outcome: how it ended."""

    def __init__(self, place: Place, item: int) -> None:
        self.place, self.item = place, item
        self.outcome = Outcome()

    def do(self, plan: Plan, top: Scope, keys: Keys, runtime: Runtime, cache: Cache) -> None:
        """Do it. Raises NodeError and Stopped."""
        steps = {step.id: step for step in _steps(plan.code)}
        own = Activation(runtime)
        for zone in self.place.zones:
            own = Activation(runtime, own, steps[zone])
        step, place = steps[self.place.zones[-1]], self.place
        if step.key != place.key or step.body is None:
            error = ValueError(
                f"{socket.gethostname()} comes to another key for {step.id}: it has other nodes, or the files that they read are "
                "others there; install the same packages, and share the files under the same paths"
            )
            raise NodeError(step.id, error)
        own.body = BodyCall(step.body, [runtime.place(value) for value in place.values], step.spec, own)
        own.path = own.turns = (self.item,)
        own.item = place.given[self.item]
        with torch.no_grad():
            value = own.body(*place.given[self.item])
            if step.body.asides:
                Asides(own, nullcontext)(self.item, self.item == len(place.given) - 1)
        if runtime.processes.rank:
            return  # the first process gives it
        bound = next(bound for bound in top.walk() if bound.id == step.id)
        if self._keep(value, bound, keys, runtime, cache):
            self.outcome = Outcome(kept=True)
            return
        try:
            self.outcome = Outcome(parcel=packed(value))
        except ValueError as error:
            raise NodeError(step.id, ValueError(f"what item {self.item} gives is lost: {error}")) from error

    def _keep(self, value: Any, bound: BoundNode, keys: Keys, runtime: Runtime, cache: Cache) -> bool:
        """Put the results into the workspace's cache, where the disk gives them back as they are."""
        kept = KeptItems.of(bound, keys)
        if kept is None or not kept.holds(value) or runtime.contents.changed_since() is not None:
            return False
        try:
            cache.put(kept.key(self.item), Entry(kept.slots(value), runtime.shown), kept.types, keep=True)
        except (OSError, TypeError):  # the disk is full, or has no codec for it: it is sent
            return False
        return True


@dataclass(frozen=True)
class KeptItems:
    """How the cache knows the results of a zone's iterations. types: by slot."""

    zone: str
    types: Mapping[Slot, PortType]

    @classmethod
    def of(cls, bound: BoundNode, keys: Keys) -> KeptItems | None:
        """None where they are not to be kept: what they depend on is known in this run alone, or saving is a part of the work."""
        body = bound.body
        if body is None or bound.spec.body_returns is None or bound.spec.body_returns.form != "mapping":
            return None
        zone = keys.key(bound)
        if not keys.recurs(bound) or lasting(bound):
            return None
        wired = {name: source for name, source in body.results.items() if isinstance(source, Source)}
        types = {("", name): _type(source, body) for name, source in wired.items()}
        whole = len(types) == len(body.results) and all(kind.self_contained for kind in types.values())
        return cls(zone, types) if whole else None

    def key(self, item: int) -> str:
        """An iteration's key."""
        return f"{derive('item', self.zone, item):016x}{self.zone}"

    def slots(self, results: Mapping[str, Any]) -> dict[Slot, Any]:
        """The results, as the cache has them."""
        return {("", name): value for name, value in results.items()}

    def holds(self, results: Any) -> bool:
        """Whether the cache would give back just these."""
        if not isinstance(results, Mapping) or non_finite(results):
            return False
        slots = self.slots(results)
        return slots.keys() == self.types.keys() and all(
            _has_codec(self.types[slot]) or _plain(value) for slot, value in slots.items()
        )


def _has_codec(kind: PortType) -> bool:
    return kind.wire is not None and kind.wire.codec is not None


def _plain(value: Any) -> bool:
    """Whether a value is what the disk gives back of it, to its memory format and its tuples."""
    if isinstance(value, torch.Tensor):
        return type(value) is torch.Tensor and value.is_contiguous()
    if isinstance(value, list) and type(value) is list:
        return all(map(_plain, value))
    return isinstance(value, torch.nn.Module) or value is None or type(value) in (bool, int, float, str)


def _type(source: Source, scope: Scope) -> PortType:
    for around in scope.enclosing():
        if source.inner and around.zone is not None and around.zone.id == source.node:
            return around.ports[source.port, source.name]
        if not source.inner and source.node in around.nodes:
            return around.nodes[source.node].outputs[source.port, source.name]
    raise KeyError(str(source))


def _steps(code: Code) -> Iterator[Step]:
    """Every step of a scope, and of the bodies in it."""
    for step in (*(member for unit in code.steps for member in unit.members), *code.asides):
        yield step
        if step.body is not None:
            yield from _steps(step.body)
