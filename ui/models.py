"""The models that lie on the server's machine: in the workspace, and in folders that its owner lends."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from graph_runner.base.hashes import Hashes
from graph_runner.catalog.model_files import ModelFile, model_files
from graph_runner.contract.describers import Describer
from graph_runner.run.engine import HASHES
from graph_runner.store.space import OF_RUNS
from ui.places import Places
from ui.refusal import RefusedError

MOST = 2000
"""Models that are told at once."""


class Models:
    """What `python -m graph_runner models` lists, as a page may see it: paths as a workflow names them."""

    def __init__(self, places: Places) -> None:
        self.places = places

    def listing(self, describers: Sequence[Describer]) -> list[ModelFile]:
        """Models by path, each once. A file is not read whole for its hash: that is told where it is known."""
        root = self.places.workspace.root
        found = self._found([root], describers, OF_RUNS)
        more = self._found(self.places.lent, describers)
        told = {each["path"]: each for some in (found, more) for each in islice(some, MOST)}
        return list(told.values())[:MOST]

    def hashed(self, path: str, describers: Sequence[Describer]) -> ModelFile:
        """One model with its hash, for which its file is read whole once. Raises RefusedError where there is none that may be read."""
        root = self.places.workspace.root
        place = Path(path) if Path(path).is_absolute() else self.places.workspace.inside(path)
        try:
            there = self._may(place) and place.exists()
        except (OSError, ValueError) as error:
            raise RefusedError(400, f"{path[:100]!r} leads nowhere: {error}") from error
        if not there:
            raise RefusedError(
                404, f"there is no model {path[:100]!r} in the workspace or in a folder that its owner lends"
            )
        found = next(self._found([place], describers, reads=True), None)
        if found is None or root / found["path"] != place:
            raise RefusedError(404, f"{path[:100]!r} is no model")
        return found

    def _found(
        self, folders: Sequence[Path], describers: Sequence[Describer], passed: Sequence[str] = (), reads: bool = False
    ) -> Iterator[ModelFile]:
        hashes = Hashes(self.places.workspace.root / HASHES)
        for each in model_files(folders, describers, hashes, passed, reads, self._may):
            yield {**each, "path": self._named(each["path"]), "thumbnail": self._address(each["thumbnail"])}

    def _may(self, path: Path) -> bool:
        """Whether a path lies, all links followed, where workflows may read."""
        return self.places.may(Path(os.path.realpath(path)))

    def _named(self, path: str) -> str:
        root = self.places.workspace.root
        return Path(path).relative_to(root).as_posix() if Path(path).is_relative_to(root) else path

    def _address(self, picture: str) -> str:
        """The path of a picture that the server gives out; empty where it lies outside of the workspace."""
        inside = picture and self.places.workspace.holds(Path(picture))
        return self._named(picture) if inside else ""
