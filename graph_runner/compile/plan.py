"""What the compiler makes and the executor runs: flat lists of bound calls over numbered slots.

No graph is walked, nothing looked up by name and nothing validated once a plan runs.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graph_runner.base.disk import sentence
from graph_runner.bind.graph import Slot
from graph_runner.contract import LARGEST_SEED, NodeSpec
from graph_runner.contract.context import derive

if TYPE_CHECKING:
    from graph_runner.run.runtime import Activation

Frame = list[Any]
Policy = Callable[[NodeSpec], Callable[..., Any]]
"""How the functions of nodes are called: as they are, in half precision, with what they give looked at."""


def as_written(spec: NodeSpec) -> Callable[..., Any]:
    """The policy that changes nothing."""
    return spec.function


class NodeError(RuntimeError):
    """A node could not do its work. `node` is its id, `when` the turn it was in, if any; the cause is chained.

    What a node says by itself (ValueError, FloatingPointError), and what is said of a disk, is told in its own words.
    """

    def __init__(self, node: str, cause: BaseException, when: str = "") -> None:
        self.node, self.when = node, when
        text = str(cause) or type(cause).__name__
        if (memory := _memory(cause)) is not None:
            text = f"this asks for {memory} than there is; make it smaller (fewer samples, lower resolution, narrower model)"
        elif isinstance(cause, OSError) and (said := sentence(cause)) != text:
            text = said
        elif not isinstance(cause, ValueError | FloatingPointError):
            text = f"{type(cause).__name__}: {text}"
        super().__init__(f"{node}: {text}")


def _memory(cause: BaseException) -> str | None:
    """How much memory was asked for in vain, in words; None where an error is of another kind."""
    text = str(cause)
    asked = re.search(r"allocate (\d+) bytes|allocate ([\d.]+ [KMGTPE]iB)", text)
    if asked is None and not isinstance(cause, MemoryError) and "Storage size calculation overflowed" not in text:
        return None
    if asked is None:
        return "more memory"
    return f"{asked[2] or f'{int(asked[1]) / 2**30:,.1f} GiB'} more memory"


class ElsewhereError(NodeError):
    """Another process could not do its work, and this one waited for it. The cause says which and why."""


class Stopped(Exception):  # noqa: N818 - not an error: the user asked
    """The run was asked to stop, and did so at the end of a turn."""


@dataclass(eq=False)
class Step:
    """One bound call: where its arguments lie in the frame, and where its values go."""

    id: str
    spec: NodeSpec
    function: Callable[..., Any]  # the node's, called as the run's policy wants it
    constants: dict[str, Any] = field(default_factory=dict)
    singles: list[tuple[str, int]] = field(default_factory=list)
    lists: list[tuple[str, list[int]]] = field(default_factory=list)
    whole: dict[str, set[int]] = field(default_factory=dict)  # in `lists`, the slots of lists whose items go in
    dicts: list[tuple[str, list[tuple[str, int]]]] = field(default_factory=list)
    stores: list[tuple[int, Slot]] = field(default_factory=list)
    free: list[int] = field(default_factory=list)
    copied: tuple[str, ...] = ()
    paths: tuple[tuple[str, str], ...] = ()  # wired paths of files, and what they lead to ("file", "folder", …)
    implicit_seed: bool = False
    grads: bool = False  # runs with gradients on because a later node differentiates through it
    body: Code | None = None
    captures: list[tuple[int, int]] = field(default_factory=list)  # (slot outside, slot inside)
    key: str = ""
    lineage: str = ""
    storable: bool = True
    parents: list[Step] = field(default_factory=list)  # at the top: the steps it reads
    made_of: frozenset[str] = frozenset()  # at the top: all paths that it or a step before it reads

    def bind(self) -> Callable[[Frame, Activation], None]:
        """The quickest way to run, once every slot is known."""
        spec = self.spec
        special = (
            *(self.lists, self.dicts, self.copied, self.paths, self.body),
            *(spec.injected, spec.takes_models, self.grads),
        )
        if not any(special) and spec.returns.form == "one" and len(self.stores) == 1 and not _gives_models(spec):
            return _quick(self.function, dict(self.constants), tuple(self.singles), self.stores[0][0], tuple(self.free))
        return self.run

    def arguments(self, frame: Frame) -> dict[str, Any]:
        """The call's arguments from the frame, copies made of what the node changes and others read."""
        kwargs = dict(self.constants)
        for name, slot in self.singles:
            kwargs[name] = frame[slot]
        for name, slots in self.lists:
            whole = self.whole.get(name, ())
            kwargs[name] = [item for slot in slots for item in (frame[slot] if slot in whole else (frame[slot],))]
        for name, named in self.dicts:
            kwargs[name] = {**(kwargs.get(name) or {}), **{key: frame[slot] for key, slot in named}}
        for name in self.copied:
            kwargs[name] = copy.deepcopy(kwargs[name])
        return kwargs

    def call(self, kwargs: dict[str, Any], frame: Frame, around: Activation) -> Any:
        """Call the node's function, with what it asks for injected."""
        spec = self.spec
        for name, kind in self.paths:
            if kwargs[name]:
                kwargs[name] = str(around.runtime.paths.place(kwargs[name], kind))
        seed = kwargs.pop("seed", 0) if self.implicit_seed else kwargs.get("seed", 0)
        if spec.draws and not 0 <= seed <= LARGEST_SEED:  # a wired one; what is typed in was looked at before
            raise ValueError(f"the seed {seed} must be a whole number from 0 to {LARGEST_SEED}; wire another one")
        use = (spec.first_name, seed)
        if spec.draws or (spec.takes_models and around.training):
            # For what draws from torch's global generators, alike on all processes: initialisation, and dropout.
            torch.manual_seed(derive(around.runtime.seed, *use, around.path))
        own = around
        if self.body is not None:
            own = around.enter(self, frame)
            assert spec.body is not None
            kwargs[spec.body.parameter] = own.body
        for name, kind in spec.injected.items():
            kwargs[name] = own.inject(kind, self.id, *use)
        try:
            with torch.enable_grad() if self.grads else nullcontext():
                return self.function(**kwargs)
        finally:
            if own is not around:
                own.leave()

    def store(self, frame: Frame, value: Any) -> None:
        """Put what the call gave where its readers look."""
        form = self.spec.returns.form
        handed_on = [frame[slot] for name, slot in self.singles if name not in self.spec.mutates]
        for slot, (port, name) in self.stores:
            if form == "one":
                frame[slot] = value
            elif form == "mapping":  # a loop that never turned gives no names, and empty lists
                frame[slot] = value[name] if name in value or not self.spec.outputs[0].type.many else []
            else:
                part = getattr(value, port)
                frame[slot] = part[name] if name else part
            if frame[slot] is None:
                raise _absent(port)
            if not any(frame[slot] is value for value in handed_on):  # a model that trains may pass through a node
                at_rest(frame[slot])

    def reads(self) -> Iterator[int]:
        """The slots that the call and its body read."""
        yield from (slot for _, slot in self.singles)
        for _, slots in self.lists:
            yield from slots
        for _, named in self.dicts:
            yield from (slot for _, slot in named)
        yield from (slot for slot, _ in self.captures)

    def release(self, frame: Frame) -> None:
        """Forget what nobody reads any more."""
        for slot in self.free:
            frame[slot] = None

    def run(self, frame: Frame, around: Activation) -> None:
        """Call the node and put what it gives into the frame."""
        if self.spec.effect and not self.stores:
            self._show(frame, around)
        else:
            self.store(frame, self.call(self.arguments(frame), frame, around))
        self.release(frame)

    def _show(self, frame: Frame, around: Activation) -> None:
        """Save or show: where several processes share a batch, one of them does it, for the whole."""
        whole = around.whole([self], frame)
        if not self.idle(around):
            with around.runtime.processes.apart():
                self.call(self.arguments(whole), whole, around)

    def idle(self, around: Activation) -> bool:
        """Whether it need not be done here: of several processes the first saves and shows, and a search does neither."""
        effect = self.spec.effect and not self.stores
        return effect and (around.runtime.search or around.runtime.processes.rank > 0)


