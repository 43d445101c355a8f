"""The processes that `torchrun` started, joined into one run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

from graph_runner.context import Processes


@contextmanager
def joined(device: str) -> Iterator[tuple[Processes, str]]:
    """This run's processes, and the device of this one among them; alone, a world of one and the device as given.

    torchrun says in the environment who takes part (WORLD_SIZE, RANK, LOCAL_RANK). Tensors on the CPU travel by gloo,
    those on GPUs by NCCL. Each process takes the GPU of its local rank.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Processes(), device
        return
    if device in ("auto", "cuda") and torch.cuda.is_available():
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo")
    yield Processes(dist.get_rank(), world), device
    # Not after an exception: the others may be waiting in a collective, and torchrun ends them.
    dist.destroy_process_group()
