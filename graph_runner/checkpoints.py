"""Checkpoints of a loop's state: one lineage (equal but for the number of turns), one folder, one sub-folder a step."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock, Timeout

from graph_runner.context import Processes, Stateful
from graph_runner.events import Event, Log, Shown
from graph_runner.store import load_meta, load_tree, save_tree, sweep
from graph_runner.workflow import write_atomically

LOCK = "lock"
PAUSE_SECONDS = 0.2
KEPT = 2
"""How many checkpoints on the way are kept; those at the end of a run always are."""


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
        self.folder.mkdir(parents=True, exist_ok=True)
        lock, told = FileLock(self.folder / LOCK), False
        while not stop.is_set():
            try:
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
        """Load the newest checkpoint of at most n turns into `state`; returns the turns it had done."""
        if self.processes.rank == 0:
            self._note_in_run()
            if self.folder.exists():
                sweep(self.folder)
        found = self.processes.agree(0 if self.ignore else max((step for step in self.steps() if step <= n), default=0))
        if found:
            folder = self._at(found)
            state.load_state_dict(load_tree(folder))
            for fields in load_meta(folder).get("shown", []):
                self.show(Shown(**fields))
            self.log(Log(f"goes on from turn {found} of an earlier run", self.node))
        return int(found)

    def save(self, step: int, state: Stateful, final: bool = False) -> None:
        """Write the state after `step` turns, and remove checkpoints on the way that are no longer needed."""
        if self.processes.rank > 0:
            return
        shown = [asdict(shown) for shown in self.shown[self._shown_before :]]
        save_tree(self._at(step), state.state_dict(), {"shown": shown, "final": final})
        passing = [s for s in self.steps() if s <= step and not load_meta(self._at(s)).get("final")]
        for old in passing[:-KEPT]:
            shutil.rmtree(self._at(old), ignore_errors=True)

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, ascending."""
        return sorted(int(path.name.removeprefix("step-")) for path in self.folder.glob("step-*"))

    def _at(self, step: int) -> Path:
        return self.folder / f"step-{step}"

    def _note_in_run(self) -> None:
        """Say in the run's folder where the checkpoints of each zone lie."""
        index = self.run / "checkpoints.json"
        known: dict[str, list[str]] = json.loads(index.read_text()) if index.exists() else {}
        known.setdefault(self.node, []).append(self.folder.name)
        write_atomically(index, json.dumps(known, indent=1).encode())
