"""What nodes read of files and folders, as a part of their keys: exactly the files that a node says it reads, by content.

A node's annotation may name the function that lists them (`graph_runner.contract.PathTo`), the same that its loader goes
by; of a node that says nothing, all files count. Links are followed; only content and names count, never where a file lies.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from graph_runner.base.hashes import FileState, Hashes

Reads = Callable[[Path], Mapping[str, Path]]
"""The files that a node reads of what lies at a path, by the names that it knows them under (folders count by name)."""

Tell = Callable[[str, Path, int, int], None]
"""Hears of a node and the path that is read for its key, how many bytes are done and of how many; it may raise to stop."""

CHUNK = 4 * 2**20
TELL_SECONDS = 0.2
FIRST_SECONDS = 1.0
"""What takes less is not worth a word."""
KEEP_SECONDS = 10.0

_log = logging.getLogger(__name__)


def all_files(path: Path) -> dict[str, Path]:
    """Every file at or below a path by its relative name, hidden ones too; a file itself under the empty name.

    Links are followed. A folder that is met again, as in a loop of links, is named with the place where it was met first.
    """
    return dict(_walk(path)) if path.is_dir() else {"": path}


def _walk(root: Path) -> Iterator[tuple[str, Path]]:
    met: dict[str, str] = {}
    for folder, subfolders, files in os.walk(root, followlinks=True):
        here = Path(folder)
        name = here.relative_to(root).as_posix()
        first = met.setdefault(os.path.realpath(here), name)
        if first != name:
            subfolders.clear()
            yield f"{name} = {first}", here
            continue
        subfolders.sort()
        if not subfolders and not files:
            yield f"{name}/", here
        for file in files:
            yield (here / file).relative_to(root).as_posix(), here / file


class _Read(NamedTuple):
    """What was found at one path of one node: the files by name, their states and hashes."""

    path: Path
    reads: Reads
    files: list[tuple[str, Path]]
    states: dict[Path, FileState | None]
    digests: dict[Path, str]


class Contents:
    """The contents of all files that one run's nodes read.

    known: hashes of earlier starts. tell: hears how far the reading is, where it takes long.
    """

    def __init__(self, known: Hashes | None = None, tell: Tell | None = None) -> None:
        self._known, self._tell = known, tell
        self._found: dict[str, list[_Read]] = {}

    def key(self, node: str, path: Path, reads: Reads | None = None) -> str:
        """What stands for the files that a node reads of `path`: another one where any of their names or contents is another.

        A file that cannot be read counts as such; the node will say so in its own words.
        """
        reads = reads or all_files
        try:
            files = sorted(reads(path).items())
        except Exception as error:  # whatever a node's own function raises: the node will meet the same
            _log.debug("%s: the files of %s cannot be listed: %s", node, path, error)
            return f"unlisted {uuid.uuid4().hex}"
        states = {file: _state(file) for _, file in files}
        if lost := [name for name, file in files if states[file] is None and file.is_symlink() and not file.exists()]:
            more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
            _log.warning("%s: links in %s lead nowhere: %s%s", node, path, ", ".join(lost[:3]), more)
        digests = self._digests(node, path, {file: state for file, state in states.items() if state is not None})
        self._found.setdefault(node, []).append(_Read(path, reads, files, states, digests))
        listed = [[name, digests.get(file) or _odd(file)] for name, file in files]
        if [name for name, _ in listed] == [""]:
            return listed[0][1]
        return hashlib.sha256(json.dumps(listed).encode()).hexdigest()

    def changed(self, node: str) -> Path | None:
        """What a node reads that is no longer what it was when its key was made, if anything."""
        for found in self._found.get(node, ()):
            if sorted(found.reads(found.path).items()) != found.files:
                return found.path
        return _changed(self._found.get(node, ()))

    def changed_since(self) -> Path | None:
        """A file that any node read and that is no longer what it was then; one that came since was read by nobody."""
        return _changed(found for each in self._found.values() for found in each)

    def _digests(self, node: str, path: Path, states: Mapping[Path, FileState]) -> dict[Path, str]:
        """The hash of each file that can be read: the one that is known, else of what is read now."""
        known = self._known.known(set(states.values())) if self._known is not None else {}
        unread = {file: state for file, state in states.items() if state not in known}
        digests = {file: known[state] for file, state in states.items() if state in known}
        total, done, told = (
            sum(state.size for state in unread.values()),
            0,
            time.monotonic() + FIRST_SECONDS - TELL_SECONDS,
        )

        def advance(read: int) -> None:
            nonlocal done, told
            done += read
            if self._tell is not None and time.monotonic() - told > TELL_SECONDS:
                told = time.monotonic()
                self._tell(node, path, min(done, total), total)

        fresh: dict[FileState, str] = {}
        kept = time.monotonic()
        try:
            for file, state in unread.items():
                if state in fresh:  # another path to the same file
                    digests[file] = fresh[state]
                    advance(state.size)
                    continue
                young = state.young
                try:
                    digests[file], now = _hash(file, advance)
                except OSError:
                    continue
                if not young and now == state:
                    fresh[state] = digests[file]
                if time.monotonic() - kept > KEEP_SECONDS:
                    kept = time.monotonic()
                    self._keep(fresh)
        finally:
            self._keep(fresh)  # what was read before a stop need not be read again
        return digests

    def _keep(self, fresh: Mapping[FileState, str]) -> None:
        if self._known is not None:
            self._known.keep(fresh)


def _changed(reads: Iterable[_Read]) -> Path | None:
    for found in reads:
        for file, state in found.states.items():
            if (now := _state(file)) == state:
                continue
            try:  # a link made, or permissions: the content may still be the same
                if now is not None and file in found.digests and _hash(file)[0] == found.digests[file]:
                    continue
            except OSError:
                pass
            return file
    return None


def hash_of(file: Path) -> str:
    """The hash of a file's content. Raises OSError."""
    return _hash(file)[0]


def _hash(file: Path, advance: Callable[[int], None] | None = None) -> tuple[str, FileState]:
    """The hash of a file's content, and its state after it was read. advance: hears of each part, in bytes."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
            if advance is not None:
                advance(len(chunk))
        return digest.hexdigest(), FileState.of(os.fstat(stream.fileno()))


def _state(file: Path) -> FileState | None:
    """The state of a regular file; None for what is none, or cannot be looked at."""
    try:
        status = file.stat()
    except (OSError, ValueError):
        return None
    return FileState.of(status) if stat.S_ISREG(status.st_mode) else None


def _odd(file: Path) -> str:
    """What stands for the content of something that is no file to be read: it must not be taken for one that is."""
    try:
        kind = stat.S_IFMT(file.stat().st_mode)
    except (OSError, ValueError):
        return "absent"
    return "folder" if stat.S_ISDIR(kind) else "unreadable"
