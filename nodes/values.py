"""Plain values as nodes, for what several nodes should share."""

from __future__ import annotations

from itertools import product
from typing import Annotated, TypeVar

from pydantic import Field

from graph_runner.contract import Ports, node

T = TypeVar("T")


@node(category="values", words=("int", "primitive", "constant"))
def integers(values: list[int]) -> list[int]:
    """Whole numbers, to wire into several places: the classes to sample and to caption, say.

    values: the numbers.
    """
    return values


@node(category="values", words=("float", "primitive", "constant"))
def numbers(values: list[float]) -> list[float]:
    """Numbers, to wire into several places or to sweep over.

    values: the numbers.
    """
    return values


@node(category="values", words=("string", "primitive", "prompt"))
def texts(values: list[str]) -> list[str]:
    """Texts, to wire into several places or to sweep over.

    values: the texts.
    """
    return values


@node(category="values")
def as_list(items: list[T]) -> list[T]:
    """Several wires as one list, to sweep over with for_each.

    items: of one type.
    """
    return items


@node(category="values")
def list_item(items: list[T], index: Annotated[int, Field(ge=-1_000_000, le=1_000_000)] = 0) -> T:
    """One of a list.

    items: the list.
    index: counted from 0; −1 is the last.
    """
    if not -len(items) <= index < len(items):
        raise ValueError(f"there is no item {index}: the list holds {len(items)}")
    return items[index]


@node(category="values", words=("grid search", "cartesian product", "sweep over two parameters", "repeat over seeds"))
def combinations(lists: Ports[list[T]]) -> Ports[list[T]]:
    """All combinations of the items of named lists, as lists side by side: to sweep over several parameters with one for_each.

    The last list changes fastest.

    lists: named lists, wired or typed in: {"scale": [1, 3, 5], "seed": [0, 1, 2]}.
    """
    rows = list(product(*lists.values()))
    return {name: [row[i] for row in rows] for i, name in enumerate(lists)}
