"""Values of which each of several processes holds a share: the batch of a training, and what is made of it.

What looks at them on one process (`every`, a node that saves, shows or reports) is handed the whole: the rows of all
processes, in the order in which one would hold them, and of numbers the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from graph_runner.compile.plan import Step
    from graph_runner.contract.processes import Processes


def shared(zone: Step, around: frozenset[int] = frozenset()) -> frozenset[int]:
    """The slots of a zone's body that hold a share, where all processes go through it.

    They are what a training zone hands in by a wire type of its own (the batch; not the step, nor the models), what is
    drawn (each process draws its rows), and all that is made of these. around: such slots of the scope around the zone.
    """
    assert zone.body is not None
    assert zone.spec.body is not None
    handed_on = not around.isdisjoint(zone.reads())
    ports = {port.name for port in zone.spec.body.ports if handed_on or (zone.spec.trains and port.type.wire)}
    slots = {slot for slot, (port, _) in zone.body.ports if port in ports}
    slots |= {inside for outside, inside in zone.captures if outside in around}
    for step in (member for unit in zone.body.steps for member in unit.members):
        drawn = step.spec.draws or (step.body is not None and shared(step, frozenset(slots)))
        if drawn or not slots.isdisjoint(step.reads()):
            slots.update(slot for slot, _ in step.stores)
    return frozenset(slots)


def put_together(values: list[Any], processes: Processes) -> list[Any]:
    """On rank 0, values whose every part holds the rows of all processes, or the mean; all others keep their own."""
    own: list[Any] = []

    def note(leaf: Any) -> Any:
        own.append(leaf.detach().cpu().clone() if isinstance(leaf, Tensor) else leaf)
        return leaf

    for value in values:
        _over(value, note)
    gathered = processes.gather(own)
    if not gathered:
        return values
    parts = zip(*gathered, strict=True)
    return [_over(value, lambda leaf: _joined(next(parts), leaf)) for value in values]


def _over(value: Any, change: Callable[[Any], Any]) -> Any:
    """A value with its leaves changed, in a fixed order: tensors, floats, and lists of plain values."""
    if isinstance(value, Tensor | float):
        return change(value)
    if isinstance(value, dict):
        return {key: _over(item, change) for key, item in value.items()}
    if isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
        return change(value)
    if isinstance(value, list):
        return [_over(item, change) for item in value]
    if isinstance(value, tuple):
        items = [_over(item, change) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _over(getattr(value, f.name), change) for f in fields(value) if f.init})
    return value


def _joined(parts: Sequence[Any], own: Any) -> Any:
    if isinstance(own, list):
        return [item for part in parts for item in part]
    if isinstance(own, float):
        return sum(parts) / len(parts)
    if own.ndim:
        return torch.cat(_filled_up(parts)).to(own.device)
    return torch.stack(list(parts)).mean(0).to(own.device) if own.is_floating_point() else own.detach()


def _filled_up(parts: Sequence[Tensor]) -> list[Tensor]:
    """Tensors of one shape but for the number of rows; shorter ones (fewer boxes an image) end as a batch's padding does,
    in −1 where they are whole numbers and in 0 where not."""
    longest = [max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True)]
    filled = []
    for part in parts:
        plain = part.is_floating_point() or part.dtype == torch.bool
        whole = part.new_full((len(part), *longest), 0 if plain else -1)
        whole[(slice(None), *(slice(size) for size in part.shape[1:]))] = part
        filled.append(whole)
    return filled
