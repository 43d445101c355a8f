"""How a step is done in a run: its arguments from the frame, what it asks for handed in, its function called, its values put
where their readers look.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from types import MappingProxyType
from typing import Any

import torch

from graph_runner.compile.plan import Joined, Step, Unit
from graph_runner.contract import LARGEST_SEED, NodeSpec
from graph_runner.contract.context import derive
from graph_runner.run.activation import Activation
from graph_runner.run.failures import blamed
from graph_runner.run.interpreter import Bound, Frame
from graph_runner.run.join import Joiner
from graph_runner.run.out_of_memory import again, with_room
from graph_runner.run.residence import Use

Entered = Callable[[NodeSpec], Callable[..., Any]]
"""What calls the function of a node: the function itself, or one that goes around it."""
Settle = Callable[[Step, Any], None]
"""Puts in order what a node has given, in place, before others read it."""


def at_rest(value: Any) -> None:
    """Models on wires are in eval mode without gradients."""
    if isinstance(value, torch.nn.Module):
        value.eval().requires_grad_(False)


def rested(step: Step, value: Any) -> None:  # noqa: ARG001 - see `Settle`
    """As `at_rest`."""
    at_rest(value)


class Calls:
    """Calls nodes (see `graph_runner.run.interpreter.Do`).

    entered: see `Entered`; asked for by each step anew. settle: see `Settle`. instead: by a node's id, parameters that the run says
    something else of than the node. elsewhere: nodes compute on another device than the host.
    """

    def __init__(
        self,
        entered: Entered,
        settle: Settle = rested,
        elsewhere: bool = False,
        instead: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    ) -> None:
        self.entered, self.settle, self.elsewhere, self.instead = entered, settle, elsewhere, instead
        self._joiner = Joiner()

    def __call__(self, unit: Unit, frame: Frame, around: Activation) -> Sequence[Any]:
        """Do a step."""
        wanted = [step for step in unit.members if not step.needed or _is_needed(step, frame, around)]
        if len(wanted) < len(unit.members):
            return self._some(unit, wanted, frame, around)
        if isinstance(unit, Joined):
            return self._joined(unit, frame, around)
        if unit.spec.effect and not unit.stores:
            return [self._show(unit, frame, around)]
        if unit.copied and around.runtime.residence is not None:
            around.runtime.residence.whole(read(unit, frame))
        value = self._called(unit, arguments(unit, frame), frame, around)
        store(unit, frame, value, self.settle)
        return [value]

    def _some(self, unit: Unit, wanted: Sequence[Step], frame: Frame, around: Activation) -> Sequence[Any]:
        """Make those calls that are needed, one by one; of the others nobody reads the value."""
        values = []
        for step in unit.members:
            if step in wanted:
                with blamed(step.id, around.when):
                    value = self._called(step, arguments(step, frame), frame, around)
                    store(step, frame, value, self.settle)
            else:
                value = None
                for slot, _ in step.stores:
                    frame[slot] = None
            values.append(value)
        return values

    def quick(self, unit: Unit, released: tuple[int, ...]) -> Bound | None:
        """The quickest way to do a step that needs nothing but its arguments (see `graph_runner.run.interpreter.Quick`)."""
        if isinstance(unit, Joined) or not _is_plain(unit) or (self.elsewhere and _may_hold_models(unit.spec)):
            return None
        function, constants, singles = self.entered(unit.spec), dict(unit.constants), unit.singles
        (out, _), *_ = unit.stores

        def quick(frame: Frame, around: Activation) -> None:
            kwargs = constants.copy()
            for name, slot in singles:
                kwargs[name] = frame[slot]
            try:
                value = function(**kwargs)
            except (MemoryError, RuntimeError) as error:
                value = again(error, lambda: function(**kwargs), unit, around)
            frame[out] = value
            if value is None:
                raise _absent("")
            for slot in released:
                frame[slot] = None

        return quick

    def _show(self, step: Step, frame: Frame, around: Activation) -> Any:
        """Save or show: where several processes share a batch, one of them does it, for the whole; a search does neither."""
        whole = around.whole([step], frame)
        if around.runtime.search or around.runtime.processes.rank > 0:
            return None
        with around.runtime.processes.apart():
            return self._called(step, arguments(step, whole), whole, around)

    def _joined(self, joined: Joined, frame: Frame, around: Activation) -> Sequence[Any]:
        calls = [arguments(member, frame) for member in joined.members]

        def call(whole: dict[str, Any]) -> Any:
            return self._called(joined.members[0], whole, frame, around)

        together = self._joiner.together(joined, joined.batched, calls, call)
        values = []
        for i, member in enumerate(joined.members):
            with blamed(member.id, around.when):
                value = self._called(member, calls[i], frame, around) if together is None else together[i]
                store(member, frame, value, self.settle)
            values.append(value)
        return values

    def _called(self, step: Step, kwargs: dict[str, Any], frame: Frame, around: Activation) -> Any:
        """Call the node's function; what it is handed stays on the device meanwhile. Where memory runs out, see `with_room`."""
        residence = around.runtime.residence
        with nullcontext() if residence is None else residence.call():
            return with_room(lambda: self._call(step, dict(kwargs), frame, around), step, around)

    def _call(self, step: Step, kwargs: dict[str, Any], frame: Frame, around: Activation) -> Any:
        """Call the node's function, with what it asks for injected."""
        spec, runtime = step.spec, around.runtime
        kwargs |= self.instead.get(step.id, {})
        if runtime.residence is not None:
            use = _use(spec)
            if around.step is None:  # at the top values may have waited off the device
                kwargs = {name: runtime.residence.place(value, use) for name, value in kwargs.items()}
            else:
                runtime.residence.bring(kwargs, use)
        for name, kind in step.paths:
            if kwargs[name]:
                kwargs[name] = str(runtime.paths.place(kwargs[name], kind))
        seed = kwargs.get("seed", 0)
        if spec.draws and not spec.seeded:
            kwargs.pop("seed", None)
        if spec.draws and not 0 <= seed <= LARGEST_SEED:  # a wired one; what is typed in was looked at before
            raise ValueError(f"the seed {seed} must be a whole number from 0 to {LARGEST_SEED}; wire another one")
        drawn_for = (spec.first_name, seed)
        if spec.draws or (spec.takes_models and around.training):
            # For what draws from torch's global generators, alike on all processes: initialisation, and dropout.
            torch.manual_seed(derive(runtime.seed, *drawn_for, around.path))
        own = around
        if step.body is not None:
            own = around.enter(step, frame)
            assert spec.body is not None
            kwargs[spec.body.parameter] = own.body
        for name, kind in spec.injected.items():
            kwargs[name] = own.inject(kind, step.id, drawn_for, step.key)
        try:
            with torch.enable_grad() if step.grads else nullcontext():
                value = self.entered(spec)(**kwargs)
            if "saving" in spec.injected.values():
                runtime.keep_saved()
            return value
        finally:
            if own is not around:
                own.leave()


