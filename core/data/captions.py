"""Captions as people keep them: a text file beside each picture, or one table for a folder of them.

Text files end in .txt or .caption, several lines being several captions of one picture. Tables are those of Hugging Face's image
folders, metadata.jsonl or metadata.csv, or captions.jsonl and captions.csv: a row a picture, with a column for its file, relative
to the table, and one for its caption.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

TEXTS = (".txt", ".caption")
TABLES = ("metadata.jsonl", "metadata.csv", "captions.jsonl", "captions.csv")
FILE_COLUMNS = ("file_name", "filename", "file", "image", "image_path", "path")
CAPTION_COLUMNS = ("text", "caption", "prompt", "description")

_MARKS = (  # the longer ones first: UTF-32's begins as UTF-16's does
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def is_caption(name: str) -> bool:
    """Whether a file of this name may hold captions."""
    name = name.lower()
    return name.endswith(TEXTS) or name.rpartition("/")[2] in TABLES


def decode(raw: bytes) -> str:
    """Text in the encoding that its byte order mark names, in UTF-8, or as old Windows programs wrote it (cp1252)."""
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            return raw.decode(encoding, errors="replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")


def read_lines(file: Path) -> list[str]:
    """The captions of one picture, from the text file beside it."""
    return [line.strip() for line in decode(file.read_bytes()).splitlines() if line.strip()]


def read_table(file: Path) -> dict[str, list[str]]:
    """Captions by the picture's path relative to the table, with forward slashes; empty ones are left out.

    Raises ValueError naming the table, and the line where one is malformed.
    """
    found: dict[str, list[str]] = {}
    for line, row in read_rows(file):
        name, caption = _column(row, FILE_COLUMNS), _column(row, CAPTION_COLUMNS)
        if name is None or caption is None:
            missing, names = ("picture", FILE_COLUMNS) if name is None else ("caption", CAPTION_COLUMNS)
            has = ", ".join(map(str, row)) or "nothing"
            raise ValueError(f"{file}, line {line}: no column for the {missing} ({', '.join(names)}); it has {has}")
        captions = caption if isinstance(caption, list) else [caption]
        texts = [str(each).strip() for each in captions if each is not None and str(each).strip()]
        if texts:
            found.setdefault(str(PurePosixPath(str(name).replace("\\", "/"))), []).extend(texts)
    return found


def read_rows(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The rows of a table, JSON lines or CSV, each with its line. Raises ValueError naming both where one is malformed."""
    text = decode(file.read_bytes())
    return _json_rows(text, file) if file.suffix.lower() in (".jsonl", ".ndjson") else _csv_rows(text, file)


def _column(row: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """The first of these columns that the row has; an empty caption is one."""
    known = {str(name).strip().lower(): value for name, value in row.items() if name is not None}
    return next(("" if known[name] is None else known[name] for name in names if name in known), None)


def _json_rows(text: str, file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for line, content in enumerate(text.splitlines(), start=1):
        if not content.strip():
            continue
        try:
            row = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{file}, line {line}: not JSON ({error})") from error
        if not isinstance(row, dict):
            raise ValueError(f'{file}, line {line}: not an object such as {{"file_name": …, "text": …}}')
        yield line, row


def _csv_rows(text: str, file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    head = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count))
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise ValueError(f"{file}, line {reader.line_num}: {error}") from error
