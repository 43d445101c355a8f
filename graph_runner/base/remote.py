"""A workspace at an address of an object store, through fsspec: s3://, gs://, az://, memory://.

Such a store knows no rename and no lock. What it knows is enough: one object is written whole or not at all, and can be
created only where none is. So

- a file is an object of its own;
- a folder is objects under the name of a generation, `PATH/GENERATION/…`, and one that names that generation and all that is in
  it, `PATH.manifest.json`, written when they are there. A reader sees the old generation or the new one and nothing between.
  What a killed writer left belongs to no manifest, and goes by `clean` once nobody can be writing it any more;
- who holds a lineage is told by leases (`graph_runner.base.leases`).
"""

from __future__ import annotations

import fnmatch
import os
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from graph_runner.base import leases
from graph_runner.base.bucket import Bucket, Info, written
from graph_runner.base.files import TEMPORARY, atomic_file, atomic_folder, write_atomically
from graph_runner.base.home import OWN, Home, HomeError, Kept, Lease

MANIFEST = ".manifest.json"
GENERATION = re.compile(r"/generation-[0-9a-f]{12}/")
LEASES = ".leases"
SAME_SECONDS = 0.01
"""Times that differ by less are the same: file systems cut them off in their own ways."""
RECENT_SECONDS = 2.0
"""What was written so lately may be written again with the same size and time: stores tell whole seconds."""