def read(step: Step, frame: Frame) -> dict[str, Any]:
    """What a call is given, as it lies in the frame."""
    kwargs = dict(step.constants)
    for name, slot in step.singles:
        kwargs[name] = frame[slot]
    for name, slots in step.lists:
        kwargs[name] = [item for slot in slots for item in (frame[slot] if slot in step.whole else (frame[slot],))]
    for name, named in step.dicts:  # beside what is typed in
        kwargs[name] = {**(kwargs.get(name) or {}), **{key: frame[slot] for key, slot in named}}
    return kwargs


def arguments(step: Step, frame: Frame) -> dict[str, Any]:
    """What a call is given, copies made of what the node changes and others read."""
    kwargs = read(step, frame)
    for name in step.copied:
        kwargs[name] = copy.deepcopy(kwargs[name])
    for name in step.spec.mutates:
        if isinstance(kwargs.get(name), dict):
            kwargs[name] = _apart(kwargs[name])
    return kwargs


def _apart(models: Mapping[str, Any]) -> dict[str, Any]:
    """The models by their names, where one that has two names is two."""
    apart: dict[str, Any] = {}
    for name, model in models.items():
        twice = any(model is other for other in apart.values())
        apart[name] = copy.deepcopy(model) if twice else model
    return apart


def store(step: Step, frame: Frame, value: Any, settle: Settle = rested) -> None:
    """Put what a call gave where its readers look. Raises ValueError where it gave nothing for one of them."""
    spec = step.spec
    form = spec.returns.form
    handed_on = [frame[slot] for name, slot in step.singles if name not in spec.mutates]
    for slot, (port, name) in step.stores:
        if form == "one":
            frame[slot] = value
        elif form == "mapping":
            frame[slot] = _named(value, name, spec.outputs[0].type.many)
        else:
            part = getattr(value, port)
            frame[slot] = _named(part, name, spec.output[port].type.many) if name else part
        if frame[slot] is None:
            raise _absent(port, spec)
        if not any(frame[slot] is value for value in handed_on):  # a model that trains may pass through a node
            settle(step, frame[slot])


def _named(values: Mapping[str, Any], name: str, many: int) -> Any:
    """One of the values that a user named: of a loop that never turned, which gives no names, an empty list."""
    return values[name] if name in values or not many else []


def _absent(port: str, spec: NodeSpec | None = None) -> ValueError:
    """What is told where a result is None. What goes in under the same name is what comes out there."""
    what = f"no {port}" if port else "nothing"
    remedy = "wire that one elsewhere, or give this one what it lacks"
    if spec is not None and port in spec.input:
        remedy = f"give it {port} ({spec.input[port].help.rstrip('.')})"
    return ValueError(f"it gives {what}, which another node reads; {remedy}")


def _is_plain(step: Step) -> bool:
    """Whether a step takes single values and literals alone, and gives one value that is no model."""
    spec = step.spec
    special = (step.lists, step.dicts, step.copied, step.paths, step.body, spec.injected, spec.takes_models, step.grads)
    return (
        not (any(special) or step.needed)
        and spec.returns.form == "one"
        and len(step.stores) == 1
        and not _gives_models(spec)
    )


def _is_needed(step: Step, frame: Frame, around: Activation) -> bool:
    """Whether anybody will read what a step gives; where processes share a training, or nothing is computed, all is done by all."""
    together = around.sharded and around.processes.world > 1
    return together or around.runtime.dry or any(need.holds(frame) for need in step.needed)


def _use(spec: NodeSpec) -> Use:
    """What a node does with the models that it is handed: what makes models of models, or saves them, reads their weights."""
    if spec.trains:
        return "train"
    return "read" if spec.saves is not None or (_gives_models(spec) and not spec.mutates) else "call"


def _may_hold_models(spec: NodeSpec) -> bool:
    return not all(port.type.self_contained for port in spec.inputs)


def _gives_models(spec: NodeSpec) -> bool:
    return any(
        (port.type.variable and not port.type.broadcasts)
        or (port.type.base is not None and issubclass(port.type.base, torch.nn.Module))
        for port in spec.outputs
    )
