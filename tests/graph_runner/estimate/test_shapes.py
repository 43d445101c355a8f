"""Symbolic shapes: what does not fit is said on the wire, before anything is computed, and nothing else is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from graph_runner.base.problems import Problem
from graph_runner.bind.validate import errors, validate
from graph_runner.contract import Axes, Ports, Wire, node
from graph_runner.contract.registry import Registry
from graph_runner.estimate.dry import dry_run
from graph_runner.estimate.shapes import Known, solve
from tests.graph_runner.conftest import TOYS, graph


class Chroma(nn.Module):
    """A model that says what it is called with."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    @property
    def takes(self) -> dict[str, str]:
        return {"map": f"b {self.channels} ..."}


Map = Annotated[Tensor, Wire("map", "b c ...")]
Grey = Annotated[Tensor, Wire("grey_map", "b 1 h w", accepts=("map",))]
Model = Annotated[Chroma, Wire("chroma")]


@node(category="toy")
def some_map(shape: list[int]) -> Map:
    """Zeros."""
    return torch.zeros(*shape)


@node(category="toy")
def chroma(channels: int = 4) -> Model:
    """A model."""
    return Chroma(channels)


@node(category="toy", batched=("x",))
def paint(model: Model, x: Map) -> Map:
    """A model's call; it would not fail by itself."""
    return x


@node(category="toy")
def grey_only(x: Grey) -> Map:
    """One channel."""
    return x


@node(category="toy")
def blend(a: Annotated[Map, Axes("b c ...")], b: Annotated[Map | None, Axes("b c ...")] = None) -> Map:
    """Two of one size."""
    return a


@node(category="toy")
def beside(a: Map, b: Map) -> Map:
    """Two of any size."""
    return a


@node(category="toy")
def pile(
    maps: Annotated[list[Map], Axes("_ c h w")], named: Annotated[Ports[Map] | None, Axes("_ c h w")] = None
) -> Map:
    """Many of one size."""
    return maps[0]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan([*TOYS, __name__])


def zeros(*shape: int) -> dict[str, Any]:
    return {"type": "some_map", "params": {"shape": list(shape)}}


def found(registry: Registry, path: Path, nodes: dict[str, Any]) -> list[Problem]:
    top, problems = validate(graph(nodes), registry)
    assert errors(problems) == []
    return dry_run(top, path).problems


def test_a_models_channels_are_said_on_the_wire(registry: Registry, tmp_path: Path) -> None:
    paints = {"type": "paint", "wires": {"model": "model", "x": "z"}}
    nodes = {"model": {"type": "chroma"}, "z": zeros(2, 3, 8, 8), "eps": paints, "after": {"type": "grey_only", "wires": {"x": "eps"}}}  # fmt: skip
    [problem] = found(registry, tmp_path, nodes)
    assert (problem.node, problem.port) == ("eps", "x")
    assert problem.message == "takes b 4 ..., says model from model.chroma, and z.map gives 2×3×8×8"
    assert found(registry, tmp_path, nodes | {"z": zeros(2, 4, 8, 8), "after": zeros(1, 1, 1)}) == []
    assert found(registry, tmp_path, nodes | {"z": zeros(2, 4, 8), "after": zeros(1, 1, 1)}) == [], (
        "of any rank behind b c"
    )


def test_in_a_body_and_for_calls_that_are_joined(registry: Registry, tmp_path: Path) -> None:
    inner = {
        "a": {"type": "paint", "wires": {"model": "model", "x": "loop.state.x"}},
        "b": {"type": "paint", "wires": {"model": "model", "x": "loop.state.x"}},
        "mix": {"type": "blend", "wires": {"a": "a", "b": "b"}},
    }
    loop = {"type": "repeat", "wires": {"state": {"x": "z"}}, "body": {"nodes": inner, "results": {"x": "mix"}}}
    nodes = {"model": {"type": "chroma"}, "z": zeros(2, 3, 8, 8), "loop": loop}
    told = found(registry, tmp_path, nodes)
    assert [(problem.node, problem.port) for problem in told] == [("a", "x"), ("b", "x")]
    assert all("loop.state.x gives 2×3×8×8" in problem.message for problem in told)
    assert found(registry, tmp_path, nodes | {"z": zeros(2, 4, 8, 8)}) == []