def _absent(port: str) -> ValueError:
    what = f"no {port}" if port else "nothing"
    return ValueError(
        f"it gives {what}, which another node reads; wire that one elsewhere, or give this one what it lacks"
    )


def _gives_models(spec: NodeSpec) -> bool:
    return any(
        port.type.variable or (port.type.base is not None and issubclass(port.type.base, torch.nn.Module))
        for port in spec.outputs
    )


def at_rest(value: Any) -> None:
    """Models on wires are in eval mode without gradients."""
    if isinstance(value, torch.nn.Module):
        value.eval().requires_grad_(False)


def _quick(
    function: Callable[..., Any],
    constants: dict[str, Any],
    singles: tuple[tuple[str, int], ...],
    out: int,
    free: tuple[int, ...],
) -> Callable[[Frame, Activation], None]:
    def run(frame: Frame, around: Activation) -> None:  # noqa: ARG001 - every step is run the same way
        kwargs = constants.copy()
        for name, slot in singles:
            kwargs[name] = frame[slot]
        value = frame[out] = function(**kwargs)
        if value is None:
            raise _absent("")
        for slot in free:
            frame[slot] = None

    return run


@dataclass(eq=False)
class Code:
    """A scope compiled: its steps in order, where ports enter and results leave, and what runs beside the turns."""

    size: int = 0
    steps: list[Step] = field(default_factory=list)
    calls: list[tuple[Step, Callable[[Frame, Activation], None]]] = field(default_factory=list)
    ports: list[tuple[int, Slot]] = field(default_factory=list)
    results: list[tuple[str, str, int | list[int]]] = field(default_factory=list)  # (port, name, slot or slots)
    asides: list[Step] = field(default_factory=list)
    leaves: list[int] = field(default_factory=list)  # ports with respect to which some node differentiates

    def bind(self) -> None:
        """Make ready to perform, once every slot is known."""
        self.calls = [(step, step.bind()) for step in self.steps]

    def perform(self, frame: Frame, around: Activation) -> None:
        """Run the steps. Raises NodeError, naming the node."""
        step: Step | None = None
        try:
            for step, call in self.calls:  # noqa: B007 - which step it was is told below
                call(frame, around)
        except (NodeError, Stopped):
            raise
        except Exception as error:
            assert step is not None
            raise NodeError(step.id, error, around.when) from error


