"""The pictures of all runs: searched by what made them, marked as favourites, thrown away and brought back.

What made a picture is its run's workflow, the text that the picture itself carries. Favourites and the bin lie in the server's
own folder, since a mark that dies with the browser is none.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from graph_runner.base.files import remove, write_atomically
from ui.changes import every_node
from ui.ledger import Ledger, parsed
from ui.refusal import RefusedError
from ui.schemas import LIVE, FoundPicture, FoundPictures, Output, Run
from ui.workspace import UPLOADS, Workspace, media_of

KEPT_SECONDS = 30 * 86_400
"""How long what was thrown away can be brought back."""
LOOKED_AT = 200
"""So many runs are looked at for one page of pictures: what is rare comes in several answers, and none takes long."""
PLACES = ("runs", UPLOADS)
"""The folders of the workspace whose pictures may be thrown away."""


class Gallery:
    """The pictures of one workspace."""

    def __init__(self, workspace: Workspace, ledger: Ledger) -> None:
        self.workspace, self.ledger = workspace, ledger
        self._favourites, self._bin = workspace.own / "favourites.json", workspace.own / "bin"
        self._words: OrderedDict[int, Words] = OrderedDict()
        self._writing = threading.Lock()
        self._empty()

    def find(self, query: str, favourites: bool, previews: bool, limit: int, before: int) -> FoundPictures:
        """Pictures, newest first, of runs that are over and have numbers below `before` (0: of all)."""
        marked, terms = self.favourites(), query.lower().split()
        found: list[FoundPicture] = []
        for n, run in enumerate(self._runs(before)):
            if len(found) >= limit or n >= LOOKED_AT:
                return FoundPictures(pictures=found, before=before)
            before = run.run
            if run.status in LIVE:
                continue
            words: Words | None = None
            for output in reversed(self.ledger.outputs(run.run)):
                if not output.media.startswith("image/") or (output.preview and not previews):
                    continue
                if favourites and output.path not in marked:
                    continue
                if terms:
                    words = words or self._words_of(run)
                    if not words.hold(terms, output):
                        continue
                if (size := self._size(output.path)) is not None:
                    told = output.model_dump() | {"url": self.workspace.url(output.path), "size": size}
                    told |= {"run": run.run, "title": run.title, "favourite": output.path in marked}
                    found.append(FoundPicture(**told))
        return FoundPictures(pictures=found, before=0)

    def _runs(self, before: int) -> Iterator[Run]:
        while page := self.ledger.newest(50, before):
            yield from page
            before = page[-1].run

    def _size(self, path: str) -> int | None:
        """The bytes of a picture, None where it is gone."""
        try:
            return self.workspace.file(path).stat().st_size
        except (RefusedError, OSError):
            return None

    def _words_of(self, run: Run) -> Words:
        known = self._words.get(run.run)
        if known is None:
            detail = self.ledger.detail(run.run, {})
            known = self._words[run.run] = Words(run, detail.workflow if detail is not None else {})
            while len(self._words) > 1000:
                self._words.popitem(last=False)
        return known

    def favourites(self) -> set[str]:
        """The paths that are marked; none where the record of them is damaged."""
        try:
            told = parsed(self._favourites.read_text(errors="replace"), [])
        except OSError:
            return set()
        return {path for path in told if isinstance(path, str)}

    def mark(self, path: str, favourite: bool) -> None:
        """Make a picture a favourite, or no longer."""
        if favourite:
            self._picture(path)
        with self._writing:
            marked = self.favourites()
            marked = marked | {path} if favourite else marked - {path}
            write_atomically(self._favourites, json.dumps(sorted(marked), indent=1).encode())

    def throw_away(self, path: str) -> None:
        """Move a picture into the bin, from which `bring_back` takes it for thirty days."""
        found = self._picture(path)
        if path.split("/")[0] not in PLACES:
            raise RefusedError(400, f"{path!r} is no picture of a run; only those and uploads are thrown away here")
        place = self._bin / f"{time.time_ns():x}" / path
        place.parent.mkdir(parents=True)
        os.replace(found, place)  # noqa: PTH105 (a link is moved, and not what it leads to)
        self.workspace.home.forget(found)  # else it would be brought from there when it is next asked for

    def bring_back(self, path: str) -> None:
        """Put a picture back that was thrown away. Raises RefusedError where it is not in the bin, or another has its place."""
        target = self.workspace.inside(path)
        kept = sorted(each for each in self._thrown() if (each / path).is_file())
        if not kept:
            raise RefusedError(404, f"{path!r} is not among what was thrown away in the last thirty days")
        if target.exists():
            raise RefusedError(409, f"there is another {path!r} by now; rename that first")
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(kept[-1] / path, target)  # noqa: PTH105
        self.workspace.home.keep(target)
        remove(kept[-1])

    def _picture(self, path: str) -> Path:
        found = self.workspace.file(path)
        if not media_of(found.name).startswith("image/"):
            raise RefusedError(415, f"{path!r} is no picture")
        return found

    def _thrown(self) -> list[Path]:
        return list(self._bin.iterdir()) if self._bin.is_dir() else []

    def _empty(self) -> None:
        """Delete what has been in the bin for long."""
        for each in self._thrown():
            with suppress(ValueError, OSError):
                if time.time() - int(each.name, 16) / 1e9 > KEPT_SECONDS:
                    remove(each)


class Words:
    """What a run can be found by: its title and number, its nodes, and what was set in them."""

    def __init__(self, run: Run, workflow: Mapping[str, Any]) -> None:
        said = [run.title, f"run {run.run}", run.device]
        self.exact = {f"#{run.run}", f"seed={run.seed}"}
        for id, node in every_node(workflow):
            said += [id, str(node.get("type", ""))]
            params = node.get("params")
            for name, value in params.items() if isinstance(params, dict) else ():
                text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
                said += [f"{id}.{name}={text}", text]
                self.exact |= {f"{name}={text}".lower(), f"{id}.{name}={text}".lower()}
        self.text = "\n".join(said).replace("_", " ").lower()

    def hold(self, terms: list[str], output: Output) -> bool:
        """Whether all terms are in them, or in the picture's own node and path. `seed=7` and `#7` are that seed and run, and no other."""
        own = f"{self.text}\n{output.node.replace('_', ' ')}\n{output.path}".lower()
        return all(
            term in self.exact if "=" in term or term[0] == "#" else term.replace("_", " ") in own for term in terms
        )
