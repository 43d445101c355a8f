"""Notices whatever makes the host wait for a device: looking at a number, counting what a mask holds, copying to the host.

On a CPU nobody waits, but the same operations are called there, so that a test on the CPU finds them. What it cannot see is a copy between
memory and a device, for there is one device: the GPU tests have PyTorch's own `set_sync_debug_mode` for that.
"""

from __future__ import annotations

import traceback
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
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


TO_THE_HOST = {torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.cpu, torch.Tensor.__array__}


class Waits(TorchDispatchMode):
    """While entered, `found` gathers the places of such calls."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._copies = _Copies(self.found)

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Called by PyTorch for each operation."""
        if function in LOOKS or (function in BY_MASK and _masked(args[1])):
            self.found.append(f"{function} at {_place()}")
        return function(*args, **(kwargs or {}))

    def __enter__(self) -> Waits:
        self._copies.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._copies.__exit__(*error)


class _Copies(TorchFunctionMode):
    """Notices methods that read a tensor's memory without any operation."""

    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in TO_THE_HOST:
            self.found.append(f"{function} at {_place()}")
        return function(*args, **(kwargs or {}))


def _place() -> str:
    stack = traceback.extract_stack()[:-2]
    ours = [
        f"{frame.filename}:{frame.lineno}"
        for frame in stack
        if "/core/" in frame.filename or "/nodes/" in frame.filename
    ]
    return ours[-1] if ours else str(stack[-1])


def _masked(indices: Any) -> bool:
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices)
