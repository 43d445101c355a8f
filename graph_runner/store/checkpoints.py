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
from graph_runner.base.home import Home, Lease
from graph_runner.contract.context import Processes, Stateful
from graph_runner.format.changes import changed
from graph_runner.store.folders import StoreError, load_meta, load_tree, save_tree, save_tree_together

LOCK = "lock"
PAUSE_SECONDS = 0.2
KEPT = 2
"""How many checkpoints on the way are kept; those at the end of a run always are."""


def mesh_of(state: Stateful) -> DeviceMesh | None:
    """The processes that each hold a part of a state; None where each holds all of it."""
    return getattr(state, "mesh", None)


class Checkpoints:
    """Saves and restores the state of one loop. What was shown up to a checkpoint is remembered with it.

    home: where they are at home, besides this folder. meta: what the run tells of itself, for those who go on from a checkpoint. resume: takes up what the meta of one said, and
    returns what is to be told of it.
    """

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
        home: Home | None = None,
        meta: Callable[[], dict[str, Any]] = dict,
        resume: Callable[[dict[str, Any]], str] = lambda _: "",
    ) -> None:
        self.folder, self.processes, self.node, self.run = folder, processes, node, run
        self.shown, self.show, self.ignore, self.log = shown, show, ignore, log
        self.home, self.meta, self.resume = home or Home(), meta, resume
        self._lease = Lease()
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
            with self.home.lease(
                self.folder, stop, lambda told, level: self.log(Log(told, self.node, level))
            ) as self._lease:
                yield
        finally:
            lock.release()

    def restore(self, state: Stateful, n: int) -> int:
        """Load the newest readable checkpoint of at most n steps into `state`; returns the steps it had done."""
        found, tree, meta = 0, dict[str, Any](), dict[str, Any]()
        if self.processes.rank == 0:
            self._note_in_run()
            sweep(self.folder)
            found, tree, meta = self._newest(0 if self.ignore else n, mesh_of(state))
        found, meta = self.processes.agree((found, meta))
        if found:
            mesh = mesh_of(state)
            self._brought(found)
            state.load_state_dict(tree if self.processes.rank == 0 else load_tree(self._at(found), mesh))
            for each in meta.get("shown", ()):
                self.show(Shown(**each))
            self._tell(f"goes on from step {found} of an earlier run", self.resume(meta))
        return int(found)

    def take_over(self, origin: Path, state: Stateful, n: int, named_by: str = "") -> int:
        """Load a checkpoint of another training into `state`; returns the steps that it had done.

        What is another in the workflow than it was there is told, but for the parameter `named_by`. Raises ValueError, naming the checkpoint, where it leaves
        none of the n steps to do or does not suit the state.
        """
        named = re.fullmatch(r"step-(\d+)", origin.name)
        if named is None:
            raise ValueError(f"{origin} is no checkpoint; name a folder such as checkpoints/…/step-100")
        if (done := int(named[1])) >= n:
            raise ValueError(f"{origin} has done {done} steps, and {n} are asked for in all; ask for more")
        if not origin.exists():
            self.home.bring_tree(origin)
        meta = load_meta(origin)
        try:
            state.load_state_dict(load_tree(origin, mesh_of(state)))
        except (ValueError, KeyError, RuntimeError) as error:
            raise ValueError(f"cannot go on from {origin}: {error}") from error
        changes = changed(meta.get("workflow", ""), self.meta().get("workflow", ""), named_by)
        told = f"with {', '.join(changes)}" if changes else ""
        run = meta.get("run", "another run")
        self._tell(f"goes on from step {done} of {run}", told, self.resume(meta))
        return done

    def _tell(self, sentence: str, *more: str) -> None:
        self.log(Log(", ".join([sentence, *filter(None, more)]), self.node))

    def save(self, step: int, state: Stateful, final: bool = False) -> None:
        """Write the state after `step` steps, and remove checkpoints on the way that are no longer needed.

        Where the disk refuses, that is told and the training goes on: the checkpoint before stays.
        """
        together = mesh_of(state) is not None
        if self.processes.rank > 0 and not together:
            return
        shown = [asdict(shown) for shown in self.shown[self._shown_before :]]
        try:
            meta = {**self.meta(), "shown": shown, "final": final}
            if together:
                save_tree_together(self._at(step), state.state_dict(), meta, self.processes)
            else:
                save_tree(self._at(step), state.state_dict(), meta)
        except OSError as error:
            self.log(Log(f"has no checkpoint of step {step}: {sentence(error)}", self.node, "warning"))
            return
        if self.processes.rank > 0:
            return
        passing = [s for s in steps_in(self.folder) if s <= step and self._passing(s)]
        self._keep(step, passing[:-KEPT])
        for old in passing[:-KEPT]:
            with suppress(OSError):  # the next one tries again
                remove(self._at(old))

    def _keep(self, step: int, passed: list[int]) -> None:
        """Keep a checkpoint at home too, unless another run has taken the training over; forget there what is passed."""
        if self._lease.lost:
            told = f"keeps its checkpoint of step {step} here alone: it was not heard of, and another run trains the same now"
            self.log(Log(told, self.node, "warning"))
            return
        try:
            self.home.keep(self._at(step))
            for old in passed:
                self.home.forget(self._at(old))
        except OSError as error:
            told = f"has its checkpoint of step {step} on this machine alone: {sentence(error)}"
            self.log(Log(told, self.node, "warning"))

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, ascending."""
        return steps_in(self.folder, self.home)

    def _brought(self, step: int) -> Path:
        """A checkpoint's folder, with what is at home in it."""
        if not self._at(step).exists():
            self.home.bring_tree(self._at(step))
        return self._at(step)

    def _newest(self, n: int, mesh: DeviceMesh | None) -> tuple[int, dict[str, Any], dict[str, Any]]:
        """The newest checkpoint of at most n steps that can be read, and its meta; 0 where there is none; what cannot is told."""
        for step in reversed([step for step in self.steps() if step <= n]):
            try:
                meta = load_meta(self._brought(step))
                [Shown(**fields) for fields in meta.get("shown", [])]  # or it is damaged
                return step, load_tree(self._at(step), mesh), meta
            except (StoreError, TypeError) as error:
                self.log(Log(f"passes over its checkpoint of step {step}: {error}", self.node, "warning"))
        return 0, {}, {}

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
            with FileLock(index.with_name(f".{index.name}.lock")):  # items of a sweep may begin at once
                known: dict[str, list[str]] = json.loads(index.read_text()) if index.exists() else {}
                known.setdefault(self.node, []).append(self.folder.name)
                write_atomically(index, json.dumps(known, indent=1).encode())
                self.home.keep(index)
        except (OSError, NotImplementedError) as error:
            told = sentence(error) if isinstance(error, OSError) else f"no lock for {index} ({error})"
            self.log(Log(told, self.node, "warning"))


def steps_in(folder: Path, home: Home | None = None) -> list[int]:
    """The steps that have a checkpoint in a lineage's folder, or at home, ascending."""
    there = {path.name for path in folder.glob("step-*")} | (home.names(folder) if home is not None else set())
    names = (re.fullmatch(r"step-(\d+)", name) for name in there)
    return sorted(int(name[1]) for name in names if name)
