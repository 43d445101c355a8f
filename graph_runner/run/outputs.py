"""The files a run shows: written into its folder, atomically, and told to the event stream."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from graph_runner.base.files import atomic_file
from graph_runner.base.home import home_of
from graph_runner.base.names import safe_name


class OutputFolder:
    """The `Outputs` that a node is handed (see `graph_runner.context.Outputs`)."""

    def __init__(
        self, run: Path, workspace: Path, workflow: str, show: Callable[[Path, str, bool], None], suffix: str
    ) -> None:
        self.folder = run / "outputs"
        self.workspace, self.workflow = workspace, workflow
        self._show, self._suffix = show, suffix

    def file(self, name: str, write: Callable[[Path], object], *, media: str, preview: bool = False) -> Path:
        """Write one file below the run's outputs; inside a loop its name carries the step."""
        return self._write(Path(safe_name(name)), write, media, preview)

    def again(self, name: str, source: Path, *, media: str, preview: bool = False) -> Path:
        """A copy of a file that an earlier run wrote under this name, whatever that version took for a name."""
        wanted = Path(name)
        if wanted.is_absolute() or ".." in wanted.parts:
            raise ValueError(f"the name {name!r} leaves its folder; forget that entry of the cache")
        return self._write(wanted, partial(shutil.copy2, source), media, preview)

    def _write(self, wanted: Path, write: Callable[[Path], object], media: str, preview: bool) -> Path:
        stem, suffix = wanted.stem + self._suffix, wanted.suffix
        target = self.folder / wanted.parent / f"{stem}{suffix}"
        number = 1
        while target.exists():
            number += 1
            target = self.folder / wanted.parent / f"{stem}-{number}{suffix}"
        with atomic_file(target) as temporary:
            write(temporary)
        home_of(self.workspace).keep(target)
        self._show(target, media, preview)
        return target
