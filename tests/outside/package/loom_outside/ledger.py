"""A listener: one file for all runs of a workspace."""

from __future__ import annotations

import json

from graph_runner.base.events import Ended, Event, Metric
from graph_runner.run.loggers import LoggedRun, step_of


class Ledger:
    """Writes each number of a run into a file of the workspace, a JSON object on each line, and in the end how the run ended.

    file: its name in the workspace.
    """

    def __init__(self, run: LoggedRun, file: str = "ledger.jsonl") -> None:
        self.path, self.run = run.workspace / file, run.folder.name

    def __call__(self, event: Event) -> None:
        """Write down numbers, and the end."""
        if isinstance(event, Metric):
            self._write(node=event.node, step=step_of(event), values=event.values)
        elif isinstance(event, Ended):
            self._write(status=event.status)

    def _write(self, **entry: object) -> None:
        """One line, written at once: a kill leaves whole ones."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"run": self.run, **entry}) + "\n")
