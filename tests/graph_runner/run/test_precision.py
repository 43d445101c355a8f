"""Half precision as a policy of each call: weights that change inside a loop are seen at once, wherever the loop stands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import pytest
import torch
from torch import Tensor, nn

from graph_runner.base.problems import WorkflowError
from graph_runner.bind.validate import validate
from graph_runner.context import Dtype, Loop
from graph_runner.contract import Body, Ports, Wire, node
from graph_runner.contract.registry import Registry
from graph_runner.estimate.dry import dry_run
from graph_runner.run.engine import Engine
from graph_runner.run.failures import NodeError
from tests.graph_runner.conftest import graph

Layer = Annotated[nn.Linear, Wire("layer")]
Row = Annotated[Tensor, Wire("row", "b n")]
M = TypeVar("M", bound=nn.Module)
SEEN: dict[str, list[Any]] = {}


@pytest.fixture(autouse=True)
def nothing_seen() -> Iterator[None]:
    SEEN.clear()
    yield
    assert not torch.is_autocast_enabled("cpu"), "the policy ends with the call"


@node(category="toy")
def layer(value: float = 1.0) -> Layer:
    """A layer of two inputs and one output, all weights equal."""
    made = nn.Linear(2, 1, bias=False)
    nn.init.constant_(made.weight, value)
    return made


@node(category="toy")
def ones() -> Row:
    """What goes in."""
    return torch.ones(1, 2)


@node(category="toy")
def through(layer: Layer, x: Row) -> Row:
    """What the layer makes of it: a heavy operation."""
    return layer(x)


@node(category="toy", effect=True)
def look(x: Row, label: str = "x") -> None:
    """Remember a value and its type."""
    SEEN.setdefault(label, []).append((float(x.detach()), x.dtype))


@node(category="toy", mutates=("layer",))
def raised(layer: Layer, x: Row, times: int = 1) -> Layer:
    """Raise the weights one by one, and look at what the layer gives after each: a loop within one node."""
    layer.requires_grad_(True)
    for _ in range(times):
        with torch.enable_grad():
            y = layer(x)
        SEEN.setdefault("within", []).append(float(y.detach()))
        with torch.no_grad():
            layer.weight += 1
    return layer


@node(category="toy")
def peeked(layer: Layer, x: Row) -> Row:
    """Look without gradients at what the layer gives, then compute it with them."""
    with torch.no_grad():
        layer(x)
    return layer(x)


class Lesson(Protocol):
    def __call__(self, models: Ports[M], turn: int) -> Row: ...


@node(category="toy", trains=True, mutates=("models",))
def lower(body: Body[Lesson], models: Ports[M], loop: Loop, dtype: Dtype, n: int = 4) -> Ports[M]:
    """Take the gradient of what the body gives from the weights, turn after turn."""
    for model in models.values():
        model.requires_grad_(True)
    for turn in loop(n):
        SEEN.setdefault("autocast in the zone", []).append(torch.is_autocast_enabled("cpu"))
        weights = [weight for model in models.values() for weight in model.parameters()]
        y = body(models, turn)
        gradients = torch.autograd.grad(y, weights, torch.ones_like(y))
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight -= gradient
    return models


@node(category="toy", trains=True, mutates=("models",))
def lower_unscaled(body: Body[Lesson], models: Ports[M], loop: Loop) -> Ports[M]:
    """A zone that trains and knows nothing of dtypes."""
    for turn in loop(1):
        body(models, turn)
    return models


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan(["graph_runner.zones", __name__])


def training(zone: str = "fit", node: str = "through") -> dict[str, Any]:
    """A zone whose body looks at what the layer gives before each step, and after it beside the turns."""
    beside = {
        "again": {"type": "through", "wires": {"layer": f"{zone}.models.m", "x": "x"}},
        "seen_after": {"type": "look", "wires": {"x": "again"}, "params": {"label": "after"}},
    }
    body = {
        "y": {"type": node, "wires": {"layer": f"{zone}.models.m", "x": "x"}},
        "seen": {"type": "look", "wires": {"x": "y"}, "params": {"label": "before"}},
        "beside": {"type": "every", "params": {"steps": 1}, "body": {"nodes": beside}},
    }
    return {"type": "lower", "wires": {"models": {"m": "layer0"}}, "body": {"nodes": body, "results": {"row": "y"}}}


BASE = {"layer0": {"type": "layer", "params": {"value": 10.0}}, "x": {"type": "ones"}}


def nested(kind: str) -> dict[str, Any]:
    """The training by itself, and in zones around it."""
    if kind == "top":
        return {**BASE, "fit": training()}
    inside = {"fit": training()}
    around = {
        "group": {"type": "group", "body": {"nodes": inside, "results": {"m": "fit.m"}}},
        "for_each": {
            "type": "for_each",
            "params": {"over": {"again": [1]}},
            "body": {"nodes": inside, "results": {"m": "fit.m"}},
        },
        "repeat": {
            "type": "repeat",
            "wires": {"state": {"m": "layer0"}},
            "params": {"iterations": 1},
            "body": {
                "nodes": {"fit": {**training(), "wires": {"models": {"m": "around.state.m"}}}},
                "results": {"m": "fit.m"},
            },
        },
    }[kind]
    return {**BASE, "around": around}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("kind", ["top", "group", "for_each", "repeat"])
def test_weights_that_change_in_a_loop_are_seen_at_once(
    registry: Registry, tmp_path: Path, kind: str, dtype: str
) -> None:
    target = "fit.m" if kind == "top" else "around.m"
    Engine(registry, tmp_path, dtype=dtype).run(graph(nested(kind)), targets=[target])
    assert [value for value, _ in SEEN["before"]] == [20, 18, 16, 14]
    assert [value for value, _ in SEEN["after"]] == [18, 16, 14, 12], "beside the turns, after each step"
    assert {seen for _, seen in SEEN["before"] + SEEN["after"]} == {getattr(torch, dtype)}, "in the run's precision"
    assert SEEN["autocast in the zone"] == [False] * 4, "a zone's own code computes in float32"


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_weights_that_change_within_one_node_are_seen_at_once(registry: Registry, tmp_path: Path, dtype: str) -> None:
    nodes = {**BASE, "up": {"type": "raised", "wires": {"layer": "layer0", "x": "x"}, "params": {"times": 3}}}
    nodes["y"] = {"type": "through", "wires": {"layer": "up", "x": "x"}}
    result = Engine(registry, tmp_path, dtype=dtype).run(graph(nodes), targets=["y"])
    assert SEEN["within"] == [20, 22, 24]
    assert float(result.values["y"]) == 26


def test_a_look_without_gradients_does_not_take_them_from_what_follows(registry: Registry, tmp_path: Path) -> None:
    nodes = {**BASE, "fit": training(node="peeked")}
    Engine(registry, tmp_path, dtype="bfloat16").run(graph(nodes), targets=["fit.m"])
    assert [value for value, _ in SEEN["before"]] == [20, 18, 16, 14]


def test_the_dry_run_follows_the_same_policy(registry: Registry, tmp_path: Path) -> None:
    for dtype, told in (("float32", "1×1"), ("bfloat16", "1×1 bfloat16"), ("float16", "1×1 float16")):
        top, _ = validate(graph(nested("repeat")), registry)
        found = dry_run(top, tmp_path, dtype=getattr(torch, dtype))
        assert found.problems == []
        assert found.nodes["y"].gives == {"row": told}


def test_float16_is_refused_where_a_zone_trains_without_scaling(registry: Registry, tmp_path: Path) -> None:
    fit = {**training(), "type": "lower_unscaled"}
    workflow = graph({**BASE, "fit": fit})
    with pytest.raises(WorkflowError, match=r"fit: it trains without scaling.*bfloat16 or float32"):
        Engine(registry, tmp_path, dtype="float16").run(workflow, targets=["fit.m"])
    found = dry_run(validate(workflow, registry)[0], tmp_path, dtype=torch.float16)
    assert [problem.node for problem in found.problems] == ["fit"]
    Engine(registry, tmp_path, dtype="bfloat16").run(workflow, targets=["fit.m"])


def test_what_older_versions_kept_of_half_precision_runs_is_not_taken() -> None:
    from graph_runner.compile.keys import Keys

    top, _ = validate(graph(BASE), Registry.scan([__name__]))
    bound = top.nodes["layer0"]

    def content(dtype: str) -> list[Any]:
        return Keys(0, dtype, lambda bound: "1")._content(bound, ())

    assert content("bfloat16")[-2:] != ["dtype", "bfloat16"], "an earlier version's key"
    assert content("bfloat16")[-1] == "bfloat16"
    assert content("float32") == content("bfloat16")[:-2], "float32 keys stay as they were"


def test_a_failure_in_half_precision_names_the_node(registry: Registry, tmp_path: Path) -> None:
    nodes = {**BASE, "y": {"type": "through", "wires": {"layer": "layer0", "x": "narrow"}}}
    nodes["narrow"] = {"type": "through", "wires": {"layer": "layer0", "x": "x"}}
    with pytest.raises(NodeError, match=r"^y: RuntimeError"):
        Engine(registry, tmp_path, dtype="bfloat16").run(graph(nodes), targets=["y"])