def test_ranks_and_numbers_of_a_wire_and_nothing_of_its_letters(registry: Registry, tmp_path: Path) -> None:
    nodes = {"z": zeros(2, 3, 8, 8), "g": {"type": "grey_only", "wires": {"x": "z"}}}
    [problem] = found(registry, tmp_path, nodes)
    assert problem.message == "takes b 1 h w, and z.map gives 2×3×8×8"
    [problem] = found(registry, tmp_path, nodes | {"z": zeros(2, 1, 8)})
    assert problem.message == "takes b 1 h w, and z.map gives 2×1×8"
    nodes = {"a": zeros(2, 3, 8, 8), "b": zeros(5, 1), "x": {"type": "beside", "wires": {"a": "a", "b": "b"}}}
    assert found(registry, tmp_path, nodes) == [], "the letters of two wires are not one another's"


def test_ports_that_share_letters_on_purpose(registry: Registry, tmp_path: Path) -> None:
    nodes = {"p": zeros(2, 3, 8, 8), "q": zeros(2, 3, 8, 9), "x": {"type": "blend", "wires": {"a": "p", "b": "q"}}}
    [problem] = found(registry, tmp_path, nodes)
    assert (problem.node, problem.port) == ("x", "b")
    assert problem.message == "takes b c ... with ... = 8×8 (as a, from p.map), and q.map gives 2×3×8×9"
    assert found(registry, tmp_path, nodes | {"q": zeros(2, 3, 8, 8)}) == []
    assert found(registry, tmp_path, nodes | {"x": {"type": "blend", "wires": {"a": "p"}}}) == []


def test_lists_whole_lists_and_names(registry: Registry, tmp_path: Path) -> None:
    made = {"type": "for_each", "params": {"over": {"i": [1, 2]}}, "body": {"nodes": {}, "results": {"m": "p"}}}
    pile = {"type": "pile", "wires": {"maps": ["p", "sweep.m"], "named": {"one": "q"}}}
    nodes = {"p": zeros(2, 3, 8, 8), "q": zeros(7, 3, 8, 8), "sweep": made, "x": pile}
    assert found(registry, tmp_path, nodes) == []
    [problem] = found(registry, tmp_path, nodes | {"q": zeros(2, 4, 8, 8)})
    assert problem.message == "takes _ c h w with c = 3 (as maps, from p.map), and q.map gives 2×4×8×8"
    [problem] = found(registry, tmp_path, nodes | {"p": zeros(2, 3, 8), "q": zeros(2, 3, 8)})
    assert problem.message == "takes _ c h w, and p.map gives 2×3×8"


@pytest.mark.parametrize(
    ("shape", "sizes", "fits"),
    [
        ("b c h w", (2, 3, 4, 4), True),
        ("b c h w", (2, 3, 4), False),
        ("b 3 h w", (2, 4, 4, 4), False),
        ("b b", (2, 3), False),
        ("b ... 4", (2, 4), True),
        ("b ... 4", (2, 7, 8, 4), True),
        ("b ... 4", (4,), False),
        ("...", (), True),
        ("_ _", (1, 2), True),
        ("b (h w) c", (2, 64, 3), True),
        ("", (1,), False),
    ],
)
def test_the_grammar(shape: str, sizes: tuple[int, ...], fits: bool) -> None:
    assert (solve(shape, sizes, {}, "it") is None) is fits


@given(st.lists(st.sampled_from(["b", "c", "h", "_", "3", "..."]), max_size=5), st.dictionaries(st.sampled_from("bch"), st.integers(1, 9)), st.lists(st.integers(1, 9), max_size=3))  # fmt: skip
def test_sizes_made_of_a_shape_fit_it(axes: list[str], letters: dict[str, int], rest: list[int]) -> None:
    if axes.count("...") > 1:
        axes = [axis for axis in axes if axis != "..."]
    sizes: list[int] = []
    for axis in axes:
        sizes += rest if axis == "..." else [3 if axis == "3" else letters.get(axis, 5)]
    known: Known = {}
    assert solve(" ".join(axes), tuple(sizes), known, "it") is None
    assert solve(" ".join(axes), tuple(sizes), known, "again") is None, "the same once more"
    if {"b", "c", "h"} & set(axes):
        assert solve(" ".join(axes), tuple(size + 1 for size in sizes), known, "larger") is not None
