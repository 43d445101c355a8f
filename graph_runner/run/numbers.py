"""Values that are no numbers (NaN, infinite): refused where they are read, and traced to the node that made them first.

Whoever refuses them raises FloatingPointError. The engine then goes through the graph again with what every node gives looked
at (`Checked`), so that the error names the node where they came up. With `check_numbers` it looks from the start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from graph_runner.compile.plan import Unit
from graph_runner.run.call import read
from graph_runner.run.failures import NodeError, blamed
from graph_runner.run.interpreter import Do, Frame

if TYPE_CHECKING:
    from graph_runner.run.activation import Activation


def non_finite(value: Any) -> str:
    """What in a value is no number, in a few words: "12 of 64 values are NaN", with where they lie; empty if all is well."""
    for path, tensor in _tensors(value):
        if not (tensor.is_floating_point() and tensor.numel()) or bool(
            torch.stack(torch.aminmax(tensor)).isfinite().all()
        ):
            continue
        nan, infinite = int(tensor.isnan().sum()), int(tensor.isinf().sum())
        kinds = [
            f"{count} of {tensor.numel()} values are {kind}" for count, kind in ((nan, "NaN"), (infinite, "infinite"))
        ]
        told = " and ".join(text for text, count in zip(kinds, (nan, infinite), strict=True) if count)
        return f"{told} ({path})" if path else told
    return ""


class Checked:
    """Does steps as `do` does, and looks at what they gave: a NodeError says which values are no numbers, and why."""

    def __init__(self, do: Do) -> None:
        self.do = do

    def __call__(self, unit: Unit, frame: Frame, around: Activation) -> Sequence[Any]:
        """Do a step (see `graph_runner.run.interpreter.Do`)."""
        values = self.do(unit, frame, around)
        for step, value in zip(unit.members, values, strict=True):
            with blamed(step.id, around.when):
                if told := non_finite(value):
                    raise FloatingPointError(f"{told} in what it gives; {_cause(read(step, frame))}")
        return values


def first_seen(first: NodeError, refused: NodeError, dtype: torch.dtype) -> NodeError:
    """The error of the node that gave the first values that are no numbers, told with who refused what came of them."""
    if not isinstance(first.__cause__, FloatingPointError):
        return refused
    told = f"{first.__cause__}{f', in {first.when}' if first.when else ''}"
    if first.node != refused.node:
        told += f". {refused.node} refused what came of it: {refused.__cause__}"
    if dtype == torch.float16 and "float16" not in told:
        told += ". float16 ends at 65,504: run with --dtype bfloat16 or float32"
    error = NodeError(first.node, FloatingPointError(told), first.when)
    error.__cause__ = first.__cause__
    return error


def _cause(given: Mapping[str, Any]) -> str:
    """Why a node gave no numbers, as far as what it was given shows: whether it was weights or activations."""
    for name, value in given.items():
        if told := non_finite(value):
            if isinstance(value, nn.Module):
                return f"the weights of its {name} are spoilt ({told}), by the training before this, or by the file they came from"
            return f"its {name} came so from the zone around it ({told})"
    return "all that it was given are numbers, and so are its models' weights"


def _tensors(value: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors in a value, each with where it lies."""
    if isinstance(value, Tensor):
        narrow = value.is_floating_point() and value.itemsize == 1  # float8, which knows no least and greatest
        yield path, value.detach().half() if narrow else value.detach()
        return
    parts: Iterator[tuple[Any, Any]]
    if isinstance(value, nn.Module):
        parts = (pair for tensors in (value.named_parameters(), value.named_buffers()) for pair in tensors)
    elif isinstance(value, Mapping):
        parts = iter(value.items())
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        parts = zip(value._fields, value, strict=True)
    elif isinstance(value, list | tuple):
        parts = ((str(i), item) for i, item in enumerate(value))
    elif is_dataclass(value) and not isinstance(value, type):
        parts = ((each.name, getattr(value, each.name)) for each in fields(value))
    elif isinstance(value, float):
        yield path, torch.tensor(value)
        return
    else:
        return
    for name, part in parts:
        yield from _tensors(part, f"{path}.{name}" if path else str(name))
