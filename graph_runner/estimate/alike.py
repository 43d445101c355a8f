"""Which items of a sweep cost the same: those that differ in nothing but seeds and the contents of tensors."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from torch import Tensor, nn

from graph_runner.compile.plan import Code
from graph_runner.run.interpreter import BodyCall

MOST = 16
"""How many different items are looked at; those that differ from all of them are taken to cost what the first does."""


def standing_for(body: BodyCall, given: Sequence[tuple[Any, ...]]) -> list[int]:
    """For each item that a body is given, the place of the one that costs the same: its own, or an earlier one's."""
    ports = [(body.names.index(port), name) for slot, (port, name) in body.code.ports if _reads(body.code, slot)]
    first: dict[Hashable, int] = {}
    places = []
    for place, item in enumerate(given):
        kind = tuple(_kind(item[at][name] if name else item[at]) for at, name in ports)
        places.append(first.setdefault(kind, place) if kind in first or len(first) < MOST else 0)
    return places


def _reads(code: Code, slot: int) -> bool:
    """Whether a body reads what lies in a slot otherwise than as a seed."""
    for step in (*(member for unit in code.steps for member in unit.members), *code.asides):
        if any(read == slot and port != "seed" for port, read in step.singles):
            return True
        if any(slot in read for _, read in step.lists) or any(slot in dict(read).values() for _, read in step.dicts):
            return True
        if any(slot == read for need in step.needed for _, read in need.singles):
            return True
        if step.body is not None and any(
            outside == slot and _reads(step.body, inside) for outside, inside in step.captures
        ):
            return True
    return False


def _kind(value: Any) -> Hashable:
    """All of a value that costs can depend on."""
    if isinstance(value, Tensor):
        return "tensor", tuple(value.shape), value.dtype
    if isinstance(value, nn.Module):
        return type(value), tuple((name, tuple(each.shape)) for name, each in value.named_parameters())
    if isinstance(value, dict):
        return tuple((name, _kind(each)) for name, each in value.items())
    if isinstance(value, list | tuple):
        return tuple(_kind(each) for each in value)
    return (type(value), value) if isinstance(value, bool | int | float | str | None) else id(value)
