"""One mistake is one problem: what only follows from another is not told."""

from __future__ import annotations

from typing import Any

import pytest

from graph_runner.bind.validate import validate
from graph_runner.contract.registry import Registry
from tests.graph_runner.bind.test_validate import ONE, Check, only
from tests.graph_runner.conftest import graph


@pytest.fixture
def check(registry: Registry) -> Check:
    return lambda nodes: validate(graph(nodes), registry)[1]


Cascade = tuple[str, dict[str, Any], str, str]
BODY = {"nodes": {"in_it": {"type": "scale", "wires": {"x": "z.state.a"}}}, "results": {"a": "in_it"}}
READER = {"r": {"type": "record", "wires": {"x": "z.a"}}}
SWEPT = {"nodes": {"in_it": {"type": "scale", "wires": {"x": "z.item.a"}}}, "results": {"a": "in_it"}}
LEARNT = {"nodes": {"in_it": {"type": "weight_of", "wires": {"model": "z.models.a"}}}, "results": {"number": "in_it"}}
MODEL = {"m": {"type": "weight_of", "wires": {"model": "z.a"}}}
CASCADES: list[Cascade] = [
    ("no body", {"one": ONE, "z": {"type": "iterate", "wires": {"x": "one"}}, "r": {"type": "record", "wires": {"x": "z"}}}, "z", "body"),
    ("no body, names", {"one": ONE, "z": {"type": "repeat", "wires": {"state": {"a": "one"}}}, **READER}, "z", "body"),
    ("no body, collected", {"z": {"type": "for_each", "params": {"over": {"a": [1]}}}, "t": {"type": "total", "wires": {"numbers": "z.a"}}}, "z", "body"),
    ("no body, a group", {"z": {"type": "group"}, **READER}, "z", "body"),
    ("no state", {"z": {"type": "repeat", "body": BODY}, **READER}, "z", "state"),
    ("state in the wrong form", {"one": ONE, "z": {"type": "repeat", "wires": {"state": "one"}, "body": BODY}, **READER}, "z", "state"),
    ("state typed in the wrong form", {"z": {"type": "repeat", "params": {"state": 3}, "body": BODY}, **READER}, "z", "state"),
    ("state misspelt", {"one": ONE, "z": {"type": "repeat", "wires": {"stat": {"a": "one"}}, "body": BODY}, **READER}, "z", "stat"),
    ("one where lists are wanted", {"one": ONE, "z": {"type": "for_each", "wires": {"over": {"a": "one"}}, "body": SWEPT}, "t": {"type": "total", "wires": {"numbers": "z.a"}}}, "z", "over.a"),
    ("no model", {"t": {"type": "text"}, "z": {"type": "learn", "wires": {"models": {"a": "t"}}, "body": LEARNT}, **MODEL}, "z", "models.a"),
    ("a model that is not there", {"z": {"type": "learn", "wires": {"models": {"a": "gone"}}, "body": LEARNT}, **MODEL}, "z", "models.a"),
    ("an input misspelt", {"one": ONE, "z": {"type": "scale", "wires": {"xx": "one"}}, "r": {"type": "record", "wires": {"x": "z"}}}, "z", "xx"),
    ("an input under another name", {"one": ONE, "z": {"type": "add", "wires": {"a": "one", "second": "one"}}}, "z", "second"),
    ("a result misspelt", {"one": ONE, "z": {"type": "iterate", "wires": {"x": "one"}, "body": {"nodes": {}, "results": {"numbr": "z.x"}}}}, "z", "results.numbr"),
    ("not to be bypassed", {"z": {"type": "scalar_model", "mode": "bypass"}, "w": {"type": "weight_of", "wires": {"model": "z"}}}, "z", "model"),
    ("an unknown zone", {"one": ONE, "z": {"type": "repaet", "wires": {"state": {"a": "one"}}, "body": BODY}, **READER}, "z", ""),
]  # fmt: skip


@pytest.mark.parametrize(("nodes", "node", "port"), [case[1:] for case in CASCADES], ids=[case[0] for case in CASCADES])
def test_one_mistake_is_one_problem(check: Check, nodes: dict[str, Any], node: str, port: str) -> None:
    only(check(nodes), node, port)


def test_two_mistakes_are_two(check: Check) -> None:
    nodes = {"z": {"type": "add", "wires": {"aa": "gone"}}}
    assert [(p.node, p.port) for p in check(nodes)] == [("z", "aa"), ("z", "b")]
