"""Nodes of a notebook's cells: keyed by what their code and all it uses is now, and not kept where that cannot be seen."""

from __future__ import annotations

import itertools
import linecache
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from graph_runner.compile.live import UnseenError, live_hash
from graph_runner.contract import ContractError
from graph_runner.run.engine import Engine
from tests.graph_runner.conftest import graph

HEAD = """
import torch
from graph_runner.contract import node
from tests.graph_runner.toys import Number
"""
NODE = """
@node(category="mine")
def mine(x: Number, by: float = 2.0) -> Number:
    '''A node of a cell.'''
    return x * by + helped()
"""


class Notebook:
    """Cells as a notebook runs them: in one namespace that has no file, their texts where tracebacks find them."""

    _count = itertools.count()

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "a_notebook_without_a_file"}

    def cell(self, text: str) -> None:
        name = f"<cell-{next(self._count)}>"
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        exec(compile(text, name, "exec", dont_inherit=True), self.names)

    def __getitem__(self, name: str) -> Any:
        return self.names[name]


@pytest.fixture
def notebook() -> Iterator[Notebook]:
    made = Notebook()
    made.cell(HEAD)
    yield made
    for name in [each for each in linecache.cache if each.startswith("<cell-")]:
        del linecache.cache[name]


def hashed(*cells: str) -> str:
    made = Notebook()
    for cell in (HEAD, *cells):
        made.cell(cell)
    return live_hash(made["mine"])


HELP = "def helped(): return 1\n"
CLOSURES = "def make(n):\n def inner(): return n\n return inner\ndef helped(): return a() - b()\n"


def test_the_same_code_has_the_same_hash_wherever_it_stands() -> None:
    assert hashed(HELP, NODE) == hashed(HELP + NODE) == hashed(HELP + "\n# a word\n", NODE.replace("A node of", "From"))


@pytest.mark.parametrize(
    ("cells", "other"),
    [
        ((HELP, NODE), (HELP, NODE.replace("x * by", "x - by"))),
        ((HELP, NODE), (HELP.replace("1", "2"), NODE)),
        (("A = 1\ndef helped(): return A\n", NODE), ("A = 2\ndef helped(): return A\n", NODE)),
        (("A = torch.ones(2)\ndef helped(): return A\n", NODE), ("A = torch.zeros(2)\ndef helped(): return A\n", NODE)),
        (
            ("class Help:\n def __call__(self): return 1\nhelp_of = Help\ndef helped(): return help_of()()\n", NODE),
            ("class Help:\n def __call__(self): return 2\nhelp_of = Help\ndef helped(): return help_of()()\n", NODE),
        ),
        (
            ("def make(a):\n def inner(): return a\n return inner\nhelped = make(1)\n", NODE),
            ("def make(a):\n def inner(): return a\n return inner\nhelped = make(2)\n", NODE),
        ),
        ((CLOSURES + "a, b = make(1), make(2)\n", NODE), (CLOSURES + "a, b = make(3), make(2)\n", NODE)),
        ((CLOSURES + "a, b = make(1), make(2)\n", NODE), (CLOSURES + "b, a = make(1), make(2)\n", NODE)),
        (("from math import sin as helped\n", NODE), ("from math import cos as helped\n", NODE)),
    ],
    ids=["body", "function", "value", "tensor", "class", "closure", "one of two closures", "their places", "import"],
)
def test_whatever_is_changed_has_another_hash(cells: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert hashed(*cells) == hashed(*cells)
    assert hashed(*cells) != hashed(*other)


def test_what_cannot_be_seen_is_named() -> None:
    with pytest.raises(UnseenError, match=r"helped\.opened"):
        hashed("opened = object()\ndef helped(): return opened\n", NODE)
    values: dict[str, Any] = {"__name__": "nowhere"}
    exec("def lost(): return 1", values)
    with pytest.raises(UnseenError, match="lost"):
        live_hash(values["lost"])


COUNTED = """
@node(category="mine", keep=True)
def mine(x: Number) -> Number:
    '''Counts its calls.'''
    from tests.graph_runner.toys import CALLS
    CALLS.append("mine")
    return x * FACTOR
"""
NODES = {"two": {"type": "number", "params": {"value": 2}}, "mine": {"type": "mine", "wires": {"x": "two"}}}


def test_a_cell_that_is_run_again_is_found_and_a_changed_one_computed(
    notebook: Notebook, engine: Engine, calls: Callable[[], int]
) -> None:
    notebook.cell("FACTOR = 3\n" + COUNTED)
    for _ in range(2):  # the second time as another process would: memory is empty
        own = Engine(engine.registry.including(notebook["mine"]), engine.workspace)
        assert own.run(graph(NODES), targets=["mine"])["mine"] == 6
    assert calls() == 1
    notebook.cell(COUNTED)
    assert engine.including(notebook["mine"]).run(graph(NODES), targets=["mine"])["mine"] == 6
    assert calls() == 1
    notebook.cell("FACTOR = 4")
    assert engine.including(notebook["mine"]).run(graph(NODES), targets=["mine"])["mine"] == 8
    assert calls() == 2


def test_what_cannot_be_seen_is_computed_each_time_and_told(
    notebook: Notebook, engine: Engine, calls: Callable[[], int]
) -> None:
    notebook.cell("class Three(float): pass\nFACTOR = Three(3)\n" + COUNTED)
    own = engine.including(notebook["mine"])
    for _ in range(2):
        result = own.run(graph(NODES), targets=["mine"])
        assert result["mine"] == 6
        told = [event.message for event in result.events if getattr(event, "level", "") == "warning"]
        assert told == [
            "its code cannot be seen (mine.FACTOR): nothing that is made of it is kept, and a training with it does not go on "
            "after a stop"
        ]
    assert calls() == 2


def test_a_node_of_a_package_is_not_replaced(notebook: Notebook, engine: Engine) -> None:
    notebook.cell(COUNTED.replace("def mine", "def number"))
    with pytest.raises(ContractError, match=r"'number' is a node of tests.graph_runner.toys"):
        engine.including(notebook["number"])
    with pytest.raises(ContractError, match="is no node, injectable or model"):
        engine.including(types.SimpleNamespace)


@pytest.fixture
def calls() -> Callable[[], int]:
    from tests.graph_runner.toys import CALLS

    return lambda: CALLS.count("mine")
