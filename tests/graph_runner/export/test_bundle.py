"""Functions copied out of their modules: what they use comes along, what is for the engine stays behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from graph_runner.export.bundle import Bundle
from graph_runner.export.sources import UnreadableError

WIRES = """
from typing import Annotated
from graph_runner.contract import Wire

Number = Annotated[float, Wire("number")]
LIMIT = 3.0  # of all numbers
"""
LIBRARY = """
def half(x):
    return x / 2
"""
NODES = """
from __future__ import annotations

import math as maths
from functools import cache
from typing import NamedTuple

from graph_runner.contract import node
from {package} import library
from {package}.library import half as halved
from {package}.wires import LIMIT, Number


class Pair(NamedTuple):
    \"\"\"Two.\"\"\"

    low: Number
    high: Number


@cache
def _limit(limit: float = LIMIT) -> float:
    return limit


@node(category="toy")
def pair(x: Number, library_: float = maths.pi) -> Pair:
    \"\"\"Halves.\"\"\"
    half: Number = halved(min(x, _limit()))
    return Pair(half, library.half(x) + library_)


@node(category="toy")
def strange(x: float = 1.0) -> float:
    \"\"\"Uses what is nowhere.\"\"\"
    from {package}.wires import LIMIT

    return x + LIMIT


@node(category="toy")
def hidden(pair_: float = 1.0) -> float:
    \"\"\"A local name like an import of the script's.\"\"\"
    half = pair_
    return halved(half)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package of nodes with a library of its own."""
    name = "bundled_" + tmp_path.name
    folder = tmp_path / name
    folder.mkdir()
    for module, text in {"__init__": "", "wires": WIRES, "library": LIBRARY, "nodes": NODES}.items():
        (folder / f"{module}.py").write_text(text.replace("{package}", name))
    monkeypatch.syspath_prepend(tmp_path)
    __import__(f"{name}.nodes")
    yield name
    for module in [each for each in sys.modules if each.partition(".")[0] == name]:
        del sys.modules[module]


def made(bundle: Bundle) -> dict[str, object]:
    text = "\n".join([*bundle.imports(), *bundle.definitions.values()])
    assert "graph_runner" not in text
    assert "wires" not in text
    values: dict[str, object] = {}
    exec(text, values)
    return values


def test_what_a_function_uses_comes_along_and_annotations_stay(package: str) -> None:
    bundle = Bundle({})
    nodes = sys.modules[f"{package}.nodes"]
    name = bundle.add(nodes.pair)
    values = made(bundle)
    assert name == "pair"
    assert tuple(values["pair"](8.0, 1.0)) == tuple(nodes.pair(8.0, 1.0)) == (1.5, 5.0)  # type: ignore[operator]
    assert f"from {package} import library" in bundle.imports(), "a library is imported as it was"
    [pair] = [text for text in bundle.definitions.values() if text.startswith("def pair")]
    assert pair.startswith("def pair(x, library_=maths.pi):\n")
    assert "half = halved(min(x, _limit()))" in pair
    assert any(text.startswith("@cache\ndef _limit(limit=LIMIT):") for text in bundle.definitions.values())


def test_a_name_of_the_script_that_hides_another_is_changed(package: str) -> None:
    bundle = Bundle({})
    assert bundle.reserve("halved") == "halved"
    nodes = sys.modules[f"{package}.nodes"]
    bundle.add(nodes.hidden)
    assert made(bundle)["hidden"](3.0) == nodes.hidden(3.0) == 1.5  # type: ignore[operator]


def test_an_import_of_nodes_inside_of_a_function_is_refused(package: str) -> None:
    with pytest.raises(UnreadableError, match="imports nodes inside of itself"):
        Bundle({}).add(sys.modules[f"{package}.nodes"].strange)


def test_a_function_of_no_file_is_refused() -> None:
    values: dict[str, object] = {"__name__": "graph_runner.nowhere"}
    exec("def lost(): return 1", values)
    with pytest.raises(UnreadableError, match="no file with its source"):
        Bundle({}).add(values["lost"])  # type: ignore[arg-type]
