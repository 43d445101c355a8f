"""What stays float32 under autocast: distances, statistics and gradients whose small differences are the result."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def in_float32(function: Callable[P, R]) -> Callable[P, R]:
    """A function or method of tensors that computes outside of autocast, whatever is around it.

    Its tensors keep the types they come in: what may be half is for the function to convert.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        device = next(value.device.type for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
        with torch.autocast(device, enabled=False):
            return function(*args, **kwargs)

    return call
