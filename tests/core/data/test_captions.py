"""Captions in the encodings and tables that people have; a malformed table is named with its line."""

import codecs
from pathlib import Path

import pytest

from core.data.captions import decode, is_caption, read_lines, read_table

TEXT = "ein Häuschen — “weiß”\n"


@pytest.mark.parametrize(
    "raw",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        TEXT.encode("utf-16"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
        TEXT.encode("cp1252"),
    ],
    ids=["utf-8", "utf-8 with a mark", "utf-16", "utf-16 big-endian", "utf-32", "cp1252"],
)
def test_every_encoding_gives_the_same_text(raw: bytes, tmp_path: Path) -> None:
    assert decode(raw) == TEXT
    (tmp_path / "a.txt").write_bytes(raw)
    assert read_lines(tmp_path / "a.txt") == [TEXT.strip()]


def test_any_bytes_are_some_text() -> None:
    assert decode(b"\xff\x81\x00 abc").endswith("abc")
    assert decode(b"") == ""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "metadata.jsonl",
            '{"file_name": "a.png", "text": "red"}\n\n{"file_name": "s\\\\b.png", "text": ["blue", "azure"]}',
        ),
        ("metadata.csv", 'file_name,text\na.png,red\ns/b.png,blue\ns/b.png,"azure"\n'),
        ("captions.csv", "File;Caption\r\na.png;red\r\n./s/b.png;blue\r\ns/b.png;azure\r\nc.png;\r\n"),
        (
            "captions.jsonl",
            '{"image": "a.png", "caption": "red", "size": 3}\n{"image": "s/b.png", "caption": ["blue", null, "azure"]}',
        ),
    ],
)
def test_tables_of_several_kinds_say_the_same(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(codecs.BOM_UTF8 + content.encode())
    assert read_table(tmp_path / name) == {"a.png": ["red"], "s/b.png": ["blue", "azure"]}
    assert is_caption(f"sub/{name}")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("metadata.jsonl", '{"file_name": "a.png", "text": "red"}\n{"file_name": ', "line 2: not JSON"),
        ("metadata.jsonl", "[1]", "line 1: not an object"),
        ("metadata.jsonl", '{"file_name": "a.png"}', "no column for the caption (text, caption"),
        ("metadata.csv", "name,label\na,b\n", "line 2: no column for the picture (file_name"),
    ],
)
def test_a_malformed_table_is_named_with_its_line(name: str, content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=name) as caught:
        read_table(tmp_path / name)
    assert words in str(caught.value)


def test_which_files_hold_captions() -> None:
    assert all(map(is_caption, ("a.txt", "A.CAPTION", "sub/metadata.jsonl")))
    assert not any(map(is_caption, ("a.png", "notes.csv", "txt", "metadata.jsonl.bak")))
