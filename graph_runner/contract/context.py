"""What a node may ask of its surroundings by annotating a parameter: the engine injects it. No globals.

A node that draws random numbers takes an `Rng`, a zone that iterates a `Loop`, a node that writes files `Outputs`,
one that reports numbers `Metrics`, one that has something to say `Tell`; `Device`, `Dtype` and `Processes` say where it runs.
A package of nodes adds kinds of its own with `@injectable`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol, TypeVar

import torch
from torch import Tensor

from graph_runner.contract import random_rows
from graph_runner.contract.markers import Inject
from graph_runner.contract.models import Models as Models
from graph_runner.contract.processes import Processes as Processes

Device = Annotated[torch.device, Inject("device")]
"""The device the run computes on."""
Dtype = Annotated[torch.dtype, Inject("dtype")]
"""The floating-point type the run computes in (parameters stay float32)."""
Workspace = Annotated[Path, Inject("workspace")]
"""The folder that holds the run's data; relative paths in a workflow start here."""
ValueFolder = Annotated[Path, Inject("value_folder")]
"""A folder for a value that consists of files, because it is larger than memory: it lies in the cache, and the value's codec
hands it on as a `Path`. It belongs to this call with these very inputs: what a killed call left there is there when it is made
again, and processes that make the same call share it. It may be missing, and is not made in a dry run."""


BUILT_IN = frozenset(
    (
        "device",
        "dtype",
        "loop",
        "metrics",
        "models",
        "outputs",
        "processes",
        "progress",
        "rng",
        "saving",
        "tell",
        "trained",
        "turn",
        "value_folder",
        "watch",
        "workspace",
    )
)
"""The kinds that the engine makes by itself."""


