"""The files a run shows: written into its folder, atomically, and told to the event stream."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from graph_runner.files import atomic_file


class OutputFolder:
    """The `Outputs` that a node is handed (see `graph_runner.context.Outputs`)."""

    def __init__(
        self, run: Path, workspace: Path, workflow: str, show: Callable[[Path, str, bool], None], suffix: str
    ) -> None:
        self.folder = run / "outputs"
        self.workspace, self.workflow = workspace, workflow
        self._show, self._suffix = show, suffix

    def file(self, name: str, write: Callable[[Path], object], *, media: str, preview: bool = False) -> Path:
        """Write one file below the run's outputs; inside a loop its name carries the turn."""
        wanted = Path(name)
        if wanted.is_absolute() or ".." in wanted.parts:
            raise ValueError(f"the file name {name!r} leaves the run's folder; give a name below it")
        stem, suffix = wanted.stem + self._suffix, wanted.suffix
        target = self.folder / wanted.parent / f"{stem}{suffix}"
        number = 1
        while target.exists():
            number += 1
            target = self.folder / wanted.parent / f"{stem}-{number}{suffix}"
        with atomic_file(target) as temporary:
            write(temporary)
        self._show(target, media, preview)
        return target
