"""A dry run: the plan gone through on fake tensors, each loop going round once (a sweep once for each kind of item), so that
shapes, cost and memory are known beforehand. The interpreter walks it as in a run; only how a step is done differs.

Nothing is computed and no effect runs; one that declares a `dry` function is asked whether it could. What
depends on numbers that only the run will give is left open, never guessed into an error.
"""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DynamicOutputShapeException, FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils.hooks import RemovableHandle

from graph_runner.base.events import Event, Listener, Log, Progress, Stream, Warnings
from graph_runner.base.problems import Problem
from graph_runner.base.telling import large
from graph_runner.bind.graph import Scope
from graph_runner.bind.paths import Paths
from graph_runner.compile.compiler import compile_graph
from graph_runner.compile.plan import Step, Unit
from graph_runner.contract import NodeSpec
from graph_runner.contract.context import Judge, Stateful
from graph_runner.estimate.alike import standing_for
from graph_runner.estimate.meter import Meter
from graph_runner.estimate.shapes import misfit
from graph_runner.estimate.training import KINDS, Holder, Imagined, note, split, watch, whole_at_once
from graph_runner.format.wires import joined
from graph_runner.run.activation import Activation
from graph_runner.run.call import Calls, Entered
from graph_runner.run.failures import NodeError
from graph_runner.run.injectables import INJECTABLES, Injectable
from graph_runner.run.interpreter import Frame, Interpreter
from graph_runner.run.loop import interval, refuse_unheard
from graph_runner.run.precision import Precision
from graph_runner.run.runtime import Runtime
from graph_runner.run.weights import Weights

R = TypeVar("R")


class _Open:
    """A value that only the run will give."""


OPEN = _Open()


def _is_open(value: Any) -> bool:
    """Whether only the run will give a value, or one of those that a loop, or a loop in a loop, has collected."""
    return value is OPEN or (isinstance(value, list) and any(_is_open(item) for item in value))


@dataclass
class NodeEstimate:
    """What one node will do. gives: its outputs that are read, described; flops: over all steps, without those of the nodes
    inside it; parameters: of the models it gives; runs: how often it is called."""

    type: str
    gives: dict[str, str] = field(default_factory=dict)
    flops: float = 0.0
    parameters: int = 0
    runs: float = 0.0
    open: str = ""  # why it is not known what it gives


@dataclass
class Estimate:
    """What a whole run will do. memory: bytes of tensors at once, at most, in each process, while `memory_at` runs.

    parts: what these are: weights, gradients, optimizer, averages (of what trains), models (others), communication (what
    processes send each other, and weights put together), and activations, with all else. processes, sharded: for how many.
    """

    nodes: dict[str, NodeEstimate]
    problems: list[Problem]
    memory: int
    memory_at: str
    parts: dict[str, int] = field(default_factory=dict)
    processes: int = 1
    sharded: bool = False

    @property
    def flops(self) -> float:
        """Floating-point operations in all."""
        return sum(node.flops for node in self.nodes.values())

    def to_json(self) -> dict[str, Any]:
        """All of it as a JSON object."""
        return {
            "problems": [problem.to_json() for problem in self.problems],
            "nodes": {id: asdict(node) for id, node in self.nodes.items()},
            "flops": self.flops,
            "memory": self.memory,
            "memory_at": self.memory_at,
            "parts": self.parts,
            "processes": self.processes,
            "sharded": self.sharded,
        }


