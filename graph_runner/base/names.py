"""Names that people give to what is saved: those that mean one file, and the same one, on every system.

One place says which names will do; everything that saves under a name asks here.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path, PurePosixPath

LONGEST = 180
"""Bytes of one part of a name; file systems take 255, and what is written beside it meanwhile has a longer one."""
DEEPEST = 1000

_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE)
_ODD = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\]')


def safe_name(text: str) -> str:
    """The name itself, slashes making folders, where every system takes it for one and the same file below a folder.

    Raises ValueError, in a sentence, for any other: no dots that climb, no device names of Windows, nothing hidden.
    """
    told = repr(text) if len(text) <= 60 else f"{text[:60]!r}…"
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise ValueError(f"the name {told} holds half a character; type it again") from error
    if not text:
        raise ValueError("the name is empty; give one")
    if odd := _ODD.search(text):
        raise ValueError(f"the name {told} holds {odd[0]!r}, which some systems refuse; leave it out")
    parts = text.split("/")
    if ".." in parts or text.startswith("/"):
        raise ValueError(f"the name {told} leaves its folder; give a plain name")
    if size > DEEPEST or any(len(part.encode()) > LONGEST for part in parts):
        raise ValueError(f"the name {told} is too long; give one of at most {LONGEST} letters")
    for part in parts:
        if not part or part == ".":
            raise ValueError(f"the name {told} has a part without letters; give a plain name")
        if part.startswith("."):
            raise ValueError(f"the name {told} begins with a dot, and would be hidden; leave it out")
        if part != part.strip() or part.endswith("."):
            raise ValueError(
                f"the name {told} begins or ends in a space or a dot, which some systems drop; leave it out"
            )
        if _RESERVED.fullmatch(part):
            raise ValueError(f"the name {told} means a device on Windows; give another")
    return text


def folded(name: str) -> str:
    """What two names have in common that some system takes for one: capitals and the spelling of accents do not count."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def refuse_twin(folder: Path, name: str) -> None:
    """Refuse a name below a folder that differs from one that is there in capitals alone. Raises ValueError."""
    for part in PurePosixPath(name).parts:
        wanted = folded(part)
        try:
            there = [entry.name for entry in folder.iterdir()]
        except OSError:  # nothing there yet
            return
        if part not in there and (twins := [other for other in there if folded(other) == wanted]):
            raise ValueError(f"{name} differs from {twins[0]} in capitals alone, and some systems take them for one; give another name")  # fmt: skip
        folder = folder / part


class Taken:
    """The names that were given so far, each to somebody: which of them another name would replace, or lie in."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[str, str]] = {}
        self._folders: dict[str, tuple[str, str]] = {}

    def take(self, name: str, owner: str) -> tuple[str, str] | None:
        """Give a name away. Returns the name and the owner that it collides with, if any."""
        own = PurePosixPath(folded(name))
        around = [str(folder) for folder in own.parents]
        found = next((self._files[place] for place in (str(own), *around) if place in self._files), None)
        found = found or self._folders.get(str(own))
        self._files.setdefault(str(own), (name, owner))
        for folder in around:
            self._folders.setdefault(folder, (name, owner))
        return found
