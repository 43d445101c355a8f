"""Random nested graphs give what a plain interpreter of the file gives, cold, cached and in parts."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Engine
from tests.graph_runner.conftest import TOYS, graph

REGISTRY = Registry.scan(TOYS)
Nodes = dict[str, Any]


class Builder:
    """Draws a graph: numbers and models, read from any scope around, loops in loops."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw, self.count = draw, 0

    def nodes(
        self, numbers: list[str], models: list[str], depth: int, at_least: int = 1
    ) -> tuple[Nodes, list[str], list[str]]:
        """Some nodes of one scope, and all numbers and models that are visible after them."""
        nodes: Nodes = {}
        numbers, models = list(numbers), list(models)
        for _ in range(self.draw(st.integers(at_least, 4))):
            kinds = ["number", "scalar_model"]
            kinds += ["add", "scale", "halves", "total"] if numbers else []
            kinds += ["nudge", "weight_of", "same"] if models else []
            kinds += ["repeat", "for_each", "group", "iterate"] if numbers and depth < 3 else []
            kind = self.draw(st.sampled_from(kinds))
            self.count += 1
            id = f"n{self.count}"
            nodes[id], new_numbers, new_models = getattr(self, kind)(id, numbers, models, depth)
            numbers += new_numbers
            models += new_models
        return nodes, numbers, models

    def one(self, of: list[str]) -> str:
        return self.draw(st.sampled_from(of))

    def number(self, id: str, *_: Any) -> Any:
        return {"type": "number", "params": {"value": float(self.draw(st.integers(-3, 3)))}}, [id], []

    def scalar_model(self, id: str, *_: Any) -> Any:
        return {"type": "scalar_model", "params": {"weight": float(self.draw(st.integers(0, 3)))}}, [], [id]

    def add(self, id: str, numbers: list[str], *_: Any) -> Any:
        return {"type": "add", "wires": {"a": self.one(numbers), "b": self.one(numbers)}}, [id], []

    def scale(self, id: str, numbers: list[str], *_: Any) -> Any:
        return {"type": "scale", "wires": {"x": self.one(numbers)}, "params": {"by": 0.5}}, [id], []

    def halves(self, id: str, numbers: list[str], *_: Any) -> Any:
        return {"type": "halves", "wires": {"x": self.one(numbers)}}, [f"{id}.low", f"{id}.high"], []

    def total(self, id: str, numbers: list[str], *_: Any) -> Any:
        return {"type": "total", "wires": {"numbers": [self.one(numbers), self.one(numbers)]}}, [id], []

    def nudge(self, id: str, _: Any, models: list[str], *__: Any) -> Any:
        return {"type": "nudge", "wires": {"model": self.one(models)}, "params": {"by": 1.0}}, [], [id]

    def weight_of(self, id: str, _: Any, models: list[str], *__: Any) -> Any:
        return {"type": "weight_of", "wires": {"model": self.one(models)}}, [id], []

    def same(self, id: str, _: Any, models: list[str], *__: Any) -> Any:
        return {"type": "same", "wires": {"x": self.one(models)}}, [], [id]

    def body(self, numbers: list[str], models: list[str], depth: int) -> tuple[Nodes, str, str | None]:
        nodes, numbers, models = self.nodes(numbers, models, depth + 1)
        return nodes, self.one(numbers), self.one(models) if models else None

    def repeat(self, id: str, numbers: list[str], models: list[str], depth: int) -> Any:
        state = {"x": self.one(numbers)}
        ports = [f"{id}.state.x"]
        inner_models = list(models)
        if models and self.draw(st.booleans()):
            state["m"] = self.one(models)
            inner_models.append(f"{id}.state.m")
        nodes, number, model = self.body([*numbers, *ports], inner_models, depth)
        results = {"x": number} | ({"m": model} if "m" in state else {})
        zone = {
            "type": "repeat",
            "wires": {"state": state},
            "params": {"iterations": self.draw(st.integers(0, 3))},
            "body": {"nodes": nodes, "results": results},
        }
        return zone, [f"{id}.x"], [f"{id}.m"] if "m" in state else []

    def iterate(self, id: str, numbers: list[str], models: list[str], depth: int) -> Any:
        nodes, number, _ = self.body([*numbers, f"{id}.x"], models, depth)
        body = {"nodes": nodes, "results": {"number": number}}
        return {"type": "iterate", "wires": {"x": self.one(numbers)}, "params": {"n": 2}, "body": body}, [id], []

    def group(self, id: str, numbers: list[str], models: list[str], depth: int) -> Any:
        nodes, number, model = self.body(numbers, models, depth)
        results = {"x": number} | ({"m": model} if model else {})
        return (
            {"type": "group", "body": {"nodes": nodes, "results": results}},
            [f"{id}.x"],
            [f"{id}.m"] if model else [],
        )

    def for_each(self, id: str, numbers: list[str], models: list[str], depth: int) -> Any:
        over = self.draw(st.lists(st.sampled_from([0.5, 2.0]), min_size=1, max_size=2))
        item = {f"{id}item": {"type": "scale", "wires": {"x": self.one(numbers), "by": f"{id}.item.by"}}}
        nodes, number, _ = self.body([*numbers, f"{id}item"], models, depth)
        body = {"nodes": {**item, **nodes}, "results": {"x": number}}
        return {"type": "for_each", "params": {"over": {"by": over}}, "body": body}, [], []


