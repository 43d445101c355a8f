"""Checksums in what is saved: a safetensors file carries one of itself in its header, a folder's JSON those of its files.

    {"__metadata__": {"crc32": "9a3f00d1", …}, …}

is CRC-32 of the whole file, its own eight digits counted as zeros: names, shapes, texts and every tensor. Files of other
programs carry none, and are read as they are.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from core.checkpoints.files import CheckpointError
from core.checksums import PIECE, checksum

_SEAL = re.compile(rb'"crc32":"([0-9a-f]{8})"')
_BLANK = b"00000000"
_LARGEST_HEADER = 100_000_000  # bytes, as safetensors has it


def write_sealed(tensors: dict[str, Tensor], path: Path, texts: Mapping[str, str]) -> None:
    """Write a safetensors file with its checksum; equal tensors and texts give equal files. Raises OSError.

    texts: what the header is to hold besides.
    """
    try:
        save_file(tensors, path, {**texts, "crc32": _BLANK.decode()})
    except SafetensorError as error:  # it hides what the system said
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number[1]) if number else 0, str(error), str(path)) from error
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))  # the library's order changes each time
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode().ljust(length)
        file.seek(8)
        file.write(text)
        file.seek(8 + length)
        seal = _crc(file, zlib.crc32(length.to_bytes(8, "little") + text))
        found = _SEAL.search(text)
        assert found is not None
        file.seek(8 + found.start(1))
        file.write(seal)


def seal_of(path: Path) -> str | None:
    """The checksum that a safetensors file carries."""
    with path.open("rb") as file:
        found = _SEAL.search(_header(file))
    return found[1].decode() if found else None


def check_seal(path: Path) -> None:
    """Hold a (well-formed) safetensors file against the checksum that it carries; none of it stays in memory.

    Raises CheckpointError, naming the file, where it is another.
    """
    with path.open("rb") as file:
        start = _header(file)
        found = _SEAL.search(start)
        if found is None:
            return
        begin, end = found.span(1)
        if _crc(file, zlib.crc32(start[:begin] + _BLANK + start[end:])) != found[1]:
            raise CheckpointError(f"{path} is damaged: its checksum is another. Save it again, or copy it anew.")


def seals(folder: Path) -> dict[str, str]:
    """The checksums of all files in a folder, by their relative names."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _seal(path) for path in files}


def check_seals(folder: Path, wanted: Mapping[str, str]) -> None:
    """Hold a folder's files against their checksums; of safetensors files, whose content is checked when it is read, the seal.

    Raises CheckpointError, naming the file that is missing or another.
    """
    for name, seal in wanted.items():
        path = folder / name
        if not path.is_file():
            raise CheckpointError(f"{path} is missing, a part of what was saved; copy the whole folder again.")
        if _seal(path) != seal:
            raise CheckpointError(
                f"{path} is damaged, or belongs to another model: its checksum is another. Copy the whole folder again."
            )


def _seal(path: Path) -> str:
    return (path.suffix == ".safetensors" and seal_of(path)) or checksum(path)


def _header(file: BinaryIO) -> bytes:
    """The length of a header and the header, as far as that can be one."""
    length = file.read(8)
    return length + file.read(min(int.from_bytes(length, "little"), _LARGEST_HEADER))


def _crc(file: BinaryIO, crc: int) -> bytes:
    """The checksum so far, carried on to the end of a file."""
    piece = bytearray(PIECE)
    while n := file.readinto(piece):  # type: ignore[attr-defined]
        crc = zlib.crc32(memoryview(piece)[:n], crc)
    return f"{crc:08x}".encode()
