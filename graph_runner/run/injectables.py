"""What can be handed in to a node, as a table: by kind, what makes it from the call's surroundings.

These are the engine's own; packages of nodes and hosts add theirs to the registry (`graph_runner.context.injectable`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from graph_runner.base import events
from graph_runner.base.trained import checkpoint_of
from graph_runner.contract.context import Models, Processes, Rng, Turn, derive
from graph_runner.run.loop import ZoneLoop
from graph_runner.run.outputs import OutputFolder
from graph_runner.store.cache import CACHE, entry_name
from graph_runner.store.folders import files_of, load_meta, load_tree

if TYPE_CHECKING:
    from graph_runner.run.activation import Activation


class NodeCall(NamedTuple):
    """A node that is about to be called (see `graph_runner.context.Call`): where, what its random numbers are for, and its key."""

    around: Activation
    node: str
    use: tuple[object, ...]
    key: str = ""

    @property
    def turns(self) -> tuple[int, ...]:
        """The steps of the loops around, the outermost first."""
        return self.around.turns

    @property
    def device(self) -> torch.device:
        """The run's."""
        return self.around.runtime.device

    @property
    def dtype(self) -> torch.dtype:
        """The run's."""
        return self.around.runtime.dtype

    @property
    def workspace(self) -> Path:
        """The run's."""
        return self.around.runtime.workspace

    @property
    def folder(self) -> Path:
        """The run's own."""
        return self.around.runtime.folder

    @property
    def dry(self) -> bool:
        """Whether nothing is computed."""
        return self.around.runtime.dry

    @property
    def turn(self) -> int | None:
        """The step of the innermost loop."""
        return self.turns[-1] if self.turns else None


Injectable = Callable[[NodeCall], Any]


def _rng(call: NodeCall) -> Rng:
    return Rng(derive(call.around.runtime.seed, *call.use, call.turns), call.device, call.around.part)


def _turn(call: NodeCall) -> Turn:
    return Turn(call.turn or 0, call.around.steps)


def _processes(call: NodeCall) -> Processes:
    return call.around.processes if call.around.sharded else Processes()


def _models(call: NodeCall) -> Models:
    return call.around.runtime.models


def _loop(call: NodeCall) -> ZoneLoop:
    return ZoneLoop(call.around)


def _outputs(call: NodeCall) -> OutputFolder:
    suffix = "".join(f"-{turn + 1:06d}" for turn in call.turns)
    return OutputFolder(call.folder, call.workspace, call.around.runtime.workflow, partial(_show, call), suffix)


def _show(call: NodeCall, path: Path, media: str, preview: bool) -> None:
    relative = path.relative_to(call.workspace).as_posix()
    call.around.runtime.show(events.Shown(call.node, relative, media, preview, call.turn))


def _saving(call: NodeCall) -> Callable[[str], Path]:
    return partial(call.around.runtime.saving, call.node)


def _value_folder(call: NodeCall) -> Path:
    return files_of(call.workspace / CACHE / entry_name(call.around.own_name(call.key)))


def _metrics(call: NodeCall) -> Callable[..., None]:
    def metrics(**values: float | Tensor) -> None:
        numbers = {k: float(v.detach() if isinstance(v, Tensor) else v) for k, v in values.items()}
        call.around.runtime.emit(events.Metric(call.node, numbers, call.turn))

    return metrics


def _tell(call: NodeCall) -> Callable[..., None]:
    def tell(sentence: str, level: str = "warning") -> None:
        call.around.runtime.emit(events.Log(sentence, call.node, level))

    return tell


def _watch(call: NodeCall) -> Callable[[Any], None]:
    loop = call.around.around  # the callback's own activation is around it
    assert loop is not None
    return loop.told.append


def _trained(call: NodeCall) -> Callable[[str], dict[str, Any]]:
    def trained(path: str) -> dict[str, Any]:
        if call.dry:
            return {}
        checkpoint = checkpoint_of(Path(path), call.node)
        run = load_meta(checkpoint).get("run", "another run")
        tree: dict[str, Any] = load_tree(checkpoint)
        told = f"begins with the models of {run} after {checkpoint.name.removeprefix('step-')} steps"
        call.around.runtime.emit(events.Log(told, call.node))
        return tree

    return trained


def _progress(call: NodeCall) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        call.around.runtime.emit(events.Progress(call.node, done, total, call.turns))

    return progress


INJECTABLES: Mapping[str, Injectable] = {
    "device": lambda call: call.device,
    "dtype": lambda call: call.dtype,
    "loop": _loop,
    "metrics": _metrics,
    "models": _models,
    "outputs": _outputs,
    "processes": _processes,
    "progress": _progress,
    "rng": _rng,
    "saving": _saving,
    "tell": _tell,
    "trained": _trained,
    "turn": _turn,
    "value_folder": _value_folder,
    "watch": _watch,
    "workspace": lambda call: call.workspace,
}
