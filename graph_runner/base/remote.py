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
import json
import os
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock

from graph_runner.base.checksums import sealed, unsealed
from graph_runner.base.files import TEMPORARY, atomic_file, atomic_folder, write_atomically
from graph_runner.base.home import OWN, Home, HomeError, Kept, Lease

MANIFEST = ".manifest.json"
GENERATION = re.compile(r"/generation-[0-9a-f]{12}/")
LEASES = ".leases"
EXTRAS = {
    "s3": '"latent-loom[s3]"',
    "s3a": '"latent-loom[s3]"',
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
}
"""What to install for an address that begins so."""
SAME_SECONDS = 0.01
"""Times that differ by less are the same: file systems cut them off in their own ways."""
BATCH = 16
"""How many files go to the store, or come from there, at once."""


class Remote(Home):
    """The home of a copy (`graph_runner.base.home`). workspace: the copy's folder."""

    def __init__(self, workspace: Path, address: str) -> None:
        self.workspace, self.address = workspace, address

    def prepare(self) -> None:
        """See that it can be reached and written to. Raises ValueError, in a sentence."""
        try:
            with self._asking():
                self._fs.pipe_file(f"{self._root}/latent-loom.json", json.dumps({"layout": 1}).encode())
        except OSError as error:
            raise ValueError(str(error)) from error

    def bring(self, path: Path) -> None:
        """See `Home.bring`. Where a folder was kept, what is in it comes with all of it."""
        if not path.is_relative_to(self.workspace) or path == self.workspace:
            return
        with self._asking(), self._alone():
            for whole in (path, *path.parents):
                if whole == self.workspace:
                    break
                if (manifest := self._manifest(whole)) is not None:
                    self._bring_folder(whole, manifest, replace=False)
                    return
            self._bring_files(self._objects(path))

    def bring_tree(self, folder: Path) -> None:
        """See `Home.bring_tree`."""
        with self._asking(), self._alone():
            if (manifest := self._manifest(folder)) is not None:
                self._bring_folder(folder, manifest, replace=True)

    def bring_below(self, folder: Path, names: Iterable[str] = ("*",)) -> None:
        """See `Home.bring_below`."""
        patterns = tuple(names)
        with self._asking(), self._alone():
            found = self._objects(folder)
            named = (path for path in found if any(fnmatch.fnmatch(path.name, pattern) for pattern in patterns))
            self._bring_files({path: found[path] for path in named})

    def keep(self, path: Path) -> None:
        """See `Home.keep`."""
        with self._asking():
            if path.is_dir():
                self._keep_folder(path)
            else:
                self._keep_files([path])

    def keep_below(self, folder: Path) -> None:
        """See `Home.keep_below`."""
        with self._asking():
            there = self._objects(folder)
            self._keep_files([path for path in _files(folder) if not _same(path, there.get(path))])

    def forget(self, path: Path) -> None:
        """See `Home.forget`. Manifests go first: what they name is of nobody from then on."""
        with self._asking():
            place = self._at(path)
            below = [*self._found(path), *self._fs.find(place + LEASES)]
            manifests = [name for name in below if name.endswith(MANIFEST)]
            self._remove([place + MANIFEST, *manifests, place, *(name for name in below if name not in manifests)])

    def claim(self, folder: Path) -> bool:
        """See `Home.claim`."""
        with self._asking():
            try:
                self._fs.pipe_file(f"{self._at(folder)}/.claimed", b"{}", mode="create")
            except FileExistsError:
                return False
        return True

    def names(self, folder: Path) -> set[str]:
        """See `Home.names`."""
        with self._asking():
            files = (each["name"] for each in self._listed(folder) if each["type"] == "file")
            found = (name.rpartition("/")[2] for name in files)
            return {name.removesuffix(MANIFEST) for name in found if not name.startswith(".")}

    @contextmanager
    def lease(self, folder: Path, stop: threading.Event, tell: Callable[[str, str], None]) -> Iterator[Lease]:
        """See `Home.lease`."""
        from graph_runner.base.leases import held

        with held(self._store(), self._at(folder) + LEASES, self.workspace, stop, tell) as lease:
            yield lease

    def held(self, folder: Path) -> list[Kept]:
        """See `Home.held`."""
        with self._asking():
            found: dict[str, tuple[int, float]] = {}
            base = f"{self._at(folder)}/"
            for name, info in self._found(folder).items():
                top = name.removeprefix(base).partition("/")[0].removesuffix(MANIFEST).removesuffix(LEASES)
                size, written = found.get(top, (0, 0.0))
                found[top] = size + int(info["size"]), max(written, _written(info))
            return [Kept(folder / name, size, written) for name, (size, written) in found.items()]

    def can_go(self, folder: Path) -> bool:
        """See `Home.can_go`."""
        return self._known(folder) is not None

    def sweep(self, folder: Path, older_than: float) -> None:
        """See `Home.sweep`: objects that no manifest names."""
        with self._asking():
            found = self._found(folder)
            named: set[str] = set()
            for name in (name for name in found if name.endswith(MANIFEST)):
                whole = name.removesuffix(MANIFEST)
                if (manifest := self._read(name)) is not None:
                    named |= {f"{whole}/{manifest['generation']}/{each}" for each in manifest["files"]}
            left = [
                name
                for name, info in found.items()
                if GENERATION.search(name) and name not in named and time.time() - _written(info) > older_than
            ]
            self._remove(left)

    # One request each, or a few.

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        try:
            from fsspec.core import url_to_fs

            fs, root = url_to_fs(self.address, use_listings_cache=False, skip_instance_cache=True)
        except ImportError as error:
            scheme = self.address.partition(":")[0]
            remedy = f"pip install {EXTRAS[scheme]}" if scheme in EXTRAS else "install that"
            raise HomeError(f"{self.address} needs a package ({error}): {remedy}") from error
        except ValueError as error:
            raise HomeError(
                f"{self.address} is no address that fsspec knows ({error}); write s3://BUCKET/PATH"
            ) from error
        return fs, root.rstrip("/")

    @property
    def _fs(self) -> Any:
        return self._opened[0]

    @property
    def _root(self) -> str:
        return self._opened[1]

    def _store(self) -> Any:
        with self._asking():
            return self._fs

    def _at(self, path: Path) -> str:
        return f"{self._root}/{path.relative_to(self.workspace).as_posix()}"

    def _listed(self, folder: Path) -> list[dict[str, Any]]:
        try:
            return list(self._fs.ls(self._at(folder), detail=True))
        except FileNotFoundError:
            return []

    def _found(self, folder: Path) -> Mapping[str, dict[str, Any]]:
        """All objects below a folder."""
        found: dict[str, dict[str, Any]] = self._fs.find(self._at(folder), detail=True)
        return {name: info for name, info in found.items() if name.startswith(f"{self._at(folder)}/")}

    def _objects(self, path: Path) -> dict[Path, dict[str, Any]]:
        """The single files at home that a path names: one, or all below it; none that belongs to a folder with a manifest."""
        try:
            info = self._fs.info(self._at(path))
        except FileNotFoundError:
            return {}
        if info["type"] == "file":
            return {path: info}
        found = self._found(path)
        parts = (MANIFEST, LEASES)
        single = [name for name in found if not GENERATION.search(name) and not any(part in name for part in parts)]
        below = {self.workspace / name.removeprefix(f"{self._root}/"): found[name] for name in single}
        return {path: info for path, info in below.items() if not path.name.startswith(".")}

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            with suppress(FileNotFoundError):
                self._fs.rm_file(name)

    def _read(self, name: str) -> dict[str, Any] | None:
        """A manifest; None where there is none, or where it is not whole."""
        try:
            content = unsealed(json.loads(self._fs.cat_file(name)))
            return content if isinstance(content["generation"], str) and isinstance(content["files"], dict) else None
        except (FileNotFoundError, ValueError, KeyError):
            return None

    def _manifest(self, folder: Path) -> dict[str, Any] | None:
        return self._read(self._at(folder) + MANIFEST)

    # Folders.

    def _keep_folder(self, folder: Path) -> None:
        before, generation = self._manifest(folder), f"generation-{uuid.uuid4().hex[:12]}"
        files = {path: path.relative_to(folder).as_posix() for path in _files(folder)}
        sizes = {name: path.stat().st_size for path, name in files.items()}
        place = self._at(folder)
        self._put({path: f"{place}/{generation}/{name}" for path, name in files.items()})
        content = sealed({"generation": generation, "files": sizes})
        self._fs.pipe_file(place + MANIFEST, json.dumps(content).encode())
        self._note(folder, generation)
        if before is not None:
            self._remove(f"{place}/{before['generation']}/{name}" for name in before["files"])

    def _bring_folder(self, folder: Path, manifest: dict[str, Any], replace: bool) -> None:
        for _ in range(3):
            generation, files = manifest["generation"], manifest["files"]
            known = self._known(folder)
            if folder.exists() and (known == generation or (known is None and not replace)):
                return
            try:
                with atomic_folder(folder) as temporary:
                    self._get({f"{self._at(folder)}/{generation}/{name}": temporary / name for name in files})
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

    def _put(self, wanted: Mapping[Path, str]) -> None:
        if not wanted:
            return
        try:
            self._fs.put([str(path) for path in wanted], list(wanted.values()), **self._batches)
        except FileNotFoundError as error:  # of a bucket: what is put was looked at just now
            raise HomeError(
                f"{self.address} cannot be written to: {error}; make that bucket, or name another"
            ) from error

    def _get(self, wanted: Mapping[str, Path]) -> None:
        for path in wanted.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        if wanted:
            self._fs.get(list(wanted), [str(path) for path in wanted.values()], **self._batches)

    @property
    def _batches(self) -> dict[str, int]:
        return {"batch_size": BATCH} if self._fs.async_impl else {}

    def _keep_files(self, paths: Iterable[Path]) -> None:
        """Put files, and give them the time that the store has of them: so both are known to be the same."""
        places = {path: self._at(path) for path in paths}
        self._put(places)
        for path, place in places.items():
            written = _written(self._fs.info(place))
            os.utime(path, (written, written))

    def _bring_files(self, found: Mapping[Path, dict[str, Any]]) -> None:
        for path, info in found.items():
            if _same(path, info) or (path.exists() and path.stat().st_mtime > _written(info)):
                continue
            with suppress(FileNotFoundError), atomic_file(path) as temporary:
                self._get({info["name"]: temporary})
                os.utime(temporary, (_written(info), _written(info)))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Bring one after the other: what several processes of this machine want is brought once."""
        (self.workspace / OWN).mkdir(exist_ok=True)
        with FileLock(self.workspace / OWN / "bringing.lock"):
            yield

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Whatever a store's client raises is told as one that people can mend."""
        try:
            self._opened  # noqa: B018 - what it raises says more
            yield
        except (HomeError, BlockingIOError):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.filename is not None:
                raise  # of this machine's disk
            raise HomeError(f"{self.address}: {str(error).rstrip('.')}; {_remedy(error)}") from error


