"""Values that are no numbers (NaN, infinite) are refused before they become a black picture or a wrong figure."""

from __future__ import annotations

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor


def finite(values: Tensor, what: str) -> Tensor:
    """The values themselves. Raises FloatingPointError, naming `what`, where any of them is NaN or infinite.

    Values that carry gradients pass, for looking at them waits for the device in each step of a training, which looks at its
    losses instead; and so do tensors without contents.
    """
    empty = isinstance(values, FakeTensor) or values.is_meta or not values.is_floating_point()
    if empty or values.requires_grad or bool(torch.isfinite(values).all()):
        return values
    bad = values.numel() - int(torch.isfinite(values).sum())
    raise FloatingPointError(
        f"{bad} of the {values.numel()} values of {what} are no numbers (NaN or infinite); float16 overflows beyond 65,504, "
        "and needs bfloat16 or float32 then; else a model is spoilt, or was given what it was not made for"
    )
