"""An object store at an address, through fsspec: the few requests that a workspace makes of it, and what goes wrong with them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from graph_runner.base.checksums import sealed, unsealed
from graph_runner.base.home import HomeError

EXTRAS = {
    "s3": '"latent-loom[s3]"',
    "s3a": '"latent-loom[s3]"',
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
}
"""What to install for an address that begins so."""
BATCH = 16
"""How many files go to the store, or come from there, at once."""

Info = dict[str, Any]
"""What fsspec tells of an object: its name, size, type, and in words of the store when it was written."""


class Bucket:
    """The store. Objects are named as fsspec names them: `root`, a slash, and the path below the address."""

    def __init__(self, address: str) -> None:
        self.address = address

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
            if self.address.partition(":")[0] in EXTRAS:  # its client asks for an account before it asks the store
                told = f"{self.address}: {error}; set its credentials (docs/scale.md names those of each store)"
            else:
                told = f"{self.address} is no address that fsspec knows ({error}); write s3://BUCKET/PATH"
            raise HomeError(told) from error
        return fs, root.rstrip("/")

    @property
    def fs(self) -> Any:
        """fsspec's file system."""
        return self._opened[0]

    @property
    def root(self) -> str:
        """What all names begin with."""
        return self._opened[1]

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Whatever a store's client raises is told as one that people can mend: HomeError."""
        try:
            self._opened  # noqa: B018 - what it raises says more
            yield
        except (HomeError, BlockingIOError):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.filename is not None:
                raise  # of this machine's disk
            raise HomeError(f"{self.address}: {str(error).rstrip('.')}; {_remedy(error)}") from error

    def listed(self, name: str) -> list[Info]:
        """The objects and folders right below a name."""
        try:
            return list(self.fs.ls(name, detail=True))
        except FileNotFoundError:
            return []

    def found(self, name: str) -> dict[str, Info]:
        """All objects below a name."""
        found: dict[str, Info] = self.fs.find(name, detail=True)
        base = f"{name}/"
        return {each: info for each, info in found.items() if each.startswith(base) and _safe(each.removeprefix(base))}

    def info(self, name: str) -> Info | None:
        """One object or folder; None where there is none."""
        try:
            return dict(self.fs.info(name))
        except FileNotFoundError:
            return None

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write an object of JSON that carries its checksum."""
        self.fs.pipe_file(name, json.dumps(sealed(dict(content))).encode())

    def create(self, name: str) -> bool:
        """Make an empty object; False where there is one."""
        try:
            self.fs.pipe_file(name, b"{}", mode="create")
        except FileExistsError:
            return False
        return True

    def manifest(self, name: str) -> Info | None:
        """A manifest; None where there is none, or where it is not whole, or names what lies elsewhere."""
        try:
            content = unsealed(json.loads(self.fs.cat_file(name)))
            generation, files = content["generation"], content["files"]
            return content if all(_safe(each) for each in (generation, *files)) else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects, one after the other; those that are gone are passed over."""
        for name in names:
            with suppress(FileNotFoundError):
                self.fs.rm_file(name)

    def put(self, wanted: Mapping[Path, str]) -> None:
        """Send files."""
        if not wanted:
            return
        try:
            self.fs.put([str(path) for path in wanted], list(wanted.values()), **self._batches)
        except FileNotFoundError as error:  # of a bucket: what is put was looked at just now
            told = f"{self.address} cannot be written to: {error}; make that bucket, or name another"
            raise HomeError(told) from error

    def get(self, wanted: Mapping[str, Path]) -> None:
        """Fetch objects. Raises FileNotFoundError where one is gone."""
        for path in wanted.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        if wanted:
            self.fs.get(list(wanted), [str(path) for path in wanted.values()], **self._batches)

    @property
    def _batches(self) -> dict[str, int]:
        return {"batch_size": BATCH} if self.fs.async_impl else {}


def _safe(name: str) -> bool:
    """Whether a name leads below where it is looked for."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


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


def written(info: Info) -> float:
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
