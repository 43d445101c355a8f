"""Walks a plan. How a step is done is its argument: to run, to look at numbers, to profile and to go through a plan on tensors
without contents are different `Do`s of this one walk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graph_runner.compile.plan import Code, Unit
from graph_runner.run.failures import NodeError, Stopped, blamed

if TYPE_CHECKING:
    from graph_runner.contract import NodeSpec
    from graph_runner.run.activation import Activation

Frame = list[Any]
"""The values of one scope while it is gone through, by slot."""
Do = Callable[[Unit, Frame, "Activation"], Sequence[Any]]
"""Does a step: reads what it needs from the frame, and puts what others read of it into the frame. Gives what each of the
step's calls gave, whole, for another `Do` around it to look at.
"""
Bound = Callable[[Frame, "Activation"], None]
"""Does one certain step, and forgets the values of which it is the last reader."""
Quick = Callable[[Unit, tuple[int, ...]], Bound | None]
"""A quicker way to do a step and to forget these slots, the same in all else; None where there is none."""


def _no_quicker(unit: Unit, released: tuple[int, ...]) -> Bound | None:  # noqa: ARG001
    return None


class Interpreter:
    """Goes through plans, doing each step by `do`, or by what `quick` makes of it: made once for each scope."""

    def __init__(self, do: Do, quick: Quick = _no_quicker) -> None:
        self.do, self._quick = do, quick
        self._ready: dict[Code, list[tuple[Unit, Bound]]] = {}

    def perform(self, code: Code, frame: Frame, around: Activation, do: Do | None = None) -> None:
        """Do all steps of a scope. Raises NodeError, naming the node, or Stopped.

        do: another way for the steps of this scope, not of the bodies in it. It names the node by itself where one fails.
        """
        if do is not None:
            for unit, gone in _with_released(code):
                _bound(do, unit, gone)(frame, around)
            return
        ready = self._ready.get(code)
        if ready is None:
            ready = [
                (unit, self._quick(unit, gone) or _bound(self.do, unit, gone)) for unit, gone in _with_released(code)
            ]
            self._ready[code] = ready
        _walk(ready, frame, around)

    def perform_one(self, unit: Unit, frame: Frame, around: Activation) -> None:
        """Do one step by itself. Raises NodeError, naming the node, or Stopped."""
        with blamed(unit.id, around.when):
            self.do(unit, frame, around)


def _with_released(code: Code) -> Iterable[tuple[Unit, tuple[int, ...]]]:
    return zip(code.steps, code.released, strict=True)


def _bound(do: Do, unit: Unit, released: tuple[int, ...]) -> Bound:
    def bound(frame: Frame, around: Activation) -> None:
        do(unit, frame, around)
        for slot in released:
            frame[slot] = None

    return bound


def _walk(ready: Iterable[tuple[Unit, Bound]], frame: Frame, around: Activation) -> None:
    unit: Unit | None = None
    try:
        for unit, do in ready:  # noqa: B007 - which step it was is told below
            do(frame, around)
    except (NodeError, Stopped):
        raise
    except Exception as error:
        assert unit is not None
        raise NodeError(unit.id, error, around.when) from error


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
        self._perform = around.runtime.interpreter.perform

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
                self._perform(self.code, frame, self.around)
        else:
            self._perform(self.code, frame, self.around)
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
