"""Values that nobody needs, in a script: computed where the engine computes them, and nowhere else, so the bits are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from graph_runner.contract import node
from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Engine
from tests.graph_runner.compile.test_lazy import mix, odd, row
from tests.graph_runner.conftest import TOYS, graph
from tests.graph_runner.drawing import ONE, repeat, scale
from tests.graph_runner.export.test_script import exported
from tests.graph_runner.toys import Number

ODD = {"type": "odd", "wires": {"i": "loop.iteration"}}
MIX = {"type": "mix", "wires": {"a": "loop.state.x", "b": "b", "share": "odd"}}


@node(category="toy")
def fragile(x: Number, i: int) -> Number:
    """Fails in even iterations: nobody may ask for it there."""
    if i % 2 == 0:
        raise ValueError("nobody needs this one")
    return x + 1


@node(category="toy", lazy={"b": lambda first, second=0.0: first or second, "c": lambda second: second})
def either(a: Number, b: Number, c: Number, first: float = 0.0, second: float = 0.0) -> Number:
    """One that has two lambdas in one line."""
    return a + (b if first or second else 0) + (c if second else 0)


FRAGILE = {"type": "fragile", "wires": {"x": "loop.state.x", "i": "loop.iteration"}}
CHAIN = {"before": FRAGILE, "b": scale("before", 2), "odd": ODD, "mix": MIX}
PARTS = {
    "f": FRAGILE,
    "h": {"type": "halves", "wires": {"x": "f"}},
    "odd": ODD,
    "mix": {**MIX, "wires": {"a": "loop.state.x", "b": "h.high", "share": "odd"}},
}
SWITCH = {
    "odd": ODD,
    "yes": FRAGILE,
    "no": scale("loop.state.x", 3),
    "s": {
        "type": "switch",
        "wires": {"when": "odd", "otherwise": {"y": "no"}},
        "body": {"nodes": {"twice": scale("yes", 2)}, "results": {"y": "twice"}},
    },
}
JOINED = {
    "odd": ODD,
    "a": {"type": "joined", "wires": {"x": "loop.state.x", "model": "model"}},
    "b": {"type": "joined", "wires": {"x": "loop.state.x", "model": "model"}},
    "mix": {"type": "mix", "wires": {"a": "a", "b": "b", "share": "odd"}},
}
TWO = {
    "f": FRAGILE,
    "odd": ODD,
    "e": {"type": "either", "wires": {"a": "loop.state.x", "b": "f", "c": "f", "second": "odd"}},
}
BODIES: dict[str, tuple[dict[str, Any], str]] = {
    "a chain": (CHAIN, "mix"),
    "parts": (PARTS, "mix"),
    "a switch": (SWITCH, "s.y"),
    "joined": (JOINED, "mix"),
    "two": (TWO, "e"),
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan(TOYS).including(mix, odd, row, fragile, either)


@pytest.mark.parametrize("name", BODIES)
def test_it_computes_what_is_needed_and_no_more(name: str, registry: Registry, tmp_path: Path) -> None:
    inner, result = BODIES[name]
    nodes = {"one": ONE, "model": {"type": "scalar_model"}, "row": {"type": "row"}}
    nodes["loop"] = repeat(4, inner, result, x="row" if name == "joined" else "one")
    workflow = graph(nodes, exposed={"outputs": {"out": "loop.x"}})
    engine = Engine(registry, tmp_path)
    wanted = engine.run(workflow, targets=["out"]).values["out"]
    _, module = exported(workflow, registry, tmp_path)
    assert torch.equal(module["run"]()["out"], wanted)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_literal_that_the_caller_gives_says_what_is_needed(share: float, registry: Registry, tmp_path: Path) -> None:
    """Drawn with a literal by which nobody needs it, and called with one by which it is needed."""
    inner = {"b": scale("loop.state.x", 2), "mix": {**MIX, "wires": {"a": "loop.state.x", "b": "b"}}}
    inner["mix"]["params"] = {"share": 0.0}
    nodes = {"one": ONE, "loop": repeat(3, inner, "mix")}
    workflow = graph(nodes, exposed={"params": {"share": "mix.share"}, "outputs": {"out": "loop.x"}})
    wanted = Engine(registry, tmp_path).run(workflow, targets=["out"], inputs={"share": share}).values["out"]
    _, module = exported(workflow, registry, tmp_path)
    assert torch.equal(module["run"](share=share)["out"], wanted)
