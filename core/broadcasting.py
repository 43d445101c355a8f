"""Tensors and numbers together, sample by sample: axes are counted from the first, which is the batch.

PyTorch lines axes up from the last, so that (b,) meets the width of (b, c, h, w). Here it meets the batch: a tensor with fewer
axes than another gets axes of size 1 behind its own. Sizes are equal, or one of them is 1; a number goes with everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

Value = Tensor | float | int
"""A tensor, or a number of Python."""


def aligned(values: Mapping[str, Value]) -> dict[str, Any]:
    """The values, with axes added to the tensors among them so that PyTorch's operators broadcast them as said above.

    values: by the names that messages use. Raises ValueError, naming two of them and their shapes, where sizes do not go
    together, and where something is neither number nor tensor.
    """
    wide: dict[int, str] = {}  # of each axis the first that is wider than 1 there
    rank = 0
    for name, value in values.items():
        if not isinstance(value, Tensor | int | float):
            raise ValueError(f"{name} is a {type(value).__name__}; calculate with numbers and tensors")
        if not isinstance(value, Tensor):
            continue
        rank = max(rank, value.ndim)
        for axis, size in enumerate(value.shape):
            other = values[wide.setdefault(axis, name)] if size != 1 else value
            if isinstance(other, Tensor) and other.shape[axis] != size:
                raise ValueError(
                    f"{wide[axis]} is {shape_of(other)} and {name} is {shape_of(value)}: axis {axis} has"
                    f" {int(other.shape[axis])} and {int(size)}, and sizes must be equal, or one of them 1"
                )
    return {name: _widened(value, rank) if isinstance(value, Tensor) else value for name, value in values.items()}


def shape_of(tensor: Tensor) -> str:
    """How messages write the shape of a tensor: "2×4×8×8"."""
    return "×".join(str(int(size)) for size in tensor.shape) or "one number"


def _widened(tensor: Tensor, rank: int) -> Tensor:
    return tensor.reshape(*tensor.shape, *[1] * (rank - tensor.ndim)) if 0 < tensor.ndim < rank else tensor
