"""The processes that `torchrun` started, joined into one run, and what they do together."""

from __future__ import annotations

import gc
import importlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any, ClassVar, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.rendezvous import rendezvous

PATIENCE = timedelta(days=30)
"""How long a process waits for the others: as long as one of them lives. One that is gone is noticed at once."""


class LostError(ConnectionError):
    """Another process is gone, or did something else meanwhile; why, it has told itself if it could."""


class Failure(NamedTuple):
    """What a process could not do: its number, the node, and a sentence."""

    rank: int
    node: str
    message: str


class Processes:
    """The processes that run this graph together (`torchrun`); one process alone is rank 0 of a world of 1.

    Much synchronises by itself as soon as PyTorch has a default process group: torchmetrics, batch norms. So there is one
    only where all processes do the same at the same time (`together`), and none where one works for itself (`apart`).

    shard: whether models that train are split among them.
    """

    __inject__: ClassVar[str] = "processes"

    def __init__(
        self,
        rank: int = 0,
        world: int = 1,
        group: dist.ProcessGroup | None = None,
        store: Any = None,
    ) -> None:
        self.rank, self.world, self.shard = rank, world, False
        self._group, self._store = group, store
        self._mesh: DeviceMesh | None = None

    @property
    def here(self) -> int:
        """How many of them are on this machine."""
        return min(self.world, int(os.environ.get("LOCAL_WORLD_SIZE", self.world)))

    def together(self) -> AbstractContextManager[None]:
        """While inside, PyTorch knows this group: all processes must enter, and do the same there."""
        return nullcontext() if self.world == 1 else _default_group(self._group)

    def apart(self) -> AbstractContextManager[None]:
        """While inside, PyTorch knows no group, and nothing can wait for another process."""
        return nullcontext() if self.world == 1 else _default_group(None)

    @contextmanager
    def _meeting(self) -> Iterator[None]:
        try:
            with self.together():
                yield
        except RuntimeError as error:  # gloo's and NCCL's own
            raise LostError(
                "the processes of this run lost each other: another is gone (killed, for want of memory?), or did something"
                " else meanwhile. The same command goes on from the last checkpoint"
            ) from error

    def mean(self, tensors: list[Tensor]) -> list[Tensor]:
        """The mean over processes of each tensor (one flat collective for each dtype); the same objects when alone."""
        if self.world == 1 or not tensors:
            return tensors
        means: list[Tensor] = list(tensors)
        for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
            chosen = [i for i, tensor in enumerate(tensors) if tensor.dtype == dtype]
            for i, mean in zip(chosen, self.begin_mean([tensors[i] for i in chosen])(), strict=True):
                means[i] = mean
        return means

    def begin_mean(self, tensors: list[Tensor]) -> Callable[[], list[Tensor]]:
        """Begin to average tensors of one dtype over processes; what it gives waits for the means. Meanwhile this process may
        compute on, and begin more: all processes in the same order."""
        if self.world == 1:
            return lambda: tensors
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with self._meeting():
            work = dist.all_reduce(flat, async_op=True)

        def means() -> list[Tensor]:
            with self._meeting():
                work.wait()
            flat.div_(self.world)
            pieces = torch.split(flat, [tensor.numel() for tensor in tensors])
            return [piece.view_as(tensor) for piece, tensor in zip(pieces, tensors, strict=True)]

        return means

    def split_models(self, shard: bool) -> None:
        """Whether models that train are split among these processes from now on. Raises ValueError where there is one alone."""
        if shard and self.world == 1:
            raise ValueError(
                "to shard is to split a model among several processes, and this is one; start several (torchrun"
                " --nproc-per-node 2 -m graph_runner …), or leave it out"
            )
        self.shard = shard

    def mesh(self, device: torch.device) -> DeviceMesh | None:
        """The processes as a mesh of one dimension, to split models over; None where models are not to be split."""
        if self.world == 1 or not self.shard or self._group is None:
            return None
        if self._mesh is None:
            with self.together():
                self._mesh = DeviceMesh.from_group(self._group, device.type)
        return self._mesh

    def gather(self, value: Any) -> list[Any]:
        """Every process' value, in the order of ranks; on rank 0 alone, the others get nothing. All must ask.

        value: plain data and tensors on the CPU.
        """
        if self.world == 1:
            return [value]
        box: list[Any] | None = [None] * self.world if self.rank == 0 else None
        with self._meeting():
            dist.gather_object(value, box)
        return box or []

    def any(self, flag: bool) -> bool:
        """Whether at least one process says so; all must ask."""
        if self.world == 1:
            return flag
        said = torch.tensor(int(flag))
        with self._meeting():
            dist.all_reduce(said, dist.ReduceOp.MAX)
        return bool(said)

    def agree(self, value: Any) -> Any:
        """Rank 0's value, on every process."""
        if self.world == 1:
            return value
        box = [value]
        with self._meeting():
            dist.broadcast_object_list(box)
        return box[0]

    def leave(self) -> None:
        """End this process' part, and gloo's threads with it; nothing can be asked of the others any more.

        PyTorch ends the threads with the last reference to the group. One that still lives when Python ends may want the
        interpreter's lock for a tensor that it lets go, and then the whole process aborts.
        """
        dist.destroy_process_group()
        if self._mesh is not None:  # PyTorch's caches keep it, and it the group
            vars(self._mesh).get("_pg_registry", {}).clear()
        self._group = self._store = self._mesh = None
        gc.collect()  # models that were split hold the group in circles

    def failed_before(self, node: str, message: str) -> Failure | None:
        """Tell the others that this process fails, and why. Returns what another one told before, which is then the cause
        (who waits for a process that is gone fails too), or None."""
        if self._store is None:
            return None
        own = Failure(self.rank, node, message)
        try:
            first = Failure(*json.loads(self._store.compare_set("latent-loom/failure", "", json.dumps(own))))
        except RuntimeError:  # the store is gone with the process that kept it
            return None
        return None if first == own else first


@contextmanager
def _default_group(group: dist.ProcessGroup | None) -> Iterator[None]:
    before = dist.group.WORLD
    dist.group.WORLD = group
    try:
        yield
    finally:
        dist.group.WORLD = before


@contextmanager
def joined(device: str) -> Iterator[tuple[Processes, str]]:
    """This run's processes, and the device of this one among them; alone, a world of one and the device as given.

    torchrun says in the environment who takes part (WORLD_SIZE, RANK, LOCAL_RANK). Tensors on the CPU travel by gloo,
    those on GPUs by NCCL. Each process takes the GPU of its local rank.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Processes(), device
        return
    if device in ("auto", "cuda") and torch.cuda.is_available():
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    # Its functions have the group as a default, which they would keep for ever if they were first imported once there is one.
    importlib.import_module("torch.distributed.nn.functional")
    store, rank, world = next(iter(rendezvous("env://")))
    backend = "cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=PATIENCE)
    processes = Processes(rank, world, dist.group.WORLD, store)
    with processes.apart():
        yield processes, device
        # The first has files to write, and whoever started the processes soon ends those that outlive another one.
        processes.agree(None)
    # Not after an exception: the others may be waiting in a collective, and torchrun ends them.
    processes.leave()
