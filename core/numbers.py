"""Values that are no numbers (NaN, infinite): refused before they become a black picture, a wrong figure or a spoilt model."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

LOOKED_AT = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.float8_e4m3fn)


def holds_numbers(tensor: Tensor) -> bool:
    """Whether a tensor, of any shape, has contents: neither a meta tensor, nor a stand-in of it (a dry run's) that names another device."""
    return tensor.untyped_storage().device.type != "meta"


def finite(values: Tensor, what: str) -> Tensor:
    """The values themselves, of any shape. Raises FloatingPointError, naming `what`, where any of them is NaN or infinite.

    Values that carry gradients pass, for looking at them waits for the device in each step of a training, which looks at its
    losses instead; and so do tensors without contents.
    """
    if values.requires_grad or not spoilt({what: values}):
        return values
    bad = values.numel() - int(torch.isfinite(values).sum())
    raise FloatingPointError(
        f"{bad} of the {values.numel()} values of {what} are no numbers (NaN or infinite); float16 overflows beyond 65,504, "
        "and needs bfloat16 or float32 then (--dtype of a run); else a model is spoilt, or was given what it was not made for"
    )


def spoilt(tensors: Mapping[str, Tensor]) -> str:
    """The name of the first tensor that holds NaN or an infinity; empty if all are numbers. It waits once for each device."""
    looked: dict[torch.device, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if tensor.dtype in LOOKED_AT and tensor.numel() and holds_numbers(tensor):
            known = tensor.detach().half() if tensor.itemsize == 1 else tensor.detach()  # float8 has no least
            least, greatest = torch.aminmax(known)  # both are NaN where one value is, without a copy
            looked.setdefault(tensor.device, {})[name] = torch.isfinite(least) & torch.isfinite(greatest)
    found = {
        name
        for flags in looked.values()
        for name, well in zip(flags, torch.stack(list(flags.values())).tolist(), strict=True)
        if not well
    }
    return next((name for name in tensors if name in found), "")
