"""`--set`: what a text means for a port, where it goes, and what is said when it goes nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from graph_runner.base.problems import WorkflowError
from graph_runner.cli.settings import apply, exposed
from graph_runner.contract import NodeSpec
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow, write
from graph_runner.run.engine import Engine
from tests.graph_runner.conftest import TOYS, graph

GRAPH = graph(
    {
        "one": {"type": "number", "params": {"value": 1}},
        "word": {"type": "text"},
        "many": {"type": "vector", "params": {"values": [1, 2]}},
        "read": {"type": "length", "params": {"path": "file.txt"}},
        "factor": {"type": "number", "params": {"value": 4}},
        "scaled": {"type": "scale", "wires": {"x": "one", "by": "factor"}},
        "sweep": {
            "type": "for_each",
            "params": {"over": {"k": [1.0], "l": [2.0]}},
            "body": {
                "nodes": {
                    "turns": {
                        "type": "iterate",
                        "wires": {"x": "one"},
                        "body": {
                            "nodes": {"deep": {"type": "scale", "wires": {"x": "turns.x"}}},
                            "results": {"number": "deep"},
                        },
                    }
                },
                "results": {"v": "turns"},
            },
        },
        "used": {"type": "doubled", "params": {"by": 3}, "wires": {"x": "one"}},
    },
    definitions={
        "doubled": {
            "inputs": ["x", "by"],
            "nodes": {"inner": {"type": "scale", "wires": {"x": "inputs.x", "by": "inputs.by"}}},
            "results": {"y": "inner"},
        }
    },
    exposed={"params": {"depth": "turns.n", "strength": "deep.by", "wired": "scaled.by"}},
)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan([*TOYS, "tests.graph_runner.slow_toys"])


def param(workflow: Workflow, id: str, name: str) -> Any:
    nodes = dict(workflow.nodes)
    nodes |= nodes["sweep"].body.nodes
    nodes |= nodes["turns"].body.nodes
    return nodes[id].params.get(name)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("one.value=3", 3),
        ("one.value=-2.5e1", -25.0),
        ("one.value=.5", 0.5),
        ("word.value=red circle", "red circle"),
        ('word.value="quoted"', "quoted"),
        ("word.value=5", "5"),
        ("word.value=null", "null"),
        ("word.value=", ""),
        ("word.value=a=b", "a=b"),
        ("many.values=[3, 4.5]", [3, 4.5]),
        ("turns.n=7", 7),
        ("deep.by=2", 2),
        ('sweep.over={"k": [5]}', {"k": [5]}),
        ("used.by=9", 9),
    ],
)
def test_a_value_is_read_as_its_port_needs_it(setting: str, value: Any, registry: Mapping[str, NodeSpec]) -> None:
    id, _, rest = setting.partition(".")
    found = param(apply([setting], GRAPH, registry), id, rest.partition("=")[0])
    assert (found, type(found)) == (value, type(value))


def test_exposed_names_reach_into_zones(registry: Mapping[str, NodeSpec]) -> None:
    changed = apply(["depth=5", "strength=0.25"], GRAPH, registry)
    assert param(changed, "turns", "n") == 5
    assert param(changed, "deep", "by") == 0.25
    assert exposed(GRAPH, registry) == {"depth": 3, "strength": 1.0}, "a wired one has no value to show"
    assert exposed(changed, registry) == {"depth": 5, "strength": 0.25}


def test_one_of_named_values_is_set_alone(registry: Mapping[str, NodeSpec]) -> None:
    changed = apply(["sweep.over.k=[7, 8]"], GRAPH, registry)
    assert param(changed, "sweep", "over") == {"k": [7, 8], "l": [2.0]}


def test_a_literal_takes_the_place_of_a_wire(registry: Registry, tmp_path: Path) -> None:
    changed = apply(["scaled.by=10"], GRAPH, registry)
    assert changed.nodes["scaled"].wires == {"x": "one"}
    del changed.nodes["read"]
    assert Engine(registry, tmp_path).run(changed, targets=["scaled"], only=True).values["scaled"] == 10


def test_paths_that_exist_from_here_become_absolute(
    registry: Mapping[str, NodeSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.txt").write_text("abc")
    assert param(apply(["read.path=here.txt"], GRAPH, registry), "read", "path") == str(tmp_path / "here.txt")
    assert param(apply(["read.path=elsewhere.txt"], GRAPH, registry), "read", "path") == "elsewhere.txt"
    assert param(apply(["word.value=here.txt"], GRAPH, registry), "word", "value") == "here.txt", "no path"


def test_what_does_not_suit_is_left_for_validation_to_say(registry: Registry, tmp_path: Path) -> None:
    changed = apply(["one.value=1000", "turns.n=many"], GRAPH, registry)
    with pytest.raises(WorkflowError) as caught:
        Engine(registry, tmp_path).run(changed)
    assert {(p.node, p.port) for p in caught.value.problems} >= {("one", "value"), ("turns", "n")}


@pytest.mark.parametrize(
    ("setting", "message", "remedy"),
    [
        ("one.value", "there is no '='", "node.param=value"),
        ("onne.value=1", "no node 'onne'", "'one'"),
        ("deep.bye=1", "no parameter 'bye'", "'by'"),
        ("deth=1", "nothing is exposed", "'depth'"),
        ("deep=1", "say which parameter", "'by'"),
        ("deep.x=1", "takes a wire of type number", "Wire"),
        ("deep.by.k=1", "is one value", "deep.by=value"),
        ("used.bye=1", "no parameter 'bye'", "'by'"),
    ],
)
def test_a_setting_that_names_nothing(
    setting: str, message: str, remedy: str, registry: Mapping[str, NodeSpec]
) -> None:
    with pytest.raises(WorkflowError) as caught:
        apply([setting, "nowhere.at=1"], GRAPH, registry)
    first, second = caught.value.problems
    assert message in first.message
    assert setting.partition("=")[0] in first.message
    assert remedy in first.remedy
    assert "nowhere" in second.message, "all are told at once"


def test_the_workflow_that_was_read_stays_as_it_is(registry: Mapping[str, NodeSpec]) -> None:
    before = write(GRAPH)
    apply(["one.value=3", "deep.by=2", "scaled.by=1", "sweep.over.k=[3]"], GRAPH, registry)
    assert write(GRAPH) == before
