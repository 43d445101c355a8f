"""What a node may ask of its surroundings by annotating a parameter: the engine injects it. No globals.

A node that draws random numbers takes an `Rng`, a zone that iterates a `Loop`, a node that writes files `Outputs`,
one that reports numbers `Metrics`; `Device`, `Dtype` and `Processes` say where it runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol

import torch
from torch import Tensor

from graph_runner.contract import Inject
from graph_runner.processes import Processes as Processes

Device = Annotated[torch.device, Inject("device")]
"""The device the run computes on."""
Dtype = Annotated[torch.dtype, Inject("dtype")]
"""The floating-point type the run computes in (parameters stay float32)."""
Workspace = Annotated[Path, Inject("workspace")]
"""The folder that holds the run's data; relative paths in a workflow start here."""


def derive(*key: object) -> int:
    """A 63-bit seed from a key of ints and strings: the same everywhere, whatever the order of execution."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


class Rng:
    """Random numbers of one call of one node, drawn on the CPU so that a seed means the same picture everywhere.

    Inside a training zone on several processes, tensors are drawn for the global batch and sliced by rank along the
    first axis, so that many processes see the noise that one would. What draws from `generator` draws alike on all.
    """

    __inject__: ClassVar[str] = "rng"

    def __init__(self, seed: int, device: torch.device | str = "cpu", rank: int = 0, world: int = 1) -> None:
        self.seed = seed
        self.device = torch.device(device)
        self.rank, self.world = rank, world
        self._generator: torch.Generator | None = None

    @property
    def generator(self) -> torch.Generator:
        """A CPU generator seeded for this call (made on first use)."""
        if self._generator is None:
            self._generator = torch.Generator().manual_seed(self.seed)
        return self._generator

    def randn(self, *shape: int) -> Tensor:
        """Standard normal numbers of `shape`, on the run's device."""
        return self._draw(torch.randn, shape)

    def randn_like(self, like: Tensor) -> Tensor:
        """Standard normal numbers of the shape, device and dtype of `like`."""
        return self._draw(torch.randn, tuple(like.shape)).to(like.device, like.dtype)

    def rand(self, *shape: int) -> Tensor:
        """Numbers uniform in [0, 1) of `shape`, on the run's device."""
        return self._draw(torch.rand, shape)

    def randint(self, high: int, *shape: int) -> Tensor:
        """Integers uniform in [0, high) of `shape` (int64), on the run's device."""
        return self._draw(lambda whole, generator: torch.randint(high, whole, generator=generator), shape)

    def _draw(self, draw: Callable[..., Tensor], shape: tuple[int, ...]) -> Tensor:
        if self.world == 1 or not shape:
            return draw(shape, generator=self.generator).to(self.device)
        whole = draw((shape[0] * self.world, *shape[1:]), generator=self.generator)
        return whole[self.rank * shape[0] : (self.rank + 1) * shape[0]].to(self.device)


class Stateful(Protocol):
    """What a loop can write to a checkpoint and restore: nested dicts and lists of tensors and JSON values."""

    def state_dict(self) -> dict[str, Any]:
        """All that the turns to come depend on."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to where `state_dict` was taken."""
        ...


class Loop(Protocol):
    """The turns of a zone. Here, and only here, the engine counts turns and micro-batches, reports progress, cancels,
    writes and restores checkpoints and runs the `every` bodies of the zone.

        for turn in loop(steps, state=trainer):
            for micro in loop.micro(accumulate):
                ...
    """

    __inject__: ClassVar[str] = "loop"

    def __call__(
        self,
        n: int,
        state: Stateful | None = None,
        aside: Callable[[], AbstractContextManager[Any]] | None = None,
    ) -> Iterator[int]:
        """The turns still to do, of n: 0 … n-1, or from where the checkpoint of `state` stands.

        aside: a context around `every` bodies (a trainer puts its models in eval mode there).
        """
        ...

    def micro(self, n: int) -> Iterator[int]:
        """The micro-batches of the current turn."""
        ...


class Outputs(Protocol):
    """Writes the files that a node shows, into the run's folder, atomically, and tells the event stream."""

    __inject__: ClassVar[str] = "outputs"

    workflow: str
    """The workflow file's text, for files that carry it."""

    def file(self, name: str, write: Callable[[Path], None], *, media: str, preview: bool = False) -> Path:
        """Write one file with `write(path)`. `name` may hold folders; a number is put before its suffix where the name
        is taken. Returns the path."""
        ...


class Metrics(Protocol):
    """Reports numbers, at the current turn of the loop around the node."""

    __inject__: ClassVar[str] = "metrics"

    def __call__(self, **values: float | Tensor) -> None:
        """Report numbers by name."""
        ...


class Progress(Protocol):
    """Reports how far a long node is that is not a loop: `progress(done, total)`."""

    __inject__: ClassVar[str] = "progress"

    def __call__(self, done: int, total: int) -> None:
        """Report that `done` of `total` is done."""
        ...