class BodyCall:
    """The nodes drawn in a zone, as the function that the zone calls."""

    def __init__(self, code: Code, template: Frame, spec: NodeSpec, around: Activation) -> None:
        assert spec.body is not None
        assert spec.body_returns is not None
        self.code, self.template, self.around = code, template, around
        self.names = [port.name for port in spec.body.ports]
        self.returns = spec.body_returns
        self.absent: dict[str, Any] = {port.name: {} if port.named else None for port in spec.body.results}
        self.grads = spec.trains
        self.frame: Frame | None = None
        self.given: dict[str, Any] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the nodes once, with these values at the inner ports. Raises NodeError, naming the innermost node."""
        self.given = given = dict(zip(self.names, args, strict=False)) | kwargs
        frame = self.template.copy()
        for slot, (port, name) in self.code.ports:
            frame[slot] = given[port][name] if name else given[port]
        for slot in self.code.leaves:
            frame[slot] = frame[slot].detach().requires_grad_()
        if self.grads:
            with torch.enable_grad():
                self.code.perform(frame, self.around)
        else:
            self.code.perform(frame, self.around)
        if self.code.asides:
            self.frame = frame
        return self._results(frame)

    def _results(self, frame: Frame) -> Any:
        form = self.returns.form
        values: dict[str, Any] = {}
        for port, name, slot in self.code.results:
            value = frame[slot] if isinstance(slot, int) else [frame[i] for i in slot]
            if self.code.leaves and not self.grads and isinstance(value, Tensor):
                value = value.detach()
            if form == "one":
                return value
            if name and form == "tuple":
                values.setdefault(port, {})[name] = value
            else:
                values[name or port] = value
        if form == "tuple":
            assert self.returns.build is not None
            return self.returns.build(**(self.absent | values))
        return values if form == "mapping" else None
