"""What is written in a prompt besides words: emphasis, changes on the way, breaks, several prompts in one.

    (red:1.3)       counts 1.3 times; (red) 1.1 times, [red] 1/1.1 times; brackets nest
    [red:blue:.5]   red for the first half of the steps, then blue; [blue:.5] nothing, then blue; [red::5] red for five steps
    [red|blue]      red and blue in turn, step by step
    BREAK           what follows is encoded apart
    a AND b :0.5    two prompts, the second of half the weight (Liu et al. 2022, "Compositional Visual Generation")
    \\( \\[ \\:       a bracket, a colon, a bar or a backslash as it is

Nothing written is an error: what is not understood is read as words, and told with its place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, NamedTuple

Style = Literal["plain", "a1111", "comfyui", "compel"]

DEEPEST = 64
"""Brackets in one another."""
NUMBER = re.compile(r"\s*([+-]?[0-9]*\.?[0-9]+)\s*")
BREAK = re.compile(r"\s*\bBREAK\b\s*")
AND = re.compile(r"\s*\bAND\b(?!_)\s*")


@dataclass(frozen=True)
class Words:
    """Plain text."""

    text: str


@dataclass(frozen=True)
class Emphasis:
    """What stands in brackets that weigh it. weight: None where only the brackets say it."""

    inside: Items
    weight: float | None = None
    square: bool = False


@dataclass(frozen=True)
class Change:
    """`before` up to a moment, then `after`. when: a share of the steps, or, where `counted`, their number."""

    before: Items
    after: Items
    when: float
    counted: bool


@dataclass(frozen=True)
class Alternation:
    """One after the other, step by step."""

    choices: tuple[Items, ...]


@dataclass(frozen=True)
class Break:
    """What follows is encoded apart."""


Item = Words | Emphasis | Change | Alternation | Break
Items = tuple[Item, ...]


class Branch(NamedTuple):
    """One of the prompts that AND joins."""

    items: Items
    weight: float = 1.0


class Remark(NamedTuple):
    """Something that was not understood. at: its place in the text, counted from 0."""

    at: int
    what: str

    def __str__(self) -> str:
        return f"character {self.at + 1}: {self.what}"


class Prompt(NamedTuple):
    """A prompt that was read."""

    branches: tuple[Branch, ...]
    remarks: tuple[Remark, ...] = ()


class Reading(NamedTuple):
    """How a program reads brackets.

    escapes: what a backslash takes literally. square: [ ] are brackets. language: changes, BREAK and AND are understood.
    to_the_end: a bracket that is not closed reaches to the end; otherwise it is a letter. replaces: the weight of an inner bracket
    stands in place of the outer one's; otherwise both are multiplied.
    """

    escapes: str
    square: bool = True
    language: bool = True
    to_the_end: bool = False
    replaces: bool = False


READINGS: dict[Style, Reading] = {
    "plain": Reading("()[]\\", language=False),
    "a1111": Reading("()[]\\:|", to_the_end=True),
    "comfyui": Reading("()", square=False, language=False, replaces=True),
    "compel": Reading("()[]\\:|"),
}


def parse(text: str, reading: Reading) -> Prompt:
    """Read a prompt; nothing is refused, what is not understood is in the remarks."""
    if not reading.language:
        parser = _Parser(text, reading, 0)
        return Prompt((Branch(parser.items()),), tuple(parser.remarks))
    branches, remarks, start = [], list[Remark](), 0
    for match in (*AND.finditer(text), None):
        end = len(text) if match is None else match.start()
        parser = _Parser(text[start:end], reading, start)
        branches.append(parser.branch())
        remarks += sorted(parser.remarks)
        start = end if match is None else match.end()
    return Prompt(tuple(branches), tuple(remarks))


@dataclass
class _Open:
    """A bracket that is open. parts: what stands between its separators."""

    bracket: str
    at: int
    parts: list[list[Item]] = field(default_factory=lambda: [[]])
    separators: str = ""

    def add(self, item: Item) -> None:
        self.parts[-1].append(item)

    def separate(self, separator: str) -> None:
        self.separators += separator
        self.parts.append([])

    def joined(self, count: int | None = None) -> list[Item]:
        """The first `count` parts, or all, their separators read as letters."""
        items = list(self.parts[0])
        for separator, part in zip(self.separators, self.parts[1:count], strict=False):
            items += [Words(separator), *part]
        return items

    def number(self) -> str | None:
        """The number that the last part is, as it is written; None where it is none."""
        text = "".join(item.text if isinstance(item, Words) else "x" for item in self.parts[-1])
        match = NUMBER.fullmatch(text) if self.separators.endswith(":") else None
        return match.group(1) if match and math.isfinite(float(match.group(1))) else None


class _Parser:
    """One pass over a text, with a stack of open brackets."""

    def __init__(self, text: str, reading: Reading, offset: int) -> None:
        self.reading, self.offset = reading, offset
        self.remarks: list[Remark] = []
        self.stack = [_Open("", 0)]
        special = "()[]" if reading.square else "()"
        separators = ":|" if reading.language else ":"
        pattern = rf"\\[{re.escape(reading.escapes)}]|[{re.escape(special + separators)}]|[^\\{re.escape(special + separators)}]+|\\"
        for match in re.finditer(pattern, text):
            self._take(match.group(), match.start())
        while len(self.stack) > 1:
            self._unclosed()

    def items(self) -> Items:
        """All of the text."""
        return self._tidy(self.stack[0].joined())

    def branch(self) -> Branch:
        """All of the text, and the weight that it ends with."""
        whole = self.stack[0]
        number = whole.number()
        if number is None:
            return Branch(self._tidy(whole.joined()))
        return Branch(self._tidy(whole.joined(len(whole.parts) - 1)), float(number))

    def _remark(self, at: int, what: str) -> None:
        self.remarks.append(Remark(self.offset + at, what))

    def _take(self, token: str, at: int) -> None:
        top = self.stack[-1]
        if token in ("(", "["):
            if len(self.stack) > DEEPEST:
                self._remark(at, f"brackets stand in more than {DEEPEST} others; this one is read as a letter")
                top.add(Words(token))
            else:
                self.stack.append(_Open(token, at))
        elif token in (")", "]"):
            if top.bracket != {")": "(", "]": "["}[token]:
                self._remark(at, f"“{token}” closes no bracket; it is read as a letter")
                top.add(Words(token))
            else:
                self.stack.pop()
                self.stack[-1].add(self._round(top) if token == ")" else self._square(top))
        elif token == ":" or (token == "|" and self.reading.language):
            top.separate(token)
        else:
            top.add(Words(token[1:] if len(token) == 2 and token[0] == "\\" else token))

    def _round(self, group: _Open) -> Emphasis:
        number = group.number()
        if number is None:
            return Emphasis(self._tidy(group.joined()))
        return Emphasis(self._tidy(group.joined(len(group.parts) - 1)), float(number))

    def _square(self, group: _Open) -> Item:
        if self.reading.language and group.separators:
            if set(group.separators) == {"|"}:
                return Alternation(tuple(self._tidy(part) for part in group.parts))
            number = group.number()
            if group.separators in (":", "::") and number is not None:
                *before, after = (self._tidy(part) for part in group.parts[:-1])
                return Change(before[0] if before else (), after, float(number), "." not in number)
            self._remark(
                group.at, "this bracket is no [from:to:when], whose “when” is a number, and no [one|other]; it weighs"
            )
        return Emphasis(self._tidy(group.joined()), square=True)

    def _unclosed(self) -> None:
        group = self.stack.pop()
        if self.reading.to_the_end:
            self._remark(group.at, f"“{group.bracket}” is never closed; it reaches to the end")
            self.stack[-1].add(Emphasis(self._tidy(group.joined()), square=group.bracket == "["))
            return
        self._remark(group.at, f"“{group.bracket}” is never closed; it is read as a letter")
        top = self.stack[-1]
        top.add(Words(group.bracket))
        for item in group.parts[0]:
            top.add(item)
        for separator, part in zip(group.separators, group.parts[1:], strict=True):
            top.separate(separator)
            for item in part:
                top.add(item)

    def _tidy(self, items: Sequence[Item]) -> Items:
        """Words that follow one another are one; BREAK stands apart."""
        tidy: list[Item] = []
        for item in items:
            if isinstance(item, Words) and tidy and isinstance(tidy[-1], Words):
                tidy[-1] = Words(tidy[-1].text + item.text)
            else:
                tidy.append(item)
        return tuple(self._broken(tidy)) if self.reading.language else tuple(tidy)

    def _broken(self, items: Sequence[Item]) -> Iterator[Item]:
        for item in items:
            if not isinstance(item, Words):
                yield item
                continue
            for number, part in enumerate(BREAK.split(item.text)):
                if number:
                    yield Break()
                if part:
                    yield Words(part)


def written(branches: Sequence[Branch]) -> str:
    """The text that is read as these branches again, where the language is understood."""
    return " AND ".join(
        _written(each.items) + ("" if each.weight == 1 else f":{_number(each.weight)}") for each in branches
    )


def _written(items: Items) -> str:
    return "".join(map(_item, items))


def _item(item: Item) -> str:
    match item:
        case Words(text):
            return re.sub(r"([()\[\]\\:|])", r"\\\1", text)
        case Emphasis(inside, weight, square):
            if square:
                return f"[{_written(inside)}]"
            return f"({_written(inside)}{'' if weight is None else ':' + _number(weight)})"
        case Change(before, after, when, counted):
            moment = str(int(when)) if counted else _number(when)
            return f"[{_written(before)}:{_written(after)}:{moment if counted or '.' in moment else moment + '.0'}]"
        case Alternation(choices):
            return f"[{'|'.join(map(_written, choices))}]"
        case _:
            return " BREAK "


def _number(value: float) -> str:
    return format(Decimal(repr(value)), "f")