def dry_run(
    top: Scope,
    workspace: Path,
    *,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    roots: Iterable[Path] = (),
    injectables: Mapping[str, Injectable] = {},
    listeners: Iterable[Listener] = (),
    weights: str = "float32",
    processes: int = 1,
    shard: bool = False,
) -> Estimate:
    """Go through a validated graph (see `validate`; with paths) on fake tensors, and tell what a run would do.

    Every node is gone through, whether an effect needs it or not; caches are not asked. roots: see `graph_runner.bind.paths.Paths`.
    injectables: of the registry. listeners: hear how far nodes are that read files meanwhile. weights: see `graph_runner.run.weights`.
    processes: so many share the batch of a training; memory is that of each. shard: they split the models that train.
    """
    precision = Precision(dtype)
    plan = compile_graph(top, {}, None, set(top.nodes))
    divided = dict.fromkeys(KINDS, processes) if shard else {}
    run = _DryRun(top, precision, listeners, Weights(weights, top), divided)
    run.problems += precision.problems(top)
    cpu = torch.device("cpu")
    hear = Stream([run.hear])
    runtime = Runtime(
        *(workspace, workspace, seed, cpu, dtype, hear, Imagined(processes, shard, run.meter), "", float("inf")),
        dry=True,
        paths=Paths(workspace, roots),
        models=top.models,
        interpreter=Interpreter(run),
        injectables={**INJECTABLES, **injectables, "loop": lambda call: _DryLoop(run, call.around)},
    )
    frame: Frame = [None] * plan.code.size
    # It logs each failure with its traceback; here a failure is an answer, and told as one.
    logging.getLogger("torch._subclasses.fake_tensor").setLevel(logging.CRITICAL)
    with warnings.catch_warnings(), Warnings(hear), run.fakes, run.meter, torch.no_grad():
        warnings.simplefilter("ignore")
        runtime.interpreter.perform(plan.code, frame, Activation(runtime))
    for id, flops in run.meter.flops.items():
        if id in run.nodes:
            run.nodes[id].flops = flops * run.shares.get(id, 1)
    parts = {kind or "activations": size for kind, size in run.meter.parts.items() if size}
    memory = sum(parts.values())
    return Estimate(run.nodes, run.problems, memory, run.meter.peak_at, parts, processes, shard)


def _standing_in(precision: Precision) -> Entered:
    """Calls what stands in for a node's function, if anything does. What changes no result (worker processes, how often to
    report) is left at its default."""

    def entered(spec: NodeSpec) -> Callable[..., Any]:
        function = precision.around(spec, spec.dry or spec.function)
        plain = {name: param.default for name, param in spec.params.items() if not param.keyed and not param.required}
        return (lambda **kwargs: function(**kwargs | plain)) if plain else function

    return entered


class _DryRun:
    """Does steps on fake tensors (see `graph_runner.run.interpreter.Do`), and writes down what it sees."""

    def __init__(
        self,
        top: Scope,
        precision: Precision,
        listeners: Iterable[Listener],
        weights: Weights,
        divided: Mapping[str, int],
    ) -> None:
        # Whether a body runs only the run will show: here it does.
        runs = {bound.id: {bound.spec.conditional: True} for bound in top.walk() if bound.spec.conditional}
        self.calls = Calls(_standing_in(precision), weights, instead={**weights.instead, **runs})
        self.fakes = FakeTensorMode(allow_non_fake_inputs=True)
        self.meter = Meter(self.fakes, divided)
        self.nodes = {bound.id: NodeEstimate(bound.spec.type) for bound in top.walk()}
        self.bound = {bound.id: bound for bound in top.walk()}
        self.problems: list[Problem] = []
        self.turns: Counter[str] = Counter()
        self.listeners = list(listeners)
        self.shares: dict[str, float] = {}  # of nodes that did a part: how many times it makes the whole
        self._left_open = 0
        self._at = ""  # the step that is gone through

    def hear(self, event: Event) -> None:
        """A node tells how far it is: in a dry run, that far it goes. What it warns of, the run would warn of too."""
        if isinstance(event, Progress):
            self.shares[event.node] = event.total / max(event.done, 1)
            for listener in self.listeners:
                listener(event)
        elif isinstance(event, Log) and event.level != "info":
            self._tell_problem(Problem(event.message.rstrip("."), event.node or self._at, severity="warning"))

    def __call__(self, unit: Unit, frame: Frame, around: Activation) -> Sequence[Any]:
        """Do one step."""
        left_open = self._left_open
        why = self._cannot(unit, frame) or self._misfit(unit, frame)
        around_it, self._at = self._at, unit.id
        if not why:
            self.meter.guessed.discard(unit.id)
            try:
                with self.meter.at(unit.id), _disable_current_modes() if _reads_a_file(unit) else nullcontext():
                    self.calls(unit, frame, around)
            except Exception as error:  # of whatever kind: it is judged
                cause = error.__cause__ if isinstance(error, NodeError) and error.__cause__ else error
                at = error.node if isinstance(error, NodeError) else unit.id
                if left_open == self._left_open and at not in self.meter.guessed and _is_certain(cause):
                    failed = next((member for member in unit.members if member.id == at), unit.members[0])
                    given = {name: frame[slot] for name, slot in failed.singles}
                    self._tell_problem(Problem(_sentence(cause, given), at))
                    why = "it fails"
                else:
                    why = "it depends on values that only the run gives"
        self._at = around_it
        if why:
            self._left_open += 1
        for step in unit.members:
            self._note(step, frame, why)
        return ()

    def _misfit(self, unit: Unit, frame: Frame) -> str:
        """Say on the wire where a tensor has not the shape that is taken."""
        found = [misfit(self.bound[step.id], _wired(step, frame)) for step in unit.members]
        for problem in found:
            if problem is not None:
                self._tell_problem(problem)
        return "it fails" if any(found) else ""

    def _tell_problem(self, problem: Problem) -> None:
        """Once, though several items of a sweep have it."""
        if problem not in self.problems:
            self.problems.append(problem)

    def _note(self, step: Step, frame: Frame, why: str) -> None:
        """Write down what a step gave; why: it is not known."""
        node = self.nodes[step.id]
        node.runs += self.meter.scale
        node.open = node.open or why
        parameters = 0
        for slot, (port, name) in step.stores:
            if why:
                frame[slot] = OPEN
            elif self.turns[step.id] and isinstance(frame[slot], list) and len(frame[slot]) == 1:
                frame[slot] = frame[slot] * self.turns[step.id]  # what each iteration of a loop would have added
            parameters += self._tell(node, joined(port, name), frame[slot])
        node.parameters = max(node.parameters, parameters)

    def _cannot(self, unit: Unit, frame: Frame) -> str:
        inputs = (slot for step in unit.members for slot in step.inputs())
        if not unit.spec.conditional and any(_is_open(frame[slot]) for slot in inputs):
            return "what it reads is not known"
        return "it only has an effect" if unit.spec.effect and unit.spec.dry is None else ""

    def _tell(self, node: NodeEstimate, port: str, value: Any) -> int:
        """Write down what a port gives, of several items of a sweep the first's. Gives how many parameters it has."""
        if text := describe(value):
            node.gives.setdefault(port, text)
        if not isinstance(value, torch.nn.Module):
            return 0
        if not any(isinstance(parameter, FakeTensor) for parameter in value.parameters()):
            self.meter.hold_real(value)
        else:
            self.meter.name([*value.parameters(), *value.buffers()], "models")
        return sum(parameter.numel() for parameter in value.parameters())


