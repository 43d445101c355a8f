"""One execution of a zone, or of the top: the iterations around it, and what its nodes are handed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

from torch import Tensor, nn

from graph_runner.compile.plan import Step
from graph_runner.contract.context import Processes, derive
from graph_runner.run.injectables import NodeCall
from graph_runner.run.interpreter import BodyCall, Frame
from graph_runner.run.runtime import Runtime
from graph_runner.run.shares import put_together, shared


class Activation:
    """One execution of a zone (or the top): the iterations around it, and what its nodes are handed."""

    def __init__(self, runtime: Runtime, around: Activation | None = None, step: Step | None = None) -> None:
        self.runtime, self.around, self.step = runtime, around, step
        self.path: tuple[int, ...] = around.path if around else ()  # iterations and micro-batches of the loops around
        self.turns: tuple[int, ...] = around.turns if around else ()
        self.steps: int = around.steps if around else 1  # how many the innermost loop has
        self.micro: int = around.micro if around else 0  # which part of a step's batch, counted over the loops around
        self.training: bool = around.training if around else False
        self.sharded: bool = around.sharded if around else False
        self.stateful: bool = around.stateful if around else False
        self.lineage = step.lineage if step else ""
        self.body: BodyCall | None = None
        self.held = ExitStack()  # until the zone has returned, or failed
        # Those who go through this together: all, but in callbacks of a training, where the first is alone.
        self.processes: Processes = around.processes if around else runtime.processes
        self.shares: frozenset[int] = frozenset()  # slots of the body of which each process holds a part
        self.item: tuple[Any, ...] = ()  # what the body is given in this iteration, where it depends on no other one
        self.told: list[Any] = []  # by callbacks, of the iteration that has ended
        self.seen: Callable[[Any], Any] | None = around.seen if around else None  # as what others see a value
        if step is not None and step.spec.trains:
            self.training = self.sharded = True
        if step is not None and step.spec.aside:
            self.training = self.sharded = False
            self.micro = 0
            self.processes = Processes()
            self.seen = None

    @property
    def node(self) -> str:
        """The zone's id; empty at the top."""
        return self.step.id if self.step is not None else ""

    @property
    def part(self) -> int:
        """Which part of the global batch the rows here are: all processes' shares of a micro-batch come before the next."""
        return self.micro * self.processes.world + self.processes.rank if self.sharded else self.micro

    @property
    def when(self) -> str:
        """The steps of the loops around, in words: "step 3 of fit, step 1 of sweep"; empty outside of loops."""
        told: list[str] = []
        around: Activation | None = self
        while around is not None and around.step is not None:
            if around.step.spec.loops and around.turns:
                told.append(f"step {around.turns[-1] + 1} of {around.step.id}")
            around = around.around
        return ", ".join(told)

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
            value = frame[outside]
            if not isinstance(value, nn.Module):  # a model comes when a node inside uses it
                value = self.runtime.place(value)
            template[slot] = value.detach() if step.spec.aside and isinstance(value, Tensor) else value
        inside.body = BodyCall(step.body, template, step.spec, inside)
        return inside

    def whole(self, steps: Iterable[Step], frame: Frame) -> Frame:
        """The frame that these steps should see on rank 0: what each process holds a share of put together, models that the
        processes split whole. All must ask."""
        if not self.shares and self.seen is None:
            return frame
        read = {slot for step in steps for slot in step.reads()}
        slots = sorted(self.shares & read)
        frame = frame.copy()
        if slots:
            together = put_together([frame[slot] for slot in slots], self.processes)
            for slot, value in zip(slots, together, strict=True):
                frame[slot] = value
        if self.seen is not None:
            for slot in sorted(read):
                frame[slot] = self.seen(frame[slot])
        return frame

    def leave(self) -> None:
        """Let go of what the zone held and its body captured, now that it has returned."""
        self.held.close()
        if self.body is not None:
            self.body.template.clear()
            self.body.frame = None
            self.body = None

    def own_name(self, key: str) -> str:
        """What stands for a node's value of this key here: other iterations of the zones around, another name."""
        given = [zone.step.key for zone in self.giving() if zone.step is not None]
        return f"{derive(key, *given, *self.path):016x}" if given or self.path else key

    @property
    def hands(self) -> str:
        """What stands for what this zone hands to its body now: an item's own values, where a key can be made of them."""
        return (self.step.handed if self.step is not None else "") if not (told := _told(self.item)) else told

    def giving(self) -> Iterator[Activation]:
        """The zones from here on that hand something to their bodies."""
        around: Activation | None = self
        while around is not None and around.step is not None:
            spec = around.step.spec
            if (
                spec.body is not None and spec.body.ports and not spec.aside
            ):  # what a callback hands on is the loop's turn
                yield around
            around = around.around

    def inject(self, kind: str, node: str, use: tuple[object, ...], key: str = "") -> Any:
        """What is handed to a parameter of this kind of the node that is about to be called.

        use: what its random numbers are for. key: of its value.
        """
        return self.runtime.injectables[kind](NodeCall(self, node, use, key))


def _told(item: tuple[Any, ...]) -> str:
    """A key of what an item is given: numbers and texts, and lists of them; empty where there is anything else, or nothing."""
    parts: list[Any] = [*item]
    for part in parts:
        if isinstance(part, Mapping):
            parts += part.values()
        elif isinstance(part, list | tuple):
            parts += part
        elif not (part is None or type(part) in (bool, int, float, str)):
            return ""
    return f"{derive('item', repr(item)):016x}" if item else ""
