"""What happens to files on failing disks and in careless hands."""

from __future__ import annotations

import random
from pathlib import Path


def flip(path: Path, at: int, bit: int = 0) -> None:
    """Another bit in the byte at a position, counted from the end where it is negative."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << bit
    path.write_bytes(content)


def truncate(path: Path, share: float) -> None:
    """Only the first part."""
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


def swap(a: Path, b: Path) -> None:
    """Each under the other's name."""
    aside = a.with_name("aside")
    a.rename(aside)
    b.rename(a)
    aside.rename(b)


def any_damage(chance: random.Random, file: Path, other: Path) -> str:
    """Damage a file in a way drawn by chance; `other` is one that may be taken for it. Returns what was done."""
    size = file.stat().st_size
    match chance.choice(
        ["flip", "flip", "flip", "header", "burst", "zeros", "cut", "cut", "empty", "gone", "folder", "swap"]
    ):
        case "flip":
            at, bit = chance.randrange(size), chance.randrange(8)
            flip(file, at, bit)
            return f"{file.name}: bit {bit} of byte {at}"
        case "header":
            at = chance.randrange(min(size, 100))
            flip(file, at, chance.randrange(8))
            return f"{file.name}: header, byte {at}"
        case "burst" | "zeros" as how:
            at, length = chance.randrange(size), chance.randint(1, 64)
            content = bytearray(file.read_bytes())
            new = chance.randbytes(length) if how == "burst" else bytes(length)
            content[at : at + length] = new[: len(content) - at]
            if content == file.read_bytes():
                content[at] ^= 255
            file.write_bytes(content)
            return f"{file.name}: {how}, {length} bytes at {at}"
        case "cut":
            share = chance.random() * 0.999
            truncate(file, share)
            return f"{file.name}: cut at {share:.3f}"
        case "empty":
            file.write_bytes(b"")
            return f"{file.name}: empty"
        case "gone":
            file.unlink()
            return f"{file.name}: gone"
        case "folder":
            file.unlink()
            file.mkdir()
            return f"{file.name}: a folder"
        case how:
            swap(file, other)
            return f"{file.name}: {how}ped with {other}"
