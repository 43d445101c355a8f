"""Checksums of what lies on disk: CRC-32, which finds any damage up to 32 bits long and all but one in 2³² of others.

It guards against failing disks and mixed-up files, not against people. zlib's runs at 2 GB/s on one core, twice as fast as any hash
of the standard library that would do more.

`core` and `graph_runner` import nothing of each other, and each has this module; a test holds the two equal.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

PIECE = 1 << 20
"""Bytes that are read at once."""
_SEAL = "crc32"


def checksum(path: Path) -> str:
    """The checksum of a file, read piece by piece: none of it stays in memory."""
    crc, piece = 0, bytearray(PIECE)
    with path.open("rb", buffering=0) as file:
        while n := file.readinto(piece):
            crc = zlib.crc32(memoryview(piece)[:n], crc)
    return f"{crc:08x}"


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """A JSON object that carries its own checksum."""
    return {_SEAL: _of(content), **content}


def unsealed(content: Any) -> dict[str, Any]:
    """The JSON object that `sealed` was given. Raises ValueError where it is another; one without a checksum passes."""
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__} and no JSON object")
    bare = {name: value for name, value in content.items() if name != _SEAL}
    if content.get(_SEAL) not in (None, _of(bare)):
        raise ValueError("it is damaged: its checksum is another")
    return bare


def _of(content: dict[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(content).encode()):08x}"
