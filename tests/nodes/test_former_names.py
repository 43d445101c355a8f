"""Every node and port of version 0.1, by its name of then: files open, and keys and random draws go by the same names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from graph_runner.bind.renamed import under_current_names
from graph_runner.contract.registry import Registry
from tests.graph_runner.conftest import graph

NAMES: dict[str, dict[str, list[str]]] = json.loads((Path(__file__).parent / "names-0.1.json").read_text())


def test_nothing_of_then_is_left_out() -> None:
    assert len(NAMES) == 134


@pytest.mark.parametrize("type", NAMES)
def test_a_node_of_then_is_found_with_its_ports_and_keyed_as_then(type: str, registry: Registry) -> None:
    spec = registry[type]
    assert spec.first_name == type
    body = spec.body
    now = {
        "inputs": spec.inputs,
        "outputs": spec.outputs,
        "ports": body.ports if body else (),
        "results": body.results if body else (),
    }
    for kind, names in NAMES[type].items():
        assert set(names) <= {port.first_name for port in now[kind]}, kind


def test_a_file_of_then_opens_under_the_names_of_today(registry: Registry) -> None:
    nodes: dict[str, dict[str, Any]] = {}
    outputs: dict[str, str] = {}
    for type, names in NAMES.items():
        nodes[type] = {"type": type, "wires": dict.fromkeys(names["inputs"], "x")}
        outputs |= {f"{type}_{name}": f"{type}.{name}" for name in names["outputs"] if name}
        if registry[type].body:
            inner = {
                f"read_{port}": {"type": "texts", "wires": {"values": f"{type}.{port}"}} for port in names["ports"]
            }
            results = dict.fromkeys([name or "any" for name in names["results"]], "x")
            nodes[type]["body"] = {"nodes": inner, "results": results}
    opened = under_current_names(graph(nodes, exposed={"outputs": outputs}), registry)
    for type, names in NAMES.items():
        node, spec = opened.nodes[type], registry[type]
        assert node.type == spec.type
        assert set(node.wires) <= set(spec.input)
        assert len(node.wires) == len(names["inputs"])
        if node.body is not None and spec.body is not None:
            read = {str(each.wires["values"]) for each in node.body.nodes.values()}
            of_then = [port.name for port in spec.body.ports if port.first_name in names["ports"]]  # newer ones beside
            assert read == {f"{type}.{name}" for name in of_then}
            assert len(of_then) == len(names["ports"])
            assert set(node.body.results) == {port.name or "any" for port in spec.body.results}
    for reference in opened.exposed.outputs.values():
        type, _, port = reference.partition(".")
        assert port in registry[type].output
