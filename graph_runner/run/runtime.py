"""A run while it runs: where it computes, how its steps are done, whom it tells."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from graph_runner.base import events
from graph_runner.base.contents import Contents
from graph_runner.base.home import home_of
from graph_runner.base.names import refuse_twin, safe_name
from graph_runner.bind.paths import Paths
from graph_runner.contract.context import Models, Processes
from graph_runner.run.device_memory import DeviceMemory
from graph_runner.run.failures import Stopped
from graph_runner.run.interpreter import Interpreter
from graph_runner.run.observer import Observer
from graph_runner.run.outputs import OutputFolder
from graph_runner.run.residence import Residence, Use
from graph_runner.run.threads import Threads

if TYPE_CHECKING:
    from graph_runner.run.elsewhere import Elsewhere
    from graph_runner.run.injectables import Injectable

MEGABYTE = 10**6


@dataclass(eq=False)
class Runtime:
    """One run's surroundings.

    interpreter: does its steps. injectables: by kind, what makes that which nodes are handed. dry: nothing is computed.
    search: goes through a run once more, only to look at its values. residence: the owner of the device's memory; there is none
    where the host computes. memory: the device's. forget: drops the values that the cache holds in memory, and says their bytes.
    elsewhere: who does iterations that may be done anywhere.
    """

    workspace: Path
    folder: Path
    seed: int
    device: torch.device
    dtype: torch.dtype
    emit: events.Stream
    processes: Processes
    workflow: str
    checkpoint_seconds: float
    fresh: bool = False
    observer: Observer | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    shown: list[events.Shown] = field(default_factory=list)
    search: bool = False
    dry: bool = False
    paths: Paths = field(kw_only=True)
    interpreter: Interpreter = field(kw_only=True)
    injectables: Mapping[str, Injectable] = field(kw_only=True)
    residence: Residence | None = None
    memory: DeviceMemory = field(default_factory=lambda: DeviceMemory(torch.device("cpu")))
    forget: Callable[[], int] = lambda: 0
    contents: Contents = field(default_factory=Contents)
    models: Models = field(default_factory=Models)
    elsewhere: Elsewhere | None = None
    threads: Threads = field(default_factory=Threads.as_they_are)
    _told: set[tuple[str, Path]] = field(default_factory=set)
    _saved: set[str] = field(default_factory=set)
    _unkept: dict[Path, None] = field(default_factory=dict)

    def searching(self, interpreter: Interpreter) -> Runtime:
        """The same run gone through once more to look at its values: nothing is saved or shown, and only how far it is told."""

        def tell(event: events.Event) -> None:
            if isinstance(event, events.Progress | events.Log):
                self.emit(event)

        return replace(
            self,
            emit=events.Stream([tell]),
            shown=list(self.shown),
            observer=None,
            search=True,
            elsewhere=None,
            interpreter=interpreter,
        )

    def place(self, value: Any, use: Use = "call") -> Any:
        """A value on the run's device, for the call that goes on (see `graph_runner.run.residence`)."""
        return value if self.residence is None else self.residence.place(value, use)

    def make_room(self) -> int:
        """Let go of all that nobody needs at this moment: models on the device, cached values. Returns the bytes."""
        freed = self.forget()
        gc.collect()
        return freed + (0 if self.residence is None else self.residence.make_room())

    def stopping(self, together: bool = True) -> bool:
        """Whether to stop now. Several processes stop together, where all of them come to ask, and nowhere else."""
        if self.processes.world == 1:
            return self.stop.is_set()
        return together and self.processes.any(self.stop.is_set())

    def tell_reading(self, node: str, path: Path, done: int, total: int) -> None:
        """Files are read for a node's key, which takes long: `done` of `total` bytes. Raises Stopped where that is asked."""
        if self.stopping(together=False):
            raise Stopped
        if (node, path) not in self._told:
            self._told.add((node, path))
            size = f"{total / 1e6:,.0f} MB"
            self.emit(events.Log(f"reads {path} ({size} new or changed) to know whether its result is known", node))
        self.emit(events.Progress(node, done // MEGABYTE, -(-total // MEGABYTE)))

    def saving(self, node: str, name: str) -> Path:
        """Where a node saves under a name (see `graph_runner.context.Saving`)."""
        target = self.workspace / safe_name(name)
        home_of(self.workspace).bring(target)
        refuse_twin(self.workspace, name)
        if name not in self._saved and target.exists():
            since = datetime.fromtimestamp(target.stat().st_mtime)
            self.emit(events.Log(f"replaces {name}, which was saved on {since:%Y-%m-%d at %H:%M:%S}", node, "warning"))
        self._saved.add(name)
        self._unkept[self.workspace.joinpath(*Path(name).parts[:2])] = None
        return target

    def keep_saved(self) -> None:
        """What a node was about to save is saved: it is kept at home too, a model's folder as a whole."""
        for whole in self._unkept:
            home_of(self.workspace).keep(whole)
        self._unkept.clear()

    def show(self, shown: events.Shown) -> None:
        """A file was written for people to see."""
        self.shown.append(shown)
        self.emit(shown)

    def show_again(self, shown: events.Shown) -> None:
        """A file that an earlier run showed: this run's folder gets a copy. One that is gone is passed over."""
        if self.search:
            return
        source = self.workspace / shown.path
        if self.processes.rank > 0:
            return
        if not source.exists():
            home_of(self.workspace).bring(source)
        if not source.exists():
            return
        if source.is_relative_to(self.folder):
            self.show(shown)
            return

        def tell(path: Path, media: str, preview: bool) -> None:
            relative = path.relative_to(self.workspace).as_posix()
            self.show(replace(shown, path=relative, media=media, preview=preview))

        name = shown.path.partition("/outputs/")[2]
        outputs = OutputFolder(self.folder, self.workspace, self.workflow, tell, "")
        outputs.again(name, source, media=shown.media, preview=shown.preview)
