"""A model of a file's configuration without weights: what names and shapes it would have, told before any memory is taken.

A configuration is a line of text that may ask for a million blocks. It is followed only as far as the file's own weights
reach; how wide the layers are does not matter here, for nothing is allocated, and the shapes are compared afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

Model = TypeVar("Model", bound=nn.Module)

SLACK = 64
"""Tensors that a model may have beside its file's: constants, and what a checkpoint keeps elsewhere."""


def outline(kind: Callable[..., Model], config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Model:
    """The model on the meta device. Raises ValueError where nothing can be built so, or more than the weights could fill.

    config: the constructor's arguments, as a file has them: of any kind and size.
    state: the weights that are to fill the model, by whatever names.
    """
    try:
        with torch.device("meta"), _Bounded(state):
            return kind(**config)
    except Exception as error:  # what a constructor makes of a text for a number, or of −8 channels, may be any error
        raise ValueError(str(error).partition("\n")[0] or type(error).__name__) from error


class _Bounded(TorchFunctionMode):
    """Ends building when it exceeds the weights, and leaves out what torch.nn.init does.

    The weights follow from the file, and on the meta device `normal_` imports a compiler.
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.tensors = 4 * len(state) + SLACK  # an attention's one matrix in the file may be three here

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        made = func(*args, **kwargs)
        if func is torch.empty:  # as every layer makes its weights
            self.tensors -= 1
            if self.tensors < 0:
                raise ValueError("it asks for more layers than the file has weights for")
        return made
