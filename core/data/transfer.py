"""Batches on their way to a device, so that it never waits for them: copied from pinned memory, on a stream of their own.

A copy from ordinary memory stops the host until it is done, and with it all that it would have asked of the device meanwhile.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable

import torch
from torch import Tensor

from core.data.batch import Batch


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of any shape on a device. The host does not wait for a GPU to have it."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return (tensor if tensor.is_pinned() else tensor.pin_memory()).to(device, non_blocking=True)


def on_device(batches: Iterable[Batch], device: torch.device) -> Generator[Batch, None, None]:
    """The same batches with their tensors on a device, one after the other as they are asked for.

    For a GPU, a batch is copied beside what is being computed: while the device is at one step, the host prepares the next step's batch and
    sends it. Closing this closes `batches`, where they are a generator.
    """
    copying = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
    try:
        for batch in batches:
            yield _sent(batch, device) if copying is None else _beside(batch, device, copying)
    finally:
        if isinstance(batches, Generator):
            batches.close()


def _sent(batch: Batch, device: torch.device) -> Batch:
    return {name: to_device(value, device) if isinstance(value, Tensor) else value for name, value in batch.items()}


def _beside(batch: Batch, device: torch.device, copying: torch.cuda.Stream) -> Batch:
    with torch.cuda.stream(copying):
        sent = _sent(batch, device)
    computing = torch.cuda.current_stream(device)
    computing.wait_stream(copying)  # the device does; the host goes on
    for value in sent.values():
        if isinstance(value, Tensor):
            value.record_stream(computing)  # its memory is not given away before the step has read it
    return sent
