"""From the text of a workflow file to plain JSON values, within limits that no workflow meets.

Whatever the text holds, the answer comes within seconds and takes little memory: what is too large is counted before it
is looked at, and refused. What JSON leaves open is settled here: each key once in an object, numbers that all readers
read alike, texts that can be written again.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from graph_runner.base.problems import Problem, Problems, TooManyProblemsError, WorkflowError, shortened

MOST_BYTES = 8 * 2**20
MOST_VALUES = 250_000
"""Entries of lists and objects together; a node has about 12."""
MOST_DEPTH = 128
"""Lists and objects within each other; a zone takes 3."""
LEAST_INTEGER, LARGEST_INTEGER = -(2**63), 2**64 - 1
"""What every reader, the canvas and PyTorch can hold; seeds go up to 2^64 − 1."""


def parse(text: str | bytes, source: str) -> tuple[dict[str, Any], Problems]:
    """The JSON object that a text holds, and what is wrong in it besides its form.

    Bytes may be UTF-8, UTF-16 or UTF-32, with a byte order mark or without. Raises WorkflowError, naming `source`, where
    there is no such object.
    """
    if len(text) > MOST_BYTES:
        raise _refused(f"{source} is larger than {MOST_BYTES // 2**20} MiB, which no workflow is")
    problems = Problems()
    try:
        document = json.loads(
            text.removeprefix("\ufeff") if isinstance(text, str) else text,
            object_pairs_hook=_unique(source, problems),
            parse_int=_integer(source, problems),
            parse_float=_finite(source, problems),
            parse_constant=_finite(source, problems),
        )
        if isinstance(document, dict):
            _within_limits(document, source)
    except json.JSONDecodeError as error:
        detail = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise _refused(f"{source} is no valid JSON ({detail})", _looks_like(text)) from error
    except UnicodeDecodeError as error:
        detail = f"byte {error.start + 1} is no {error.encoding}"
        raise _refused(f"{source} is no valid JSON ({detail})", _looks_like(text)) from error
    except RecursionError as error:
        raise _refused(_too_deep(source)) from error
    except TooManyProblemsError as error:
        raise WorkflowError(problems) from error
    if not isinstance(document, dict):
        raise _refused(f"{source} holds no JSON object", 'A workflow begins with {"loom": 1, "nodes": …}')
    return document, problems


KINDS = {
    b"\x89PNG": "a PNG picture that was cut or renamed",
    b"\xff\xd8\xff": "a JPEG picture, which carries no workflow; give the PNG that a run saved",
    b"GIF8": "a GIF picture, which carries no workflow",
    b"RIFF": "a WebP picture or a sound, which carries no workflow; give the PNG that a run saved",
    b"PK\x03\x04": "a zip archive, such as a .ckpt model or packed files",
    b"\x80\x02": "a pickle, such as an old .ckpt model",
    b"%PDF": "a PDF",
    b"\x7fELF": "a program",
    b"<": "a web page or SVG",
    b"version https://git-lfs": "a Git LFS pointer; run `git lfs pull` beside it",
}
"""What a file is that begins so, and is no workflow."""


def _looks_like(text: str | bytes) -> str:
    """What to do about a text that is no JSON, by what it is instead."""
    start = text[:32].encode(errors="replace") if isinstance(text, str) else text[:32]
    if not start.strip():
        return "The file is empty"
    if start[8:9] == b"{" and start[7:8] == b"\0":
        return "It is a safetensors model; a workflow loads it by a node"
    for begins, kind in KINDS.items():
        if start.startswith(begins):
            return f"It is {kind}"
    return "Open it in an editor and mend that place"


def foreign(document: dict[str, Any]) -> str:
    """What a JSON object is that has no version of ours: a sentence, empty where it is nothing known."""
    if isinstance(document.get("nodes"), list) and "links" in document:
        return "It is a ComfyUI workflow: say `import FILE`, or drop it on the canvas"
    if document and all(isinstance(value, dict) and "class_type" in value for value in document.values()):
        return "It is a ComfyUI prompt in the API's form: say `import FILE`, or drop it on the canvas"
    if "_class_name" in document or "model_type" in document:
        return "It is the configuration of a model; a workflow loads the model's folder by a node"
    return ""


def _refused(message: str, remedy: str = "") -> WorkflowError:
    return WorkflowError([Problem(message, remedy=remedy)])


def _too_deep(source: str) -> str:
    return f"{source} nests lists and objects deeper than {MOST_DEPTH}, which no workflow does"


def _within_limits(document: dict[str, Any], source: str) -> None:
    """Go through all values, level by level: no recursion, whatever the depth."""
    level: list[Any] = [document]
    values = depth = 0
    while level:
        depth, values = depth + 1, values + sum(map(len, level))
        if depth > MOST_DEPTH:
            raise _refused(_too_deep(source))
        if values > MOST_VALUES:
            raise _refused(f"{source} holds more than {MOST_VALUES:,} values, which no workflow does")
        below: list[Any] = []
        for container in level:
            for value in _parts(container):
                if isinstance(value, dict | list):
                    below.append(value)
                elif isinstance(value, str) and not writable(value):
                    message = f"{source} holds a text with half of a surrogate pair: {shortened(value)}"
                    raise _refused(message, "Remove that character")
        level = below


def _parts(container: dict[str, Any] | list[Any]) -> Iterator[Any]:
    if isinstance(container, dict):
        yield from container
        yield from container.values()
    else:
        yield from container


def writable(text: str) -> bool:
    """Whether a text can be written as UTF-8: half of a surrogate pair cannot."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _unique(source: str, problems: Problems) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            counts = Counter(key for key, _ in pairs)
            problems.extend(
                Problem(
                    f"{source} holds the key {shortened(key)} twice in one object",
                    key if len(key) < 100 else "",
                    remedy="Rename or remove one of them",
                )
                for key, n in counts.items()
                if n > 1
            )
        return result

    return build


def _integer(source: str, problems: Problems) -> Callable[[str], int]:
    def build(literal: str) -> int:
        value = int(literal) if len(literal) <= 20 else LARGEST_INTEGER + 1
        if not LEAST_INTEGER <= value <= LARGEST_INTEGER:
            message = f"{source} holds the whole number {shortened(literal, quoted=False)}"
            problems.append(Problem(message, remedy="Whole numbers go from −2^63 to 2^64 − 1"))
        return value

    return build


def _finite(source: str, problems: Problems) -> Callable[[str], float]:
    def build(literal: str) -> float:
        value = float(literal)
        if not math.isfinite(value):
            message = f"{source} holds the number {shortened(literal, quoted=False)}"
            problems.append(Problem(message, remedy="JSON has finite numbers only"))
        return value

    return build