class Remote(Home):
    """The home of a copy (`graph_runner.base.home`). workspace: the copy's folder."""

    def __init__(self, workspace: Path, address: str) -> None:
        self.workspace, self.address, self.bucket = workspace, address, Bucket(address)

    def prepare(self) -> None:
        """See that it can be reached and written to. Raises ValueError, in a sentence."""
        try:
            with self.bucket.asking():
                self.bucket.write(f"{self.bucket.root}/latent-loom.json", {"layout": 1})
        except OSError as error:
            raise ValueError(str(error)) from error

    def bring(self, path: Path) -> None:
        """See `Home.bring`. Where a folder was kept, what is in it comes with all of it. What climbs out of the copy stays away."""
        if ".." in path.parts or not path.is_relative_to(self.workspace) or path == self.workspace:
            return
        with self.bucket.asking(), self._alone():
            if (around := self._around(path)) is not None:
                self._bring_folder(*around, replace=False)
            else:
                self._bring_files(self._objects(path))

    def bring_tree(self, folder: Path) -> None:
        """See `Home.bring_tree`."""
        with self.bucket.asking(), self._alone():
            if (manifest := self._manifest(folder)) is not None:
                self._bring_folder(folder, manifest, replace=True)

    def bring_below(self, folder: Path, names: Iterable[str] = ("*",)) -> None:
        """See `Home.bring_below`."""
        patterns = tuple(names)
        with self.bucket.asking(), self._alone():
            found = self._objects(folder)
            named = (path for path in found if any(fnmatch.fnmatch(path.name, pattern) for pattern in patterns))
            self._bring_files({path: found[path] for path in named})

    def keep(self, path: Path) -> None:
        """See `Home.keep`."""
        with self.bucket.asking():
            if path.is_dir():
                self._keep_folder(path)
            else:
                self._keep_files([path])

    def keep_below(self, folder: Path) -> None:
        """See `Home.keep_below`."""
        with self.bucket.asking():
            there = self._objects(folder)
            self._keep_files([path for path in _files(folder) if not _same(path, there.get(path))])

    def forget(self, path: Path) -> None:
        """See `Home.forget`. Manifests go first: what they name is of nobody from then on."""
        with self.bucket.asking():
            place = self._at(path)
            below = [*self.bucket.found(place), *self.bucket.found(place + LEASES)]
            manifests = [name for name in below if name.endswith(MANIFEST)]
            self.bucket.remove(
                [place + MANIFEST, *manifests, place, *(name for name in below if name not in manifests)]
            )

    def claim(self, folder: Path) -> bool:
        """See `Home.claim`."""
        with self.bucket.asking():
            return self.bucket.create(f"{self._at(folder)}/.claimed")

    def names(self, folder: Path) -> set[str]:
        """See `Home.names`."""
        with self.bucket.asking():
            files = (each["name"] for each in self.bucket.listed(self._at(folder)) if each["type"] == "file")
            found = (name.rpartition("/")[2] for name in files)
            return {name.removesuffix(MANIFEST) for name in found if not name.startswith(".")}

    @contextmanager
    def lease(self, folder: Path, stop: threading.Event, tell: Callable[[str, str], None]) -> Iterator[Lease]:
        """See `Home.lease`."""
        with self.bucket.asking():
            place = self._at(folder) + LEASES
        with leases.first_here(self.workspace, place, stop):
            with self.bucket.asking():
                lease = leases.taken(self.bucket.fs, place, self.workspace, stop, tell)
            try:
                yield lease
            finally:
                lease.close()

    def held(self, folder: Path) -> list[Kept]:
        """See `Home.held`."""
        with self.bucket.asking():
            found: dict[str, tuple[int, float]] = {}
            base = f"{self._at(folder)}/"
            for name, info in self.bucket.found(self._at(folder)).items():
                top = name.removeprefix(base).partition("/")[0].removesuffix(MANIFEST).removesuffix(LEASES)
                size, newest = found.get(top, (0, 0.0))
                found[top] = size + int(info["size"]), max(newest, written(info))
            return [Kept(folder / name, size, newest) for name, (size, newest) in found.items()]

    def listing(self, folder: Path) -> dict[str, Kept | None]:
        """See `Home.listing`."""
        found: dict[str, Kept | None] = {}
        with self.bucket.asking():
            if (around := self._around(folder)) is not None:
                for file, size in around[1]["files"].items():
                    if (path := around[0] / file).is_relative_to(folder):
                        name, *below = path.relative_to(folder).parts
                        found[name] = None if below else Kept(folder / name, size, 0.0)
                return found
            for info in self.bucket.listed(self._at(folder)):
                name = info["name"].rstrip("/").rpartition("/")[2]
                if name.endswith(MANIFEST) or info["type"] == "directory":
                    found[name.removesuffix(MANIFEST)] = None
                else:
                    found[name] = Kept(folder / name, int(info["size"]), written(info))
        return {name: kept for name, kept in found.items() if not name.startswith(".") and not name.endswith(LEASES)}

    def can_go(self, folder: Path) -> bool:
        """See `Home.can_go`."""
        return self._known(folder) is not None

    def sweep(self, folder: Path, older_than: float) -> None:
        """See `Home.sweep`: objects that no manifest names."""
        with self.bucket.asking():
            found = self.bucket.found(self._at(folder))
            named: set[str] = set()
            for name in (name for name in found if name.endswith(MANIFEST)):
                whole = name.removesuffix(MANIFEST)
                if (manifest := self.bucket.manifest(name)) is not None:
                    named |= {f"{whole}/{manifest['generation']}/{each}" for each in manifest["files"]}
            left = [
                name
                for name, info in found.items()
                if GENERATION.search(name) and name not in named and time.time() - written(info) > older_than
            ]
            self.bucket.remove(left)

    def _at(self, path: Path) -> str:
        return "/".join((self.bucket.root, *path.relative_to(self.workspace).parts))

    def _objects(self, path: Path) -> dict[Path, Info]:
        """The single files at home that a path names: one, or all below it; none that belongs to a folder with a manifest."""
        if (info := self.bucket.info(self._at(path))) is None:
            return {}
        if info["type"] == "file":
            return {path: info}
        found = self.bucket.found(self._at(path))
        parts = (MANIFEST, LEASES)
        single = [name for name in found if not GENERATION.search(name) and not any(part in name for part in parts)]
        below = {self.workspace / name.removeprefix(f"{self.bucket.root}/"): found[name] for name in single}
        return {path: info for path, info in below.items() if not path.name.startswith(".")}

    def _around(self, path: Path) -> tuple[Path, Info] | None:
        """The whole folder at home that a path names or lies in, with its manifest."""
        for folder in (path, *path.parents):
            if folder == self.workspace:
                break
            if (manifest := self._manifest(folder)) is not None:
                return folder, manifest
        return None

    def _manifest(self, folder: Path) -> Info | None:
        return self.bucket.manifest(self._at(folder) + MANIFEST)

    # Folders.

    def _keep_folder(self, folder: Path) -> None:
        before, generation = self._manifest(folder), f"generation-{uuid.uuid4().hex[:12]}"
        files = {path: path.relative_to(folder).as_posix() for path in _files(folder)}
        sizes = {name: path.stat().st_size for path, name in files.items()}
        place = self._at(folder)
        self.bucket.put({path: f"{place}/{generation}/{name}" for path, name in files.items()})
        self.bucket.write(place + MANIFEST, {"generation": generation, "files": sizes})
        self._note(folder, generation)
        if before is not None:
            self.bucket.remove(f"{place}/{before['generation']}/{name}" for name in before["files"])

    def _bring_folder(self, folder: Path, manifest: Info, replace: bool) -> None:
        for _ in range(3):
            generation, files = manifest["generation"], manifest["files"]
            known = self._known(folder)
            if folder.exists() and (known == generation or (known is None and not replace)):
                return
            try:
                with atomic_folder(folder) as temporary:
                    self.bucket.get({f"{self._at(folder)}/{generation}/{name}": temporary / name for name in files})
                    if any((temporary / name).stat().st_size != size for name, size in files.items()):
                        raise HomeError(f"{self.address} gave less of {folder.name} than it has; run it again")
                self._note(folder, generation)
                return
            except FileNotFoundError:  # another machine has put a new generation in its place
                if (manifest := self._manifest(folder) or {}) == {}:
                    return

    def _known(self, folder: Path) -> str | None:
        """The generation of a folder that is here; None where it was made or changed here since."""
        try:
            generation, inode = self._note_of(folder).read_text().split()
            return generation if int(inode) == folder.stat().st_ino else None
        except (OSError, ValueError):
            return None

    def _note(self, folder: Path, generation: str) -> None:
        """Say which generation the folder here is: it is another folder once it is written anew."""
        write_atomically(self._note_of(folder), f"{generation} {folder.stat().st_ino}".encode())

    def _note_of(self, folder: Path) -> Path:
        return self.workspace / OWN / "known" / folder.relative_to(self.workspace)

    # Files.

    def _keep_files(self, paths: Iterable[Path]) -> None:
        """Put files, and give them the time that the store has of them: so both are known to be the same."""
        places = {path: self._at(path) for path in paths}
        self.bucket.put(places)
        for path, place in places.items():
            if (info := self.bucket.info(place)) is not None:
                os.utime(path, (written(info), written(info)))

    def _bring_files(self, found: Mapping[Path, Info]) -> None:
        for path, info in found.items():
            if _same(path, info) or (path.exists() and path.stat().st_mtime > written(info)):
                continue
            with suppress(FileNotFoundError), atomic_file(path) as temporary:
                recent = time.time() - written(info) < RECENT_SECONDS
                self.bucket.get({info["name"]: temporary})
                time_here = written(info) - recent  # a second earlier: it is brought again next time
                os.utime(temporary, (time_here, time_here))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Bring one after the other: what several processes of this machine want is brought once."""
        (self.workspace / OWN).mkdir(exist_ok=True)
        with FileLock(self.workspace / OWN / "bringing.lock"):
            yield


def _files(folder: Path) -> list[Path]:
    """The files in a folder that are whole."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    hidden = (TEMPORARY, ".")
    return [path for path in found if not any(part.startswith(hidden) for part in path.relative_to(folder).parts)]


def _same(path: Path, info: Info | None) -> bool:
    """Whether a file is here as it is at home: of the same size and time."""
    if info is None or not path.exists():
        return False
    status = path.stat()
    return status.st_size == info["size"] and abs(status.st_mtime - written(info)) < SAME_SECONDS
