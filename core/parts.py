"""Tensors of which each of several processes holds a part (`torch.distributed.tensor.DTensor`).

They are known by what they can do: importing their class takes seconds, and only who splits something has need of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def is_split(value: Any) -> bool:
    """Whether a value is a tensor of which this process holds a part."""
    return isinstance(value, Tensor) and hasattr(value, "to_local")


def local(tensor: Tensor) -> Tensor:
    """This process' part of a tensor of any shape: all of it, where it is not split."""
    part: Tensor = tensor.to_local() if is_split(tensor) else tensor  # type: ignore[attr-defined]
    return part


def split_as(value: Any, parameter: Any) -> Any:
    """A tensor of the shape of a split parameter, split as it is; anything else as it is. No other process is asked."""
    if not is_split(parameter) or not isinstance(value, Tensor) or is_split(value) or value.shape != parameter.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(
        value.to(parameter.device), parameter.device_mesh, parameter.placements, src_data_rank=None
    )


def all_split_as(values: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Tensors by name, each split as the parameter of its name is."""
    return {name: split_as(value, parameters.get(name)) for name, value in values.items()}
