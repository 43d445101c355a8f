"""The functions of `core.expressions`, element by element, each of numbers as of tensors that go together.

Of numbers they give numbers; where one argument is a tensor, a tensor, on its device. Errors of numbers are ArithmeticErrors.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
from torch import Tensor

LARGEST_POWER, WIDEST = 64, 1024
"""Whole numbers to a larger power, or whose power would have more bits, are calculated as fractions, which end: 9 ** 9 ** 9 and
(9 ** 64) ** 64 ** 2 would fill the memory."""


def _each(of_tensor: Callable[[Tensor], Tensor], of_number: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def function(x: Any) -> Any:
        if isinstance(x, Tensor):
            return of_tensor(x)
        try:
            return of_number(x)
        except ValueError as error:
            raise ArithmeticError(f"{of_number.__name__} of {x} is no number") from error

    return function


def _like(value: Any, tensor: Tensor) -> Tensor:
    """A number as a tensor that goes with another one: rounded to its type, beyond whose largest number lies infinity."""
    if isinstance(value, Tensor):
        return value
    dtype = tensor.dtype if isinstance(value, int) or tensor.is_floating_point() else torch.get_default_dtype()
    if dtype == torch.bool:
        dtype = torch.int64
    if dtype.is_floating_point:
        largest = torch.finfo(dtype).max
        value = float(value) if not abs(value) > largest else math.inf if value > 0 else -math.inf
    elif not torch.iinfo(dtype).min <= value <= torch.iinfo(dtype).max:
        raise ArithmeticError(f"{value} lies beyond the numbers of {dtype}")
    return torch.full((), value, dtype=dtype, device=tensor.device)


def _two(of_tensors: Callable[[Tensor, Tensor], Tensor], of_numbers: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def function(a: Any, b: Any) -> Any:
        if isinstance(a, Tensor):
            return of_tensors(a, _like(b, a))
        return of_tensors(_like(a, b), b) if isinstance(b, Tensor) else of_numbers(a, b)

    return function


def _unless_nan(choose: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """As torch has it: where one is no number, neither is the result, whichever it is."""
    return lambda a, b: next((each for each in (a, b) if each != each), None) or choose(a, b)


_smaller, _larger = _two(torch.minimum, _unless_nan(min)), _two(torch.maximum, _unless_nan(max))


def smallest(*values: Any) -> Any:
    """The least of several."""
    return reduce(_smaller, values)


def largest(*values: Any) -> Any:
    """The greatest of several."""
    return reduce(_larger, values)


def clamp(x: Any, low: Any, high: Any) -> Any:
    """x, kept from low to high; high where these cross."""
    return _smaller(_larger(x, low), high)


def where(condition: Any, then: Any, otherwise: Any) -> Any:
    """`then` where the condition is not 0, `otherwise` where it is. Only what is chosen passes gradients on."""
    among = [value for value in (condition, then, otherwise) if isinstance(value, Tensor)]
    if not among:
        return then if condition else otherwise
    like = next((value for value in (then, otherwise) if isinstance(value, Tensor)), condition)
    return torch.where(_like(condition, among[0]) != 0, _like(then, like), _like(otherwise, like))


def power(base: Any, exponent: Any) -> Any:
    """base ** exponent."""
    if isinstance(base, Tensor) or isinstance(exponent, Tensor):
        if not (isinstance(exponent, int) and exponent >= 0) and not _is_fraction(base) and not _is_fraction(exponent):
            base = base.to(torch.get_default_dtype()) if isinstance(base, Tensor) else float(base)
        return base**exponent  # 2 ** -1 is a half, of whole numbers too
    if isinstance(exponent, int) and (abs(exponent) > LARGEST_POWER or _width(base) * abs(exponent) > WIDEST):
        base = float(base)
    result = base**exponent
    if isinstance(result, complex):
        raise ArithmeticError(f"{base} ** {exponent} is no real number")
    return result


def _is_fraction(value: Any) -> bool:
    return value.is_floating_point() or value.is_complex() if isinstance(value, Tensor) else isinstance(value, float)


def _width(number: float) -> int:
    """The bits of a whole number."""
    return number.bit_length() if isinstance(number, int) else 0


def _compared(relation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def holds(a: Any, b: Any) -> Any:
        return as_number(relation(a, b), a, b)

    return holds


def as_number(holds: Any, *of: Any) -> Any:
    """1 for what holds and 0 for what does not, in the floating-point type of the tensors that were compared."""
    if not isinstance(holds, Tensor):
        return int(holds)
    kinds = [value.dtype for value in of if isinstance(value, Tensor) and value.is_floating_point()]
    return holds.to(reduce(torch.promote_types, kinds) if kinds else torch.get_default_dtype())


RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "<=": _compared(operator.le),
    ">=": _compared(operator.ge),
    "==": _compared(operator.eq),
    "!=": _compared(operator.ne),
    "<": _compared(operator.lt),
    ">": _compared(operator.gt),
}
"""By how they are written."""


def both(a: Any, b: Any) -> Any:
    """1 where neither is 0."""
    return RELATIONS["!="](a, 0) * RELATIONS["!="](b, 0)


def either(a: Any, b: Any) -> Any:
    """1 where one is not 0."""
    return largest(RELATIONS["!="](a, 0), RELATIONS["!="](b, 0))


def negation(x: Any) -> Any:
    """1 where it is 0."""
    return RELATIONS["=="](x, 0)


def sign(x: float) -> int:
    """-1, 0 or 1."""
    return (x > 0) - (x < 0)


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), with all its figures far below 0, too."""
    small = math.exp(-abs(x))
    return (1 if x >= 0 else small) / (1 + small)


CONSTANTS = {"pi": math.pi}

FUNCTIONS: dict[str, tuple[Callable[..., Any], int, int | None]] = {
    "sqrt": (_each(torch.sqrt, math.sqrt), 1, 1),
    "exp": (_each(torch.exp, math.exp), 1, 1),
    "log": (_each(torch.log, math.log), 1, 1),
    "sin": (_each(torch.sin, math.sin), 1, 1),
    "cos": (_each(torch.cos, math.cos), 1, 1),
    "tan": (_each(torch.tan, math.tan), 1, 1),
    "tanh": (_each(torch.tanh, math.tanh), 1, 1),
    "sigmoid": (_each(torch.sigmoid, sigmoid), 1, 1),
    "abs": (_each(torch.abs, abs), 1, 1),
    "sign": (_each(torch.sign, sign), 1, 1),
    "floor": (_each(torch.floor, math.floor), 1, 1),
    "ceil": (_each(torch.ceil, math.ceil), 1, 1),
    "round": (_each(torch.round, round), 1, 1),
    "min": (smallest, 2, None),
    "max": (largest, 2, None),
    "clamp": (clamp, 3, 3),
    "where": (where, 3, 3),
}
"""By name: the function, and the least and the most values that it takes (None for any number)."""
