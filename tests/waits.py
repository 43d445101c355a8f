"""Notices whatever makes the host wait for a device: looking at a number, counting what a mask holds, copying to the host.

On a CPU nobody waits, but the same operations are called there, so that a test on the CPU finds them. What it cannot see is a copy between
memory and a device, for there is one device: the GPU tests have PyTorch's own `set_sync_debug_mode` for that.
"""

from __future__ import annotations

import traceback
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
LOOKS = {
    aten._local_scalar_dense.default,
    aten.is_nonzero.default,
    aten.item.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten.unique_dim.default,
    aten._unique2.default,
    aten.equal.default,
    aten.repeat_interleave.Tensor,
}
BY_MASK = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default}


class Waits(TorchDispatchMode):
    """While entered, `found` gathers the places of such calls. Numbers of no dimension that the host made itself are its own."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Called by PyTorch for each operation."""
        if function in LOOKS or (function in BY_MASK and _masked(args[1])):
            stack = traceback.extract_stack()[:-1]
            ours = [
                f"{frame.filename}:{frame.lineno}"
                for frame in stack
                if "/core/" in frame.filename or "/nodes/" in frame.filename
            ]
            self.found.append(f"{function} at {ours[-1] if ours else stack[-1]}")
        return function(*args, **(kwargs or {}))


def _masked(indices: Any) -> bool:
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices)
