"""The models that lie in folders, as data: what `python -m graph_runner models` lists."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import TypedDict  # pydantic reads those of `typing` from Python 3.12 on

from graph_runner.base.contents import CHUNK, hash_of
from graph_runner.base.hashes import FileState, Hashes
from graph_runner.contract.describers import Described, Describer

THUMBNAILS = (".preview.png", ".png", ".preview.jpg", ".jpg", ".jpeg", ".preview.webp", ".webp")
"""How pictures beside a model end, as A1111 and ComfyUI's managers save them."""
MOST_HEADER = 100 * 2**20
DEEPEST = 12
"""Folders in one another that are looked through."""


class ModelFile(TypedDict):
    """A model that lies somewhere.

    path: of the file or folder. what: in words. dtype, parameters: "" and 0 where they are unknown. size: in bytes.
    hash: the first 10 digits of the file's SHA-256, which A1111 shows and Civitai calls AutoV2; "" for a folder.
    data_hash: the first 12 of the weights alone, without the header (Civitai's AutoV3), where that is asked for by its kind.
    words: what a prompt calls it up by. thumbnail: a picture beside it, or "". problem: why it cannot be used, or "".
    loads: the parameter of a node that takes its path, or "".
    """

    path: str
    what: str
    dtype: str
    parameters: int
    size: int
    hash: str
    data_hash: str
    words: list[str]
    thumbnail: str
    problem: str
    loads: str


@dataclass(frozen=True)
class _Look:
    """How folders are looked through: the arguments of `model_files`."""

    describers: Sequence[Describer]
    hashes: Hashes | None
    reads: bool
    may: Callable[[Path], bool]

    def below(self, path: Path, passed: Sequence[str], depth: int) -> Iterator[ModelFile]:
        if not self.may(path):
            return
        if (
            described := next((found for each in self.describers if (found := each(path)) is not None), None)
        ) is not None:
            yield self.listed(path, described)
        elif path.is_dir() and depth:
            try:
                inside = sorted(path.iterdir())
            except OSError as error:
                yield self.listed(path, Described("a folder", problem=f"cannot be opened: {error.strerror or error}"))
                return
            for each in inside:
                if not each.name.startswith(".") and each.name not in passed:
                    yield from self.below(each, (), depth - 1)

    def listed(self, path: Path, described: Described) -> ModelFile:
        size, whole, data = 0, "", ""
        problem = described.problem
        try:
            size = (
                path.stat().st_size
                if path.is_file()
                else sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
            )
            if self.hashes is not None and path.is_file():
                whole = _hash(path, self.hashes, self.reads)[:10]
                data = _data_hash(path)[:12] if described.shows_data and self.reads else ""
        except OSError as error:
            problem = problem or f"cannot be read: {error.strerror or error}"
        beside = (path.with_name(path.stem + ending) for ending in THUMBNAILS)
        picture = next((each for each in beside if each.is_file() and self.may(each)), None)
        return {
            "path": str(path),
            "what": described.what,
            "dtype": described.dtype,
            "parameters": described.parameters,
            "size": size,
            "hash": whole,
            "data_hash": data,
            "words": list(described.words),
            "thumbnail": "" if picture is None else str(picture),
            "problem": problem,
            "loads": described.loads,
        }


def model_files(
    folders: Iterable[Path],
    describers: Sequence[Describer],
    hashes: Hashes | None = None,
    passed: Sequence[str] = (),
    reads: bool = True,
    may: Callable[[Path], bool] = lambda _: True,
) -> Iterator[ModelFile]:
    """The models in these folders and below, by path; a path may also be of a model itself.

    hashes: those of earlier times, and where those that are computed now are kept; None tells none. passed: names of folders
    at the top that are not looked into. reads: whether a file is read whole for a hash that is not known yet. may: whether a path
    may be looked at. A model's folder is one model: what lies in it is not listed apart.
    """
    look = _Look(describers, hashes, reads, may)
    for folder in folders:
        yield from look.below(folder, passed, DEEPEST)


def _hash(path: Path, hashes: Hashes, reads: bool) -> str:
    state = FileState.of(path.stat())
    known = hashes.known([state]).get(state)
    if known is None and reads:
        known = hash_of(path)
        if not state.young:
            hashes.keep({state: known})
    return known or ""


def _data_hash(path: Path) -> str:
    """Of a safetensors file the SHA-256 of what follows its header; "" for others."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        start = file.read(9)
        length = int.from_bytes(start[:8], "little")
        if start[8:] != b"{" or length > MOST_HEADER:
            return ""
        file.seek(8 + length)
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
