"""The grammar of a node's docstring: a first line, prose, and `name: help` lines of its parameters, which may go on below."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass


@dataclass(frozen=True)
class Docstring:
    """A docstring in its parts. prose: the text without the lines of parameters; help: those, by parameter, each in one line."""

    summary: str
    prose: str
    help: dict[str, str]


def read(text: str, names: Container[str]) -> Docstring:
    """Take a docstring apart. names: of the parameters; a line that begins with another word and a colon is prose.

    What follows the line of a parameter belongs to it, up to an empty line or the next parameter.
    """
    helps: dict[str, str] = {}
    prose: list[str] = []
    current = ""
    for line in text.splitlines():
        start = re.match(r"(\w+): (.+)", line)
        if start and start[1] in names:
            current, helps[start[1]] = start[1], start[2]
        elif current and line.strip():
            helps[current] += " " + line.strip()
        else:
            current = ""
            prose.append(line)
    told = re.sub(r"\n{3,}", "\n\n", "\n".join(prose)).strip()
    return Docstring(text.splitlines()[0].strip() if text else "", told, helps)
