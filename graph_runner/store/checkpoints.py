"""Checkpoints of a loop's state: one lineage (equal but for the number of steps), one folder, one sub-folder a step."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from torch.distributed.device_mesh import DeviceMesh

from graph_runner.base.disk import sentence
from graph_runner.base.events import Event, Log, Shown
from graph_runner.base.files import remove, sweep, write_atomically
from graph_runner.contract.context import Processes, Stateful
from graph_runner.store.folders import StoreError, load_meta, load_tree, save_tree, save_tree_together

LOCK = "lock"
PAUSE_SECONDS = 0.2
KEPT = 2
"""How many checkpoints on the way are kept; those at the end of a run always are."""


def mesh_of(state: Stateful) -> DeviceMesh | None:
    """The processes that each hold a part of a state; None where each holds all of it."""
    return getattr(state, "mesh", None)


class Checkpoints:
    """Saves and restores the state of one loop. What was shown up to a checkpoint is remembered with it."""

    def __init__(
        self,
        folder: Path,
        processes: Processes,
        *,
        node: str,
        run: Path,
        shown: list[Shown],
        show: Callable[[Shown], None],
        ignore: bool,
        log: Callable[[Event], None],
    ) -> None:
        self.folder, self.processes, self.node, self.run = folder, processes, node, run
        self.shown, self.show, self.ignore, self.log = shown, show, ignore, log
        self._shown_before = len(shown)

    @contextmanager
    def alone(self, stop: threading.Event) -> Iterator[None]:
        """Hold the lineage: two runs at once would write each other's checkpoints. So the second waits, until `stop` is
        set, and then goes on where the first ended.
        """
        if self.processes.rank > 0:
            yield
            return
        lock, told = FileLock(self.folder / LOCK), False
        while not stop.is_set():
            try:
                self.folder.mkdir(parents=True, exist_ok=True)  # `clean` may have forgotten it while this one waited
                lock.acquire(timeout=PAUSE_SECONDS if told else 0)
                break
            except Timeout:
                if not told:
                    self.log(Log("waits for another run that trains the same, to go on from its checkpoint", self.node))
                told = True
            except (NotImplementedError, OSError) as error:  # some clusters' file systems know no locks
                self.log(Log(f"no lock for {self.folder} ({error}): train it once at a time", self.node, "warning"))
                break
        try:
            yield
        finally:
            lock.release()

    def restore(self, state: Stateful, n: int) -> int:
        """Load the newest readable checkpoint of at most n steps into `state`; returns the steps it had done."""
        found, tree, shown = 0, dict[str, Any](), list[Shown]()
        if self.processes.rank == 0:
            self._note_in_run()
            sweep(self.folder)
            found, tree, shown = self._newest(0 if self.ignore else n, mesh_of(state))
        found = self.processes.agree(found)
        if found:
            mesh = mesh_of(state)
            state.load_state_dict(tree if self.processes.rank == 0 else load_tree(self._at(found), mesh))
            for each in shown:
                self.show(each)
            self.log(Log(f"goes on from step {found} of an earlier run", self.node))
        return int(found)

    def save(self, step: int, state: Stateful, final: bool = False) -> None:
        """Write the state after `step` steps, and remove checkpoints on the way that are no longer needed.

        Where the disk refuses, that is told and the training goes on: the checkpoint before stays.
        """
        together = mesh_of(state) is not None
        if self.processes.rank > 0 and not together:
            return
        shown = [asdict(shown) for shown in self.shown[self._shown_before :]]
        try:
            meta = {"shown": shown, "final": final}
            if together:
                save_tree_together(self._at(step), state.state_dict(), meta, self.processes)
            else:
                save_tree(self._at(step), state.state_dict(), meta)
        except OSError as error:
            self.log(Log(f"has no checkpoint of step {step}: {sentence(error)}", self.node, "warning"))
            return
        if self.processes.rank > 0:
            return
        passing = [s for s in self.steps() if s <= step and self._passing(s)]
        for old in passing[:-KEPT]:
            with suppress(OSError):  # the next one tries again
                remove(self._at(old))

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, ascending."""
        names = (re.fullmatch(r"step-(\d+)", path.name) for path in self.folder.glob("step-*"))
        return sorted(int(name[1]) for name in names if name)

    def _newest(self, n: int, mesh: DeviceMesh | None) -> tuple[int, dict[str, Any], list[Shown]]:
        """The newest checkpoint of at most n steps that can be read, 0 where there is none; what cannot is told."""
        for step in reversed([step for step in self.steps() if step <= n]):
            try:
                shown = [Shown(**fields) for fields in load_meta(self._at(step)).get("shown", [])]
                return step, load_tree(self._at(step), mesh), shown
            except (StoreError, TypeError) as error:
                self.log(Log(f"passes over its checkpoint of step {step}: {error}", self.node, "warning"))
        return 0, {}, []

    def _passing(self, step: int) -> bool:
        """Whether a checkpoint is one on the way; what cannot be read stays for a person to look at."""
        try:
            return not load_meta(self._at(step)).get("final")
        except StoreError:
            return False

    def _at(self, step: int) -> Path:
        return self.folder / f"step-{step}"

    def _note_in_run(self) -> None:
        """Say in the run's folder where the checkpoints of each zone lie; for people, so a full disk ends nothing."""
        index = self.run / "checkpoints.json"
        try:
            known: dict[str, list[str]] = json.loads(index.read_text()) if index.exists() else {}
            known.setdefault(self.node, []).append(self.folder.name)
            write_atomically(index, json.dumps(known, indent=1).encode())
        except OSError as error:
            self.log(Log(sentence(error), self.node, "warning"))
