"""Which models a run keeps in fewer bytes, and what its keys say of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from graph_runner.bind.validate import validate
from graph_runner.compile.keys import Keys
from graph_runner.contract import node
from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Engine
from graph_runner.run.precision import allow_tf32, told_tf32
from graph_runner.run.weights import Weights
from tests.graph_runner.conftest import graph
from tests.graph_runner.run.test_precision import BASE, Layer, nested


@node(category="toy", effect=True)
def kept(layer: Layer) -> None:
    """Save a layer, or so."""


MODULE = "tests.graph_runner.run.test_precision"


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan(["graph_runner.zones", MODULE, __name__])


@pytest.mark.parametrize("kind", ["top", "group", "for_each", "repeat"])
def test_what_trains_and_what_it_was_made_of_stays_float32(registry: Registry, tmp_path: Path, kind: str) -> None:
    nodes = nested(kind) | {
        "other": {"type": "layer"},
        "told": {"type": "through", "wires": {"layer": "other", "x": "x"}},
    }
    target = "fit.m" if kind == "top" else "around.m"
    engine = Engine(registry, tmp_path, weights="bfloat16")
    values = engine.run(graph(nodes), targets=[target, "layer0", "other", "told"]).values
    trained = values[target][0] if isinstance(values[target], list) else values[target]
    assert trained.weight.dtype == torch.float32
    assert values["layer0"].weight.dtype == torch.float32
    assert values["other"].weight.dtype == torch.bfloat16
    assert values["told"].dtype == torch.float32


def test_what_is_saved_is_not_rounded_and_nothing_on_the_way_to_it(registry: Registry, tmp_path: Path) -> None:
    up = {"type": "raised", "wires": {"layer": "layer0", "x": "x"}}
    nodes = {**BASE, "up": up, "keep": {"type": "kept", "wires": {"layer": "up"}}, "other": {"type": "layer"}}
    values = Engine(registry, tmp_path, weights="float16").run(graph(nodes), targets=["layer0", "up", "other"]).values
    assert [values[id].weight.dtype for id in nodes if id in values] == [torch.float32, torch.float32, torch.float16]


def test_keys_tell_of_it_where_it_is_not_float32(registry: Registry) -> None:
    bound = validate(graph(BASE), registry)[0].nodes["layer0"]

    def content(*weights: str) -> list[object]:
        return Keys(0, "float32", lambda bound: "1", None, *weights)._content(bound, ())

    assert content() == content("float32") == content("float8")[:-2]
    assert content("float8") != content("bfloat16")


def test_another_name_is_refused(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'int4'; choose float32, bfloat16, float16, float8"):
        Engine(registry, tmp_path, weights="int4")
    with pytest.raises(KeyError):
        Weights("int4", validate(graph(BASE), registry)[0])


def test_tf32_is_switched_and_told() -> None:
    before = told_tf32()
    try:
        for allow in (True, False):
            allow_tf32(allow)
            allow_tf32(None)
            assert told_tf32() == {"matmul": allow, "conv": allow}
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before["matmul"], before["conv"]