class Call(Protocol):
    """The call of a node for which something is made: what an injectable may know of it.

    node: the node's id. turns: the steps of the loops around, the outermost first, counted from 0. folder: the run's,
    for files that people find there. dry: whether the run is only gone through on tensors without contents; nothing may be
    written then.
    """

    @property
    def node(self) -> str: ...  # noqa: D102 - said above, and so are all
    @property
    def turns(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def device(self) -> torch.device: ...  # noqa: D102
    @property
    def dtype(self) -> torch.dtype: ...  # noqa: D102
    @property
    def workspace(self) -> Path: ...  # noqa: D102
    @property
    def folder(self) -> Path: ...  # noqa: D102
    @property
    def dry(self) -> bool: ...  # noqa: D102


F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R")


def injectable(kind: str) -> Callable[[F], F]:
    """Mark a function of a `Call` as what makes the values of this kind, for every call of a node that asks for one.

    Nodes ask by a class with `__inject__ = kind`, or by `Annotated[..., Inject(kind)]`. The function is found where nodes
    are: in the modules of a node package. What it makes is no part of a node's key, so results must not depend on it.
    """

    def attach(make: F) -> F:
        make.__injectable__ = kind  # type: ignore[attr-defined]
        return make

    return attach


def derive(*key: object) -> int:
    """A 63-bit seed from a key of ints and strings: the same everywhere, whatever the order of execution."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


class Rng:
    """Random numbers of one call of one node, drawn where they are needed.

    The first axis of what is drawn is the batch. Each row has numbers of its own, keyed by the call's seed, by how often was
    asked before, and by the row's number in the global batch: row n of a batch is the same alone, in any other batch, and
    on however many processes share it.

    part: the rows drawn here are this one of the equal parts of the global batch (its processes' and micro-batches').
    first_row: what is drawn are rows of a larger batch, from this one on.
    """

    __inject__: ClassVar[str] = "rng"

    def __init__(self, seed: int, device: torch.device | str = "cpu", part: int = 0, first_row: int = 0) -> None:
        self.seed = seed
        self.device = torch.device(device)
        self.part, self.first_row = part, first_row
        self._asked = 0

    def from_row(self, first_row: int) -> Rng:
        """The same numbers, for a batch whose first row is row `first_row` of a larger one: how a row is drawn alone."""
        return Rng(self.seed, self.device, self.part, self.first_row + first_row)

    def after(self, asked: int) -> Rng:
        """The same numbers without those that are drawn the first `asked` times: what an earlier part of a work has drawn."""
        later = Rng(self.seed, self.device, self.part, self.first_row)
        later._asked = self._asked + asked
        return later

    def on(self, device: torch.device | str) -> Rng:
        """The same numbers, drawn on another device: on the CPU for what is decided there, so that it waits for no other."""
        return Rng(self.seed, device, self.part, self.first_row)

    def randn(self, *shape: int) -> Tensor:
        """Standard normal numbers of `shape`, float32, on the run's device."""
        return self._normal(shape, self.device)

    def randn_like(self, like: Tensor) -> Tensor:
        """Standard normal numbers of the shape, device and dtype of `like`."""
        return self._normal(tuple(like.shape), like.device).to(like.dtype)

    def rand(self, *shape: int) -> Tensor:
        """Numbers uniform in [0, 1) of `shape`, float32, on the run's device."""
        return random_rows.uniform(self._words(shape)).view(shape)

    def randint(self, high: int, *shape: int) -> Tensor:
        """Integers uniform in [0, high) of `shape` (int64), on the run's device. Raises ValueError for a high below 1."""
        if high < 1:
            raise ValueError(f"there is no whole number from 0 up to and without {high}; give at least 1")
        return random_rows.whole(self._words(shape), high).view(shape)

    def bits(self, *shape: int) -> Tensor:
        """64 random bits each, of `shape` (int64), on the run's device: to key other generators by, row by row."""
        return self._words(shape).view(shape)

    def _normal(self, shape: tuple[int, ...], device: torch.device) -> Tensor:
        count = math.prod(shape[1:])
        return random_rows.normal(self._words(shape, (count + 1) // 2, device))[:, :count].reshape(shape)

    def _words(self, shape: tuple[int, ...], count: int | None = None, device: torch.device | None = None) -> Tensor:
        """As many words for each row of `shape` as it has numbers, or `count`; a single number is row 0."""
        here = shape[0] if shape else 1
        first = self.first_row + self.part * here
        stream = derive(self.seed, self._asked)
        self._asked += 1
        count = math.prod(shape[1:]) if count is None else count
        return random_rows.words(stream, range(first, first + here), count, device or self.device)


class Stateful(Protocol):
    """What a loop can write to a checkpoint and restore: nested dicts and lists of tensors and JSON values.

    Where several processes each hold a part of it, it has an attribute `mesh`, which they are; all of them write and restore it.
    """

    def state_dict(self) -> dict[str, Any]:
        """All that the steps to come depend on."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to where `state_dict` was taken."""
        ...


class Judge(Protocol):
    """Hears what callbacks measure of a loop (`Watch`), and says when it is over."""

    @property
    def over(self) -> bool:
        """Whether no step follows."""
        ...

    def measured(self, told: Any) -> None:
        """What a callback has told after a step."""
        ...

    def anew(self) -> None:
        """Forget all that was measured: another training goes on from here."""
        ...


class Loop(Protocol):
    """The steps of a zone. Here, and only here, the engine counts steps and micro-batches, reports progress, cancels,
    writes and restores checkpoints and runs the `every` bodies of the zone.

        for step in loop(steps, state=trainer):
            for micro in loop.micro(accumulate):
                ...
    """

    __inject__: ClassVar[str] = "loop"

    def __call__(
        self,
        n: int,
        state: Stateful | None = None,
        aside: Callable[[], AbstractContextManager[Any]] | None = None,
        seen: Callable[[Any], Any] | None = None,
        origin: str = "",
        judge: Judge | None = None,
    ) -> Iterator[int]:
        """The steps still to do, of n: 0 … n-1, or from where the checkpoint of `state` stands.

        aside: a context around `every` bodies (a trainer puts its models in eval mode there). seen: as what a value of the
        body is seen there, and by nodes that save or show (whole models in place of those that processes split); all processes ask.
        origin: a checkpoint of another training to begin at, where this one has none yet. judge: hears what callbacks measure, and may
        end the loop; what it knows is for `state` to keep.
        """
        ...

    def micro(self, n: int) -> Iterator[int]:
        """The micro-batches of the current step."""
        ...

    def end(self) -> None:
        """The current step is the last one, however many were asked for."""
        ...

    def map(self, body: Callable[..., R], given: Sequence[tuple[Any, ...]]) -> Iterator[R]:
        """What the zone's body gives for each of these arguments, in order, as steps 0, 1, … of this loop.

        For zones that are `independent`: the steps may be done elsewhere, and several at once.
        """
        ...


@dataclass(frozen=True)
class Turn:
    """The step that the innermost loop around a node has reached: its number, counted from 0, of how many."""

    __inject__: ClassVar[str] = "turn"
    number: int
    of: int

    @property
    def share(self) -> float:
        """The part of the steps that is done when this one is."""
        return (self.number + 1) / max(self.of, 1)


class Outputs(Protocol):
    """Writes the files that a node shows, into the run's folder, atomically, and tells the event stream."""

    __inject__: ClassVar[str] = "outputs"

    workflow: str
    """The workflow file's text, for files that carry it."""

    def file(self, name: str, write: Callable[[Path], None], *, media: str, preview: bool = False) -> Path:
        """Write one file with `write(path)`. `name` may hold folders; a number is put before its suffix where the name
        is taken. Returns the path."""
        ...


class Saving(Protocol):
    """Where a node saves what outlives the run: below the workspace, under a name that the user gives.

    A node that takes it says by `@node(saves=...)` what it will save.
    """

    __inject__: ClassVar[str] = "saving"

    def __call__(self, name: str) -> Path:
        """The path to write to, for a name such as "models/shapes/unet.safetensors"; what it replaces is told.

        Raises ValueError for a name that is not safe on every system (see `graph_runner.base.names`).
        """
        ...


class Metrics(Protocol):
    """Reports numbers, at the current step of the loop around the node."""

    __inject__: ClassVar[str] = "metrics"

    def __call__(self, **values: float | Tensor) -> None:
        """Report numbers by name."""
        ...


class Watch(Protocol):
    """Tells the loop around a callback what it has measured: the loop's zone may end by it, or give something else.

    A callback that takes it decides what its zone computes, and is a part of that zone's key. It runs after every so many steps, and not
    besides after the last, so that a zone that is given more steps goes on as if it had had them from the beginning.
    """

    __inject__: ClassVar[str] = "watch"

    def __call__(self, told: Any) -> None:
        """Tell it."""
        ...


class Tell(Protocol):
    """Says what a node noticed and the user should know, in a sentence: shown on the node, and by `check` beforehand."""

    __inject__: ClassVar[str] = "tell"

    def __call__(self, sentence: str, level: Literal["info", "warning"] = "warning") -> None:
        """Say it."""
        ...


class TrainedState(Protocol):
    """Reads what a training had reached, from a `RunOrCheckpoint`: what its zone's `state_dict` gave, tensors on the host."""

    __inject__: ClassVar[str] = "trained"

    def __call__(self, path: str) -> dict[str, Any]:
        """The state; of a run of several trainings, that of the zone with this node's id. Empty in a dry run.

        Raises ValueError where it is not clear which is meant, and StoreError for a damaged checkpoint.
        """
        ...


class Progress(Protocol):
    """Reports how far a long node is that is not a loop: `progress(done, total)`."""

    __inject__: ClassVar[str] = "progress"

    def __call__(self, done: int, total: int) -> None:
        """Report that `done` of `total` is done."""
        ...
