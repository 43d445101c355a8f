"""Plain values as nodes, for what several nodes should share."""

from __future__ import annotations

from graph_runner.contract import node


@node(category="values")
def integers(values: list[int]) -> list[int]:
    """Whole numbers, to wire into several places: the classes to sample and to caption, say.

    values: the numbers.
    """
    return values


@node(category="values")
def numbers(values: list[float]) -> list[float]:
    """Numbers, to wire into several places or to sweep over.

    values: the numbers.
    """
    return values


@node(category="values")
def texts(values: list[str]) -> list[str]:
    """Texts, to wire into several places or to sweep over.

    values: the texts.
    """
    return values
