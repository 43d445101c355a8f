"""Symbolic shapes solved at one call: what a wire's type, the node and the models beside it say of a tensor's sizes.

A shape is written as einops writes it: "b 3 h w". A number is that size, a letter or word any size, `_` one that has no
name, `...` any number of axes. Who says so:

- the wire's type: rank and numbers. Its letters are its own, for the h of an image is not that of its latent.
- a value beside it that has `takes`, such as a model: the shapes of what it is called with, by wire type,
  {"image": "b 3 h w"} for an encoder of colours.
- the node, by `Axes` in a port's annotation: there a letter is the same size at every port of the call.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from graph_runner.base.problems import Problem
from graph_runner.bind.graph import BoundNode, Source
from graph_runner.contract import Port

REST = "..."
_AXIS = re.compile(r"\([^)]*\)|\S+")  # "(h w)" is one axis without a name
Known = dict[str, tuple[tuple[int, ...], str]]  # what a letter stands for (several sizes for `...`), and who said so


class Given(NamedTuple):
    """A tensor that goes into a port, and where it comes from."""

    port: Port
    value: Tensor
    origin: str


def misfit(bound: BoundNode, arguments: Mapping[str, Any]) -> Problem | None:
    """The first tensor among what is wired into a call whose shape is not what is taken; None where all fit.

    arguments: by port, for a list of wires a value for each.
    """
    given = list(_tensors(bound, arguments))
    takers = list(_takers(bound, arguments))
    shared: Known = {}
    for each in given:
        wire = each.port.type.wire
        said: list[tuple[str, str, Known]] = [(wire.shape, "", {})] if wire is not None and wire.shape else []
        if wire is not None:
            said += [(takes[wire.name], f", says {who}", {}) for who, takes in takers if wire.name in takes]
        if each.port.axes:
            said.append((each.port.axes, "", shared))
        for shape, who, known in said:
            why = solve(shape, tuple(each.value.shape), known, f"{each.port.name}, from {each.origin}")
            if why is not None:
                found = "×".join(map(str, each.value.shape)) or "one number"
                message = f"takes {shape}{who}{why}, and {each.origin} gives {found}"
                return Problem(message, bound.id, each.port.name, "Make the sizes agree, or wire another node")
    return None


def solve(shape: str, sizes: tuple[int, ...], known: Known, who: str) -> str | None:
    """Match sizes with a symbolic shape, and note in `known` what letters stand for, by `who`.

    Returns None where they fit, else what is known of the letter that does not (empty for a number or the rank).
    """
    axes = _AXIS.findall(shape)
    if REST in axes:
        at = axes.index(REST)
        behind = len(axes) - at - 1
        if len(sizes) < len(axes) - 1:
            return ""
        parts = [*_each(sizes[:at]), sizes[at : len(sizes) - behind], *_each(sizes[len(sizes) - behind :])]
    elif len(sizes) != len(axes):
        return ""
    else:
        parts = [*_each(sizes)]
    for axis, part in zip(axes, parts, strict=True):
        if axis == "_" or not (axis.isidentifier() or axis.isdigit() or axis == REST):
            continue
        if axis.isdigit():
            if part != (int(axis),):
                return ""
            continue
        before, owner = known.setdefault(axis, (part, who))
        if before != part:
            return f" with {axis} = {'×'.join(map(str, before)) or 'nothing'} (as {owner})"
    return None


def _each(sizes: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    return ((size,) for size in sizes)


def _tensors(bound: BoundNode, arguments: Mapping[str, Any]) -> Iterator[Given]:
    for port in bound.spec.inputs:
        wired, value = bound.wires.get(port.name), arguments.get(port.name)
        if isinstance(wired, Source):
            pairs = [(value, wired)]
        elif isinstance(wired, dict):
            named = value if isinstance(value, Mapping) else {}
            pairs = [(named[name], source) for name, source in wired.items() if name in named]
        else:
            pairs = list(zip(value, wired or (), strict=False)) if isinstance(value, list) else []
        for item, origin in pairs:
            yield from (Given(port, each, str(origin)) for each in _leaves(item) if isinstance(each, Tensor))


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _takers(bound: BoundNode, arguments: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """The values that say what they are called with, each with its port and where it comes from."""
    for name, wired in bound.wires.items():
        takes = getattr(arguments.get(name), "takes", None)
        if isinstance(takes, Mapping):
            yield f"{name} from {wired}", takes
