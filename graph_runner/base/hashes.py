"""Hashes of files, kept on disk from one start to the next: a file that has not changed since is not read again.

One small SQLite file, which any number of processes may use at once. It only saves time: whatever is wrong with it, files
are hashed anew, and one that is damaged is thrown away.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, TypeVar

T = TypeVar("T")

YOUNG_SECONDS = 2.0
"""A file that changed so recently may change again without its times showing it: its hash is not kept."""
WAIT_SECONDS = 10.0
"""How long to wait for another process that writes."""

_ELSEWHERE = {"SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_PERM"}  # fmt: skip
_TABLE = "CREATE TABLE IF NOT EXISTS hashes (file TEXT PRIMARY KEY, state TEXT, digest TEXT) WITHOUT ROWID"


class FileState(NamedTuple):
    """What tells that a file is still the one that was hashed: times in nanoseconds."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileState:
        """The state that `stat` tells."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    @property
    def young(self) -> bool:
        """Whether the file changed so recently, by this moment's clock, that a further change might not show."""
        # ctime follows every change and nobody can set it; on Windows it is when the file was made.
        changed = self.ctime_ns if os.name == "posix" else self.mtime_ns
        return time.time_ns() - changed < YOUNG_SECONDS * 1e9

    @property
    def _file(self) -> str:
        return f"{self.device} {self.inode}"  # as text: some file systems number beyond SQLite's integers

    @property
    def _content(self) -> str:
        return f"{self.size} {self.mtime_ns} {self.ctime_ns}"

    def _sealed(self, digest: str) -> str:
        """A digest with a checksum of what it belongs to: damage must not pass for another content."""
        seal = hashlib.blake2b(f"{self._file} {self._content} {digest}".encode(), digest_size=8)
        return f"{digest} {seal.hexdigest()}"


class Hashes:
    """The hashes kept in one file of a workspace."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def known(self, states: Iterable[FileState]) -> dict[FileState, str]:
        """Those of these files whose hash is known, with it."""

        def read(database: sqlite3.Connection) -> dict[FileState, str]:
            found = {}
            for state in states:
                row = database.execute("SELECT state, digest FROM hashes WHERE file = ?", (state._file,)).fetchone()
                digest = str(row[1]).partition(" ")[0] if row is not None and row[0] == state._content else ""
                if digest and row[1] == state._sealed(digest):
                    found[state] = digest
            return found

        states = list(states)
        return self._with(read) or {} if states and self.path.exists() else {}

    def keep(self, digests: Mapping[FileState, str]) -> None:
        """Remember these hashes; what was known of the same files is forgotten."""

        def write(database: sqlite3.Connection) -> None:
            rows = [(state._file, state._content, state._sealed(digest)) for state, digest in digests.items()]
            database.executemany("INSERT OR REPLACE INTO hashes VALUES (?, ?, ?)", rows)
            database.commit()

        if digests:
            self._with(write)

    def _with(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Do something with the database, made anew where it is damaged; None where it cannot be had."""
        for _ in range(2):
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with closing(sqlite3.connect(self.path, timeout=WAIT_SECONDS)) as database:
                    database.execute(_TABLE)
                    return work(database)
            except sqlite3.Error as error:
                kind = getattr(error, "sqlite_errorname", "")
                if any(kind.startswith(name) for name in _ELSEWHERE):
                    return None
                self._discard()
            except UnicodeError:  # damage, in what SQLite says of it
                self._discard()
            except OSError:
                return None
        return None

    def _discard(self) -> None:
        for path in (self.path, self.path.with_name(self.path.name + "-journal")):
            path.unlink(missing_ok=True)