class _DryLoop:
    """A loop that goes round once, and counts for all iterations (see `graph_runner.context.Loop`).

    Where it carries a state it goes round twice, and so do its micro-batches: optimizers make theirs at the end of the first
    step, and from the second on it lies beside the activations.
    """

    def __init__(self, run: _DryRun, activation: Activation) -> None:
        self.run, self.activation = run, activation
        self._base = activation.path
        self._rounds = 1
        self._forget = run.meter.passed()

    def __call__(
        self,
        n: int,
        state: Stateful | None = None,
        aside: Callable[[], AbstractContextManager[Any]] | None = None,
        seen: Callable[[Any], Any] | None = None,  # noqa: ARG002 - a process alone
        origin: str = "",  # noqa: ARG002
        judge: Judge | None = None,
    ) -> Iterator[int]:
        """The first of n iterations, standing for all."""
        refuse_unheard(self.activation, judge)
        if n == 0:
            return
        own, step = self.activation, self.activation.step
        own.steps = n
        if step is not None:
            self.run.turns[step.id] = n
        meter = self.run.meter
        holder = state if isinstance(state, Holder) else None
        hooks: list[RemovableHandle] = []
        together = 0
        if holder is not None:
            hooks = watch(holder, meter)
            if meter.divided:
                self._forget()  # here averages were copied whole
                split(holder, meter)
                together = whole_at_once(holder.models.values())
        self._rounds = 1 if state is None else 2
        for turn in range(min(n, self._rounds)):
            own.path = (*self._base, turn)
            rehearsal = nullcontext() if turn + 1 == min(n, self._rounds) else meter.unnoticed()
            with meter.times(0 if turn else n), rehearsal, meter.beside(together, "communication"):
                yield turn
            if holder is not None:
                note(holder, meter)
        for hook in hooks:
            hook.remove()
        self._look(n, aside or nullcontext)

    def micro(self, n: int) -> Iterator[int]:
        """The first of n micro-batches, standing for all."""
        base = self.activation.path
        for micro in range(min(n, self._rounds)):
            self.activation.path = (*base, micro)
            with self.run.meter.times(0 if micro else n):
                yield micro
        self.activation.path = base

    def _look(self, n: int, aside: Callable[[], AbstractContextManager[Any]]) -> None:
        """Do what runs beside n iterations, as often as it does."""
        own, body = self.activation, self.activation.body
        own.path = (*self._base, 0)
        if body is not None and body.frame is not None and body.code.asides:
            with aside():
                for each in body.code.asides:
                    with torch.no_grad(), self.run.meter.times(-(-n // self._interval(each, body.frame))):
                        own.runtime.interpreter.perform_one(each, body.frame, own)
        own.path = self._base

    def end(self) -> None:
        """Whether a loop ends early only the run will show."""

    def map(self, body: Callable[..., R], given: Sequence[tuple[Any, ...]]) -> Iterator[R]:
        """What the body gives for each item: one is gone through for all that cost the same."""
        own = self.activation
        assert own.body is not None
        own.steps = len(given)
        places = standing_for(own.body, given)
        done: dict[int, R] = {}
        for place, count in Counter(places).items():
            own.path = (*self._base, place)
            with self.run.meter.times(count):
                done[place] = body(*given[place])
        self._look(len(given), nullcontext)
        yield from (done[place] for place in places)

    def _interval(self, aside: Step, frame: Frame) -> int:
        """How often it runs; where only the run will give that, as often as it can at most."""
        try:
            return interval(aside, frame)
        except NodeError as error:
            if aside.spec.aside in aside.constants:  # a wired one may be made up
                self.run.problems.append(Problem(str(error.__cause__), aside.id, aside.spec.aside))
            return 1


def describe(value: Any) -> str:
    """The shape of a value in a few words: "4×8×8×8", "UNet, 1.2 M parameters"; empty where it has none."""
    if isinstance(value, Tensor):
        kind = "" if value.dtype == torch.float32 else f" {str(value.dtype).removeprefix('torch.')}"
        return ("×".join(str(int(side)) for side in value.shape) or "number") + kind
    if isinstance(value, torch.nn.Module):
        return f"{type(value).__name__}, {large(sum(p.numel() for p in value.parameters()))} parameters"
    if isinstance(value, list) and value and (text := describe(value[0])):
        return f"{len(value)} of {text}"
    if isinstance(value, dict):
        named = {key: describe(item) for key, item in value.items()}
    elif is_dataclass(value) and not isinstance(value, type):
        named = {each.name: describe(getattr(value, each.name)) for each in fields(value)}
        if len(named) == 1:  # it is no more than what it holds
            return next(iter(named.values()))
    else:
        return ""
    return ", ".join(f"{name} {text}" for name, text in named.items() if text)


def _wired(step: Step, frame: Frame) -> dict[str, Any]:
    """What lies on a step's wires, by port."""
    values: dict[str, Any] = {name: frame[slot] for name, slot in step.singles}
    values |= {name: [frame[slot] for slot in slots] for name, slots in step.lists}
    return values | {name: {key: frame[slot] for key, slot in named} for name, named in step.dicts}


def _reads_a_file(unit: Unit) -> bool:
    """Whether a node makes its values of a file alone, or has a `dry` function to look into one: it is read, for only the
    file knows."""
    wired = any(True for step in unit.members for _ in step.inputs())
    return (not wired or unit.spec.dry is not None) and bool(unit.spec.path_kinds)


def _is_certain(cause: BaseException) -> bool:
    """Whether an error on fake tensors means one on real ones: a shape that does not fit, or what a node itself refuses."""
    if isinstance(cause, NotImplementedError | DynamicOutputShapeException) or not isinstance(
        cause, ValueError | RuntimeError
    ):
        return False
    return not any(word in str(cause).lower() for word in ("fake", "data pointer", "storage", "numpy"))


def _sentence(cause: BaseException, given: dict[str, Any]) -> str:
    text = str(cause).strip().partition("\n")[0].rstrip(".")
    if isinstance(cause, ValueError):
        return text
    shapes = {name: describe(value) for name, value in given.items() if isinstance(value, Tensor)}
    told = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
    return f"the shapes do not fit: {text}" + (f" (given {told})" if told else "")
