"""Calls that the compiler found alike but for their rows, made as one where their values allow it: outside of gradients, where
devices, types and trailing shapes agree. What once failed to join is called one by one from then on.

Of what is the same from call to call, such as the two conditions of a guided sampling, the joined value is the same object too: who
looks at identity, as attention does to keep its keys and values, sees that nothing changed.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor


class Joiner:
    """Makes batched calls, and remembers what could not be batched."""

    def __init__(self) -> None:
        self._apart: dict[Hashable, set[tuple[Any, ...]]] = {}
        self._last: dict[
            tuple[Hashable, str], tuple[list[Any], list[int], Any]
        ] = {}  # what was joined, its rows, and the whole

    def together(
        self,
        joined: Hashable,
        names: Sequence[str],
        calls: list[dict[str, Any]],
        call: Callable[[dict[str, Any]], Any],
    ) -> list[Tensor] | None:
        """The values of all calls (their arguments) from one; None where they cannot be joined.

        joined: tells these calls from others. names: the arguments by whose rows they are joined.
        """
        if torch.is_grad_enabled():
            return None
        form = tuple(_form(each[name]) for each in calls for name in names)
        apart = self._apart.setdefault(joined, set())
        if form in apart:
            return None
        try:
            rows = [_rows([each[name] for name in names]) for each in calls]
            whole = {name: self._whole((joined, name), [each[name] for each in calls], rows) for name in names}
            return _split(call(calls[0] | whole), rows)
        except Exception:  # whatever it was: each call for itself shows whether it is an error, and whose
            apart.add(form)
            return None

    def _whole(self, place: tuple[Hashable, str], values: list[Any], rows: list[int]) -> Any:
        known = self._last.get(place)
        if known is not None and known[1] == rows and all(map(operator.is_, known[0], values)):
            return known[2]
        whole = _cat([_expanded(value, n) for value, n in zip(values, rows, strict=True)])
        if not any(
            isinstance(value, Tensor) for value in values
        ):  # those may change in place, and are another's memory
            self._last[place] = values, rows, whole
        return whole


def _form(value: Any) -> Any:
    return (value.shape, value.dtype, value.device) if isinstance(value, Tensor) else type(value)


def _rows(values: list[Any]) -> int:
    """How many rows a call has: single values stand for any number."""
    sizes = {len(value) for value in values if isinstance(value, Tensor) and value.ndim > 0}
    if not sizes or len(sizes - {1}) > 1:
        raise ValueError("the call has no one number of rows")
    return max(sizes)


def _expanded(value: Any, n: int) -> Any:
    if not isinstance(value, Tensor):
        return value.expand(n) if hasattr(value, "expand") else value
    if value.ndim > 0 and len(value) == n:
        return value
    return value.expand(n, *value.shape[1:])


def _cat(values: list[Any]) -> Any:
    first = values[0]
    if isinstance(first, Tensor):
        if len({(value.shape[1:], value.dtype, value.device) for value in values}) > 1:
            raise ValueError("the calls' tensors differ in more than rows")
        return torch.cat(values)
    if hasattr(first, "cat"):
        return type(first).cat(values)
    if any(value != first for value in values):
        raise ValueError("the calls' plain values differ")
    return first


def _split(value: Any, rows: list[int]) -> list[Tensor]:
    if not isinstance(value, Tensor) or value.ndim == 0 or len(value) != sum(rows):
        raise ValueError("the result has not one row for each of the calls'")
    return list(torch.split(value, rows))
