"""The documentation as data: its pages, and the fenced blocks and links in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "ui").glob("*.md")])
PROGRAMS = (["./loom"], ["python", "-m", "graph_runner"])


class Block(NamedTuple):
    """A fenced block: where it stands, what follows the fence's language, and its text."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(language: str) -> list[Block]:
    """Every fenced block in a language, in order."""
    return [block for page in PAGES for block in _blocks(page) if block.language == language]


def _blocks(page: Path) -> Iterator[Block]:
    fence = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    text = page.read_text(encoding="utf-8")
    for found in fence.finditer(text):
        yield Block(page, text.count("\n", 0, found.start()) + 2, found[1], found[2])


def commands() -> list[tuple[Block, list[str]]]:
    """The arguments of every command of ours that a page shows."""
    found = []
    for block in blocks("sh"):
        for line in block.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            for program in PROGRAMS:
                if words[: len(program)] == program:
                    found.append((block, words[len(program) :]))
    return found


def links(page: Path) -> list[str]:
    """Every link of a page to something of ours."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"\]\(([^)\s]+)\)|<img [^>]*src=\"([^\"]+)\"", text)
    return [target for pair in found for target in pair if target and "://" not in target]
