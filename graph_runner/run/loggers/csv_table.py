"""A run's numbers as a table, `metrics.csv` in the run's folder, which any spreadsheet or pandas reads."""

from __future__ import annotations

import csv
import io
import time

from graph_runner.base.events import Ended, Event, Metric
from graph_runner.run.loggers import LoggedRun, step_of

COLUMNS = ("seconds", "node", "step", "name", "value")


class CsvTable:
    """A line for each number, as it comes: seconds since the run began, node, step (empty outside of loops), name, value.

    The table is long and not wide, for which numbers come is not known before they do.
    file: its name in the run's folder.
    """

    def __init__(self, run: LoggedRun, file: str = "metrics.csv") -> None:
        self._file = (run.folder / file).open("w", newline="", encoding="utf-8")
        self._began = time.monotonic()
        self._write([COLUMNS])

    def __call__(self, event: Event) -> None:
        """Write down numbers."""
        if isinstance(event, Metric):
            seconds, step = round(time.monotonic() - self._began, 3), step_of(event)
            self._write([(seconds, event.node, step, name, value) for name, value in event.values.items()])
        elif isinstance(event, Ended):
            self._file.close()

    def _write(self, rows: list[tuple[object, ...]]) -> None:
        """Whole lines at once: who reads the file while it grows, or after a kill, finds no half ones."""
        text = io.StringIO()
        csv.writer(text).writerows(rows)
        self._file.write(text.getvalue())
        self._file.flush()
