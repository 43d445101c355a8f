"""Whether a value that a program gives can be on a wire of a type, as far as that shows without computing anything."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from graph_runner.contract import PortType
from graph_runner.contract.spec import ANY


def adopted(value: Any, kind: PortType) -> Any:
    """The value of this type that stands for what a program holds (see `Wire.adopt`); others as they are. Raises ValueError where
    it should be one and cannot."""
    if kind.many and isinstance(value, list | tuple):
        return [adopted(item, kind.element()) for item in value]
    adopt = kind.wire.adopt if kind.wire is not None and not kind.many else None
    made = adopt(value) if adopt is not None and not isinstance(value, Tensor) else None
    return value if made is None else made


def unsuited(value: Any, kind: PortType) -> str:
    """Why a value cannot be on a wire of this type, in words that follow "takes …, and"; empty where it can."""
    if value is None:  # what stands for nothing goes on no wire
        return "this is None"
    if kind == ANY:
        return ""
    if kind.many:
        if not isinstance(value, list | tuple):
            return "this is no list"
        wrong = ((n, unsuited(item, kind.element())) for n, item in enumerate(value))
        return next((f"of its item {n}, {why}" for n, why in wrong if why), "")
    if kind.base is None or _is(value, kind.base):
        shape = kind.wire.shape if kind.wire is not None else ""
        return _wrong_shape(value, shape) if isinstance(value, Tensor) and shape and not kind.variable else ""
    return f"this is {_form(value)}"


def _is(value: Any, base: type) -> bool:
    if base in (int, float) and isinstance(value, bool):
        return False
    try:
        return isinstance(value, (int, float) if base is float else base)
    except TypeError:  # a protocol that cannot be asked at run time
        return True


def _wrong_shape(value: Tensor, shape: str) -> str:
    """Why a tensor's shape is not of a form such as "b 3 h w"; only what it says of axes by themselves is looked at."""
    axes = shape.split()
    fits = "..." in axes or (
        len(axes) == value.dim()
        and all(int(axis) == size for axis, size in zip(axes, value.shape, strict=True) if axis.isdigit())
    )
    return "" if fits else f"this is {_form(value)}"


def told(kind: PortType) -> str:
    """What a port takes, in words: its wire's name, the Python type and the shape."""
    base = f" ({kind.base.__name__})" if kind.wire is not None and kind.base is not None else ""
    shape = f" of the form '{kind.wire.shape}'" if kind.wire is not None and kind.wire.shape else ""
    name = (
        kind.base.__name__ if kind.variable and kind.base is not None else "any value" if kind.variable else kind.name
    )
    return f"a list of {name}{base}{shape}" if kind.many else f"{name}{base}{shape}"


def _form(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of the shape {' '.join(map(str, value.shape)) or '()'}"
    return f"of the type {type(value).__name__}"