@st.composite
def graphs(draw: st.DrawFn) -> Nodes:
    return Builder(draw).nodes([], [], 0, at_least=3)[0]


class Interpreter:
    """The meaning of a file, with no plan, no cache and a copy of every model at every step."""

    def __init__(self, nodes: Nodes, around: Interpreter | None = None, ports: dict[str, Any] | None = None) -> None:
        self.nodes, self.around, self.ports = nodes, around, ports or {}
        self.known: dict[str, Any] = {}

    def value(self, reference: str) -> Any:
        if reference in self.ports:
            return copy.deepcopy(self.ports[reference])
        id, _, port = reference.partition(".")
        if id not in self.nodes:
            assert self.around is not None
            return self.around.value(reference)
        if id not in self.known:
            self.known[id] = self.computed(id, self.nodes[id])
        found = self.known[id]
        return copy.deepcopy(found[port] if port else found)

    def computed(self, id: str, node: Nodes) -> Any:
        wires, params, body = node.get("wires", {}), node.get("params", {}), node.get("body")

        def inside(ports: dict[str, Any]) -> dict[str, Any]:
            inner = Interpreter(body["nodes"], self, {f"{id}.{name}": value for name, value in ports.items()})
            return {name: inner.value(reference) for name, reference in body["results"].items()}

        match node["type"]:
            case "repeat":
                state = {name: self.value(reference) for name, reference in wires["state"].items()}
                for iteration in range(params["iterations"]):
                    state = inside({"iteration": iteration} | {f"state.{name}": value for name, value in state.items()})
                return state
            case "iterate":
                x = self.value(wires["x"])
                for _ in range(params["n"]):
                    x = inside({"x": x})["number"]
                return x
            case "group":
                return inside({})
            case "for_each":
                turns = [inside({"item.by": by, "index": index}) for index, by in enumerate(params["over"]["by"])]
                return {"x": [results["x"] for results in turns]}
            case "halves":
                return REGISTRY["halves"].function(self.value(wires["x"]))._asdict()
            case kind:
                given = {
                    name: [self.value(one) for one in wired] if isinstance(wired, list) else self.value(wired)
                    for name, wired in wires.items()
                }
                with torch.no_grad():
                    return REGISTRY[kind].function(**given, **params)


def plain(value: Any) -> Any:
    if isinstance(value, list):
        return [plain(item) for item in value]
    return float((value.weight if isinstance(value, torch.nn.Module) else value).detach())


def all_ports(nodes: Nodes) -> list[str]:
    outputs = {"repeat": ["x"], "group": ["x"], "for_each": ["x"], "halves": ["low", "high"]}
    found = [f"{id}.{port}" for id, node in nodes.items() for port in outputs.get(node["type"], [""])]
    return [reference.rstrip(".") for reference in found]


@settings(max_examples=60, deadline=None)
@given(drawn=graphs(), data=st.data())
def test_random_graphs(drawn: Nodes, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    ports = all_ports(drawn)
    expected = {port: plain(Interpreter(drawn).value(port)) for port in ports}
    engine = Engine(REGISTRY, tmp_path_factory.mktemp("random"))
    some = data.draw(st.lists(st.sampled_from(ports), min_size=1, max_size=3, unique=True))
    for wanted in (some, ports, ports):
        values = engine.run(graph(drawn), targets=wanted).values
        assert {port: plain(values[port]) for port in wanted} == {port: expected[port] for port in wanted}
