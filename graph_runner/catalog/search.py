"""Finding nodes by the words that people have for them: `nodes WORD…` of the command line. The canvas ranks what it has itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from graph_runner.catalog.describe import DescribedPort, describe
from graph_runner.contract import NodeSpec


def search(specs: Iterable[NodeSpec], query: str) -> list[tuple[NodeSpec, str]]:
    """The nodes in which every word of a query is found, best first, each with what it was found by ("" is its name).

    Names come before the words that a node says of itself and its former names, those before the choices of its parameters
    ("solver: euler"), and these before its category, parameters and documentation.
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
    """Among which texts a word is found first, and by what; None where it is not."""
    places = ((rank, by) for rank, texts in enumerate(_texts(spec)) for by, text in texts if word in plain(text))
    return next(places, None)


def _texts(spec: NodeSpec) -> Iterator[list[tuple[str, str]]]:
    """All that a node is found by, best first, those of one kind together: what is told of it, and the text."""
    yield [("", spec.type)]
    yield [*zip(spec.words, spec.words, strict=True), *((f"formerly {name}", name) for name in spec.formerly)]
    described = describe(spec)
    ports = described["inputs"]
    yield [(f"{port['name']}: {choice}", str(choice)) for port in ports for choice in _choices(port)]
    yield [("", spec.category)]
    yield [(port["name"], port["name"]) for port in ports]
    yield [("", " ".join([described["documentation"], *(port["help"] for port in ports)]))]


def _choices(port: DescribedPort) -> list[object]:
    widget = port.get("widget")
    return widget["choices"] if widget is not None and widget["kind"] == "choice" else []
