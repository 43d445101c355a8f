"""What a prompt says at a step of sampling, and how much each of its words weighs there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from core.conditioning.prompt_syntax import Alternation, Break, Change, Emphasis, Item, Items, Reading, Words

BRACKETS = 1.1
"""What round brackets weigh their words by; square ones by its inverse."""
MOST_CELLS = 4096


class Fragment(NamedTuple):
    """Words of one weight."""

    text: str
    weight: float


class Moments(NamedTuple):
    """When prompts change: at these shares of the steps, at these steps, and in a period of so many steps."""

    shares: tuple[float, ...] = ()
    steps: tuple[int, ...] = ()
    period: int = 1

    @property
    def cells(self) -> int:
        """How many moments there are at most that say different things."""
        return (len(self.shares) + 1) * (len(self.steps) + 1) * self.period

    def cell(self, step: int, share: float) -> int:
        """The number of the moment that a step belongs to; step: counted from 0, share: of the steps that are done."""
        by_share, by_step = sum(share >= each for each in self.shares), sum(step >= each for each in self.steps)
        return (by_share * (len(self.steps) + 1) + by_step) * self.period + step % self.period

    def example(self, cell: int) -> tuple[int, float, int]:
        """A step, a share done, and a place in the period, that belong to a moment; the step may be of another place in the period."""
        rest, turn = divmod(cell, self.period)
        by_share, by_step = divmod(rest, len(self.steps) + 1)
        step = self.steps[by_step - 1] if by_step else -math.inf
        return int(max(step, -(2**62))), self.shares[by_share - 1] if by_share else -math.inf, turn


def moments(prompts: Sequence[Items]) -> Moments:
    """When any of these prompts changes. Raises ValueError for changes without measure."""
    shares, steps, period = set[float](), set[int](), 1
    for items in prompts:
        for item in every(items):
            if isinstance(item, Change) and item.counted:
                steps.add(int(item.when))
            elif isinstance(item, Change):
                shares.add(item.when)
            elif isinstance(item, Alternation):
                period = math.lcm(period, len(item.choices))
    found = Moments(tuple(sorted(shares)), tuple(sorted(steps)), period)
    if found.cells > MOST_CELLS:
        raise ValueError(
            f"the prompts change in {found.cells} ways, and at most {MOST_CELLS} are encoded; write fewer changes, "
            "or alternations of the same length"
        )
    return found


def every(items: Items) -> Iterator[Item]:
    """All items, those within others too."""
    for item in items:
        yield item
        match item:
            case Emphasis(inside):
                yield from every(inside)
            case Change(before, after):
                yield from every(before + after)
            case Alternation(choices):
                yield from every(sum(choices, ()))


def at(items: Items, step: int, share: float, turn: int) -> Items:
    """What a prompt says at a step, without changes. turn: of the alternations, which the step's number is elsewhere."""
    found: list[Item] = []
    for item in items:
        match item:
            case Emphasis(inside, weight, square):
                found.append(Emphasis(at(inside, step, share, turn), weight, square))
            case Change(before, after, when, counted):
                found += at(before if (step if counted else share) < when else after, step, share, turn)
            case Alternation(choices):
                found += at(choices[turn % len(choices)], step, share, turn)
            case _:
                found.append(item)
    return tuple(found)


def fragments(items: Items, reading: Reading) -> list[list[Fragment]]:
    """The words of a prompt without changes, with their weights; a list for what stands between two BREAKs.

    Neighbours of one weight are one fragment where weights are multiplied, as A1111 has it.
    """
    parts: list[list[Fragment]] = [[]]
    for found in _replaced(items, 1.0) if reading.replaces else _multiplied(items):
        if found is None:
            parts.append([])
        elif not reading.replaces and parts[-1] and parts[-1][-1].weight == found.weight:
            parts[-1][-1] = Fragment(parts[-1][-1].text + found.text, found.weight)
        else:
            parts[-1].append(found)
    return parts


def _multiplied(items: Items) -> Iterator[Fragment | None]:
    for item in items:
        match item:
            case Words(text):
                yield Fragment(text, 1.0)
            case Emphasis(inside, weight, square):
                factor = weight if weight is not None else 1 / BRACKETS if square else BRACKETS
                for found in _multiplied(inside):
                    yield found and Fragment(found.text, found.weight * factor)
            case Break():
                yield None


def _replaced(items: Items, around: float) -> Iterator[Fragment | None]:
    for item in items:
        match item:
            case Words(text):
                yield Fragment(text, around)
            case Emphasis(inside, weight):
                yield from _replaced(inside, around * BRACKETS if weight is None else weight)
