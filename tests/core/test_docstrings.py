"""Whoever calls `core` with tensors is told their shapes: every public function that takes one says them."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from torch import Tensor

import core

FIRST, AXIS = r"(?:[a-z]|\d{1,3}|…|world)", r"(?:\d{1,3}|…|[a-z][a-z_]*'?|[a-z0-9]\w?(?:[·/+−][a-z0-9]\w?)+)"
SHAPE = re.compile(rf"\({FIRST}(?:, {AXIS})+\)|\({AXIS},\)|\b[Ss]calars?\b|\b[Aa]ny shapes?\b|\bthe shape of\b")
"""Such as (b, c, h, w), (b,), (n, d) or (b, …); of one number: scalar; of what may be anything: any shape, the shape of."""


def public() -> Iterator[tuple[str, Callable[..., Any], str]]:
    """Every public function and method of core that takes a tensor, with what documents it: its own words and its class'."""
    for info in pkgutil.walk_packages(core.__path__, "core."):
        if any(part.startswith("_") for part in info.name.split(".")):
            continue
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            if name.startswith("_") or getattr(value, "__module__", None) != info.name:
                continue
            if inspect.isfunction(value):
                yield f"{info.name}.{name}", value, value.__doc__ or ""
            elif inspect.isclass(value):
                for method, function in vars(value).items():
                    function = getattr(function, "__func__", function)
                    documented = not method.startswith("_") or method in ("__call__", "__init__")
                    if documented and inspect.isfunction(function):
                        words = f"{function.__doc__ or ''}\n{value.__doc__ or ''}"
                        yield f"{info.name}.{name}.{method}", function, words


def takes_tensors(function: Callable[..., Any]) -> bool:
    def holds(hint: Any) -> bool:
        if typing.get_origin(hint) in (dict, Mapping):  # a state dict: tensors of many shapes by their names
            return False
        return hint is Tensor or any(holds(part) for part in typing.get_args(hint))

    hints = typing.get_type_hints(function)
    return any(holds(hint) for name, hint in hints.items() if name != "return")


TAKING = [(name, words) for name, function, words in public() if takes_tensors(function)]


@pytest.mark.parametrize(("name", "words"), TAKING, ids=[name for name, _ in TAKING])
def test_the_shapes_of_tensors_are_said(name: str, words: str) -> None:
    assert SHAPE.search(words), f"{name} takes a tensor and says no shape such as (b, c, h, w)"


def test_there_are_such_functions() -> None:
    assert len(TAKING) > 50