def _remedy(error: Exception) -> str:
    name = type(error).__name__
    if "Credential" in name or "Token" in name:
        return "set its credentials, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or log in with its own tool"
    if isinstance(error, PermissionError):
        return "these credentials do not allow it; take others, or change what they allow"
    if isinstance(error, FileNotFoundError):
        return "make that bucket, or name another"
    return (
        "see that it can be reached from here (AWS_ENDPOINT_URL names another server than Amazon's), then run it again"
    )


def _files(folder: Path) -> list[Path]:
    """The files in a folder that are whole."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    hidden = (TEMPORARY, ".")
    return [path for path in found if not any(part.startswith(hidden) for part in path.relative_to(folder).parts)]


def _same(path: Path, info: dict[str, Any] | None) -> bool:
    """Whether a file is here as it is at home: of the same size and time."""
    if info is None or not path.exists():
        return False
    status = path.stat()
    return status.st_size == info["size"] and abs(status.st_mtime - _written(info)) < SAME_SECONDS


def _written(info: dict[str, Any]) -> float:
    """When an object was written, in seconds since 1970; 0 where its store does not say."""
    for name in ("LastModified", "mtime", "updated", "last_modified", "created"):
        value = info.get(name)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
        if isinstance(value, str):
            with suppress(ValueError):
                return datetime.fromisoformat(value).timestamp()
    return 0.0
