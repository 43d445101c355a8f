"""Where the things of a workspace are at home: in its folder, or at an address that many machines share (s3://bucket/path).

An address is worked with through a folder of this machine, its copy, in which all lies as in any workspace. What is whole is
kept at the address, and what is not here is brought from there (`graph_runner.base.remote`). The copy says of which address
it is, so all that takes a workspace's folder takes a copy.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from graph_runner.base.files import write_atomically

OWN = ".home"
"""The folder in a copy for what is said of it."""
ADDRESS = f"{OWN}/address"
COPIES = "LATENT_LOOM_COPIES"
"""In the environment: the folder of the copies. Without it they lie in the user's folder of caches."""
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):/+")


class HomeError(OSError):
    """The store at an address refuses, or is not to be reached; the message names it and says what to do."""


@dataclass(frozen=True)
class Kept:
    """Something in a workspace with all that is in it: bytes, and when it was last used (seconds since 1970)."""

    path: Path
    size: int
    used: float


class Lease:
    """A lineage, held by this process as long as it is inside; see `Home.lease`."""

    @property
    def lost(self) -> bool:
        """Whether another has taken it meanwhile, as this process was not heard of for too long."""
        return False

    def close(self) -> None:
        """Let others have it."""


class Home:
    """The home of a workspace that is a folder of this machine, or one that it sees as such: that folder. So whatever is asked
    for here is done already. Paths are below the workspace."""

    address = ""

    def prepare(self) -> None:
        """See that it can be written to. Raises ValueError, in a sentence."""

    def bring(self, path: Path) -> None:
        """See that a file or folder is here as it is at home, where it is there; what was changed here alone stays as it is.
        Raises OSError."""

    def bring_tree(self, folder: Path) -> None:
        """The same for a folder that was kept as a whole; what is here of it, unfinished, gives way. Raises OSError."""

    def bring_below(self, folder: Path, names: Iterable[str] = ("*",)) -> None:
        """Bring the single files below a folder that are called like one of these patterns. Raises OSError."""

    def keep(self, path: Path) -> None:
        """Keep a whole file or folder at home, in the place of what is there. Raises OSError; then all there is as before."""

    def keep_below(self, folder: Path) -> None:
        """Keep each file below a folder by itself that is not at home as it is here. Raises OSError."""

    def forget(self, path: Path) -> None:
        """Remove a file or folder at home, and all below it. Raises OSError."""

    def sweep(self, folder: Path, older_than: float) -> None:
        """Remove what killed writers left at home below a folder, where it was not touched for so many seconds. Raises OSError."""

    def held(self, folder: Path) -> list[Kept]:  # noqa: ARG002 - what lies on the disk is for others to measure
        """What lies at home in a folder; a store says when something was written, not when it was read. Raises OSError."""
        return []

    def listing(self, folder: Path) -> dict[str, Kept | None]:  # noqa: ARG002
        """The files that lie at home in a folder, by name, as a user sees them; None for a folder. Raises OSError."""
        return {}

    def can_go(self, folder: Path) -> bool:  # noqa: ARG002
        """Whether a whole folder may be removed here, as it is at home too."""
        return False

    def claim(self, folder: Path) -> bool:  # noqa: ARG002 - nobody else can be about to take it
        """Take a folder's name for good; False where another machine has it."""
        return True

    def names(self, folder: Path) -> set[str]:  # noqa: ARG002 - none that a look at the disk would not show
        """The files and whole folders that are kept at home in a folder. Raises OSError."""
        return set()

    @contextmanager
    def lease(self, folder: Path, stop: threading.Event, tell: Callable[[str, str], None]) -> Iterator[Lease]:  # noqa: ARG002
        """Hold a lineage against other machines; waits until it is free or `stop` is set, and tells whom it waits for (a
        sentence and its level)."""
        yield Lease()


@cache
def home_of(workspace: Path) -> Home:
    """The home of the workspace in this folder (absolute)."""
    try:
        address = (workspace / ADDRESS).read_text(encoding="utf-8")
    except OSError:
        return Home()
    from graph_runner.base.remote import Remote

    return Remote(workspace, address)


def folder_of(workspace: str | Path) -> Path:
    """The folder of a workspace as a user names it: itself, or the copy of an address. Raises ValueError for no address."""
    text = str(workspace)
    found = _SCHEME.match(text)
    if found is None:
        return Path(text)
    scheme, rest = found[1], text[found.end() :].strip("/")  # a `Path` has made one slash of the two
    if scheme in ("file", "local"):
        return Path("/") / rest
    if not rest and scheme != "memory":
        raise ValueError(f"{text} names no bucket; write {scheme}://BUCKET/PATH")
    address = f"{scheme}://{rest}"
    slug = re.sub(r"[^a-z0-9]+", "-", address.lower()).strip("-")[:60]
    copy = copies() / f"{slug}-{hashlib.sha256(address.encode()).hexdigest()[:8]}"
    if not (copy / ADDRESS).exists():
        write_atomically(copy / ADDRESS, address.encode())
        home_of.cache_clear()  # it may have been looked at when it was no copy yet
    return copy


def named(workspace: Path) -> str:
    """How a user names the workspace in this folder, so that another machine finds the same."""
    return home_of(workspace).address or str(workspace)


def copies() -> Path:
    """The folder in which this machine has its copies."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get(COPIES) or Path(caches) / "latent-loom").expanduser().absolute()
