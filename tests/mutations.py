"""Small changes to files, as accidents and ill will make them; the same seed makes the same change."""

from __future__ import annotations

import copy
import json
import math
from random import Random
from typing import Any

ODD: list[Any] = [
    *(0, -1, -8, 1, 1_000_000, 10**9, 2**31, 2**63, 2**64, 10**30, 0.5, -1.5, 1e300, math.nan, math.inf),
    *("", "a", "..", "../x", "x" * 3000, "\0", "\ud800", "ä\u202e", "a.b.c", "sample", "inputs.x", "1"),
    *(True, False, None, [], {}, [[]], [{}], {"a": 1}, [0], [-1], [1] * 300, [1_000_000] * 3, ["a", "a"]),
]


def bytes_of(data: bytes, random: Random) -> bytes:
    """A text or file with some of its bytes flipped, cut, doubled, moved, or put in."""
    content = bytearray(data)
    for _ in range(random.choice([1, 1, 2, 8])):
        at, length = random.randrange(len(content) + 1), random.choice([1, 1, 2, 8, 64, 1024])
        match random.randrange(6):
            case 0 if at < len(content):
                content[at] ^= 1 << random.randrange(8)
            case 1:
                del content[at : at + length]
            case 2:
                content[at:at] = content[at : at + length] * random.choice([1, 2, 50])
            case 3:
                content[at:at] = random.randbytes(length)
            case 4:
                content[at : at + length] = random.choice([b"\0", b"\xff", b"9", b"[", b'"']) * length
            case _:
                del content[random.randrange(len(content) + 1) :]
    return bytes(content)


def document(value: Any, random: Random) -> Any:
    """A JSON document with some of its values replaced, removed, renamed, doubled, swapped or nested."""
    value = copy.deepcopy(value)
    for _ in range(random.choice([1, 1, 2, 4])):
        places = [place for place in _places(value) if len(place[0])]
        if not places:
            return random.choice(ODD)
        container, key = random.choice(places)
        match random.randrange(7):
            case 0 | 1:
                container[key] = copy.deepcopy(random.choice(ODD))
            case 2:
                del container[key]
            case 3 if isinstance(container, dict):
                container[random.choice(["", "A", "nodes", "body", "wires", "x" * 300, f"{key}x"])] = container[key]
            case 4:
                other, place = random.choice(places)
                if key in container if isinstance(container, dict) else key < len(container):
                    taken = copy.deepcopy(container[key])
                    container[key] = copy.deepcopy(other[place])
                    other[place] = taken
            case 5:
                container[key] = random.choice([[container[key]], {"a": container[key]}, [container[key]] * 3])
            case _ if isinstance(container, list):
                container.insert(key, copy.deepcopy(random.choice(ODD)))
    return value


def text(value: Any) -> bytes:
    """The JSON of a document with odd values in it: NaN, half surrogate pairs."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every container within a value, with each of its keys or indices."""
    found, waiting = [], [value]
    while waiting:
        container = waiting.pop()
        if isinstance(container, dict | list):
            keys = list(container) if isinstance(container, dict) else list(range(len(container)))
            found += [(container, key) for key in keys]
            waiting += [container[key] for key in keys]
    return found
