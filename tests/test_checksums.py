"""Checksums of what lies on disk, of the library and of the engine alike."""

from __future__ import annotations

import zlib
from pathlib import Path
from types import ModuleType

import pytest

import core.checksums
import graph_runner.base.checksums

TWINS = pytest.mark.parametrize("own", [core.checksums, graph_runner.base.checksums], ids=["core", "graph_runner"])


@TWINS
@pytest.mark.parametrize("size", [0, 1, core.checksums.PIECE - 1, core.checksums.PIECE, core.checksums.PIECE + 1])
def test_a_file_is_read_whole_however_large_it_is(own: ModuleType, size: int, tmp_path: Path) -> None:
    content = bytes(i % 251 for i in range(size))
    (tmp_path / "file").write_bytes(content)
    assert own.checksum(tmp_path / "file") == f"{zlib.crc32(content):08x}"


@TWINS
def test_a_json_object_carries_its_own(own: ModuleType) -> None:
    content = {"b": [1, 2.5, None], "a": {"é": "x"}}
    assert own.unsealed(own.sealed(content)) == content
    assert own.unsealed(content) == content


@TWINS
@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({**core.checksums.sealed({"a": 1}), "a": 2}, "damaged"),
        ({**core.checksums.sealed({"a": 1}), "b": 2}, "damaged"),
        ([1], "holds a list and no JSON object"),
        (None, "holds a NoneType"),
    ],
)
def test_another_content_is_noticed(own: ModuleType, content: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        own.unsealed(content)
