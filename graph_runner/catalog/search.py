"""Finding nodes by the words that people have for them: `nodes WORD…` of the command line. The canvas ranks what it has itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from graph_runner.catalog.describe import DescribedPort, describe
from graph_runner.contract import NodeSpec


def search(specs: Iterable[NodeSpec], query: str) -> list[tuple[NodeSpec, str]]:
    """The nodes in which every word of a query is found, best first, each with what it was found by ("" is its name).

    Names come before the words that a node says of itself, those before the choices of its parameters ("solver: euler"),
    and these before its category, parameters and documentation.
    """
    asked = plain(query).split()
    found: list[tuple[int, str, NodeSpec]] = []
    for spec in specs:
        places = [place for word in asked if (place := _place(spec, word)) is not None]
        if asked and len(places) == len(asked):
            found.append((*max(places), spec))
    return [(spec, by) for _, by, spec in sorted(found, key=lambda each: (each[0], each[2].type))]


def plain(text: str) -> str:
    """A text as it is compared: small letters, and no difference between `_`, `-` and a space."""
    return text.lower().replace("_", " ").replace("-", " ")


def _place(spec: NodeSpec, word: str) -> tuple[int, str] | None:
    """Where a word is found first, and by what; None where it is not."""
    return next(((rank, by) for rank, (by, text) in enumerate(_texts(spec)) if word in plain(text)), None)


def _texts(spec: NodeSpec) -> Iterator[tuple[str, str]]:
    """All that a node is found by, best first: what is told of it, and the text."""
    yield "", spec.type
    yield from zip(spec.words, spec.words, strict=True)
    yield from ((f"formerly {name}", name) for name in spec.formerly)
    described = describe(spec)
    yield from ((f"{port['name']}: {choice}", str(choice)) for port in described["inputs"] for choice in _choices(port))
    yield "", spec.category
    yield from ((port["name"], port["name"]) for port in described["inputs"])
    yield "", " ".join([described["documentation"], *(port["help"] for port in described["inputs"])])


def _choices(port: DescribedPort) -> list[object]:
    widget = port.get("widget")
    return widget["choices"] if widget is not None and widget["kind"] == "choice" else []
