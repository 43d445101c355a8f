"""What stands in for the engine in an exported script, which gets a copy of what it uses of this.

It does what the engine does where results depend on it: random numbers are keyed alike, calls joined alike, models at rest. There are
no checkpoints, no cache, one process and one device.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from graph_runner.contract.context import Rng, Turn, derive
from graph_runner.run.join import Joiner

R = TypeVar("R")

SEED = 0
DEVICE = torch.device("cpu")
WORKSPACE = Path("workspace")
FOLDER = Path("outputs")
MODELS: dict[str, type] = {}
"""Classes of models that files may name."""


class Place:
    """Where a call stands: the steps of the loops around, which key its random numbers.

    turns: the steps. path: the steps and micro-batches. part: which part of a step's batch the rows are. steps: how many the
    innermost loop has.
    """

    def __init__(self) -> None:
        self.path: tuple[int, ...] = ()
        self.turns: tuple[int, ...] = ()
        self.part = 0
        self.steps = 1


TOP = Place()


class Loop(Place):
    """Counts the steps of a zone."""

    def __init__(self, around: Place) -> None:
        super().__init__()
        self.path, self.turns, self.part, self.steps = around.path, around.turns, around.part, around.steps
        self._around, self._ended = around, False

    def __call__(
        self,
        n: int,
        state: Any = None,  # noqa: ARG002 - this and the rest are for checkpoints and callbacks, which a script has not
        aside: Any = None,  # noqa: ARG002
        seen: Any = None,  # noqa: ARG002
        origin: str = "",
        judge: Any = None,  # noqa: ARG002
    ) -> Iterator[int]:
        """The steps 0 … n-1, or up to where the zone ends them. Raises ValueError where they begin at a checkpoint."""
        if origin:
            raise ValueError(f"a script has no checkpoints and cannot go on from {origin}; run the workflow")
        self.steps, self._ended = n, False
        for step in range(n):
            if self._ended:
                break
            self.path, self.turns = (*self._around.path, step), (*self._around.turns, step)
            yield step
        self.path, self.turns = self._around.path, self._around.turns

    def micro(self, n: int) -> Iterator[int]:
        """The micro-batches of a step."""
        step = self.path
        for micro in range(n):
            self.path, self.part = (*step, micro), self._around.part * n + micro
            yield micro
        self.path, self.part = step, self._around.part

    def end(self) -> None:
        """The current step is the last one."""
        self._ended = True

    def map(self, body: Callable[..., R], given: Sequence[tuple[Any, ...]]) -> Iterator[R]:
        """What a body gives for each of these arguments."""
        for step in self(len(given)):
            yield body(*given[step])


def seeded(use: str, seed: int, around: Place) -> None:
    """Seed torch's generators, which initialisation and dropout draw from, for one call of a node."""
    torch.manual_seed(derive(SEED, use, seed, around.path))


def drawing(use: str, seed: int, around: Place) -> Rng:
    """The random numbers of one call of a node, keyed by the run's seed, what they are for, the node's seed and the steps around."""
    seeded(use, seed, around)
    return Rng(derive(SEED, use, seed, around.turns), DEVICE, around.part)


def turn(around: Place) -> Turn:
    """The step that the innermost loop has reached."""
    return Turn(around.turns[-1] if around.turns else 0, around.steps)


def at_rest(value: Any, *handed: Any) -> Any:
    """A model as it lies on a wire: on the device, in eval mode, without gradients. One that was handed in stays as it is."""
    if isinstance(value, nn.Module) and not any(value is each for each in handed):
        value.to(DEVICE).eval().requires_grad_(False)
    return value


JOINER = Joiner()


def together(
    place: str,
    call: Callable[..., Tensor],
    names: Sequence[str],
    calls: Sequence[dict[str, Any]],
    needed: Sequence[bool] = (),
) -> list[Tensor | None]:
    """What several calls of one function give, made as one call along their rows where their values allow it.

    place: tells these calls from others. names: the arguments that differ. needed: which calls somebody needs; where that is not all,
    those are made one by one, and the others give None.
    """
    if not all(needed):
        return [call(**each) if asked else None for each, asked in zip(calls, needed, strict=True)]
    joined = JOINER.together(place, names, list(calls), lambda whole: call(**whole))
    return [call(**each) for each in calls] if joined is None else [*joined]


class Alone:
    """One process: what means and agreements with others come to then."""

    rank, world, here, shard = 0, 1, 1, False

    def mean(self, tensors: list[Tensor]) -> list[Tensor]:
        """The mean over the processes."""
        return tensors

    def gather(self, value: Any) -> list[Any]:
        """Every process' value."""
        return [value]

    def agree(self, value: Any) -> Any:
        """The first process' value."""
        return value

    def any(self, flag: bool) -> bool:
        """Whether a process says so."""
        return flag

    def mesh(self, _: torch.device) -> None:
        """Models are split among no others."""


class Outputs:
    """Writes the files that a node shows into a folder.

    workflow: what files carry of their workflow: nothing.
    """

    def __init__(self, around: Place) -> None:
        self.workflow = ""
        self._suffix = "".join(f"-{step + 1:06d}" for step in around.turns)

    def file(self, name: str, write: Callable[[Path], object], **_: Any) -> Path:
        """Write one file; a number is put before its suffix where the name is taken."""
        wanted, number = FOLDER / name, 1
        path = wanted.with_name(f"{wanted.stem}{self._suffix}{wanted.suffix}")
        while path.exists():
            number += 1
            path = wanted.with_name(f"{wanted.stem}{self._suffix}-{number}{wanted.suffix}")
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
        print(path)
        return path


def saving(name: str) -> Path:
    """Where a node saves under a name."""
    path = FOLDER / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def metrics(**values: float | Tensor) -> None:
    """Report numbers."""
    print(", ".join(f"{name} {float(value):.6g}" for name, value in values.items()))


def tell(sentence: str, level: str = "warning") -> None:
    """Say what a node noticed."""
    print(sentence if level == "info" else f"{level}: {sentence}", file=sys.stderr)


def progress(done: int, total: int) -> None:
    """How far a long node is: a script does not say."""


def trained(path: str) -> dict[str, Any]:
    """What a training had reached: a script reads no checkpoints. Raises ValueError."""
    raise ValueError(f"a script reads no checkpoints and cannot begin with {path}; run the workflow")
