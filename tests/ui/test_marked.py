"""After a change of literals exactly those problems are told that a whole validation tells."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph_runner.bind import standing
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Node, read, walk
from tests.effort import cases
from tests.ui.conftest import NODES, RunningServer, graph
from ui import marked
from ui.library import checked
from ui.marked import Marked

SHIPPED = [path.read_text() for path in sorted((Path(__file__).parents[2] / "workflows").glob("*.json"))]
DRAWN = {
    **{f"noise{n}": {"type": "gaussian_noise", "params": {"shape": [1, 4, 8, 8], "seed": n}} for n in range(4)},
    "sum": {"type": "add_noise", "wires": {"z0": "noise0", "noise": "noise1", "schedule": "nothing"}},
    "twice": {"type": "use", "params": {"seed": 3}},
    "look0": {"type": "save_lora", "wires": {"model": "picture"}, "params": {"name": "one"}},
    "look1": {"type": "save_lora", "wires": {"model": "picture"}, "params": {"name": "two"}},
    "picture": {"type": "load_image", "params": {"path": "there.png"}},
    "mute": {"type": "gaussian_noise", "mode": "mute", "params": {"shape": [1], "seed": 1}},
    "sums": {"type": "calculate", "params": {"values": {"a": 1}, "expression": "a + b"}},
}
USED = {"use": {"inputs": ["seed"], "nodes": {"n": {"type": "gaussian_noise", "params": {"shape": [1, 4]}, "wires": {"seed": "inputs.seed"}}}, "results": {"noise": "n"}}}  # fmt: skip
MADE = json.dumps({"loom": 1, "definitions": USED, "nodes": DRAWN})
VALUES = st.sampled_from([0, 1, 3, -1, 2**63, 2**65, 0.5, 1e400, "", "one", "two", "there.png", "gone.png", "\ud800", "a - c", "ddim", True, None, [], [1, 4, 8, 8], [1, [2]], {}, {"a": 1}])  # fmt: skip


@cache
def installed() -> Registry:
    return Registry.installed()


def whole(text: str, folder: Path) -> list[str]:
    return [repr(each) for each in checked(text, installed(), folder, True, types=False).validation.problems]


@settings(max_examples=cases(60, 5000), deadline=None)
@given(data=st.data())
def test_changed_literals_are_judged_as_in_the_whole_file(data: st.DataObject, tmp_path_factory: Any) -> None:
    folder: Path = tmp_path_factory.getbasetemp()
    (folder / "there.png").touch()
    text = data.draw(st.sampled_from([MADE] * 10 + SHIPPED))
    nodes = dict(walk(read(text).nodes))
    literals = {}
    for id in data.draw(st.lists(st.sampled_from(sorted(nodes)), min_size=1, max_size=3, unique=True)):
        literals[id] = dict(nodes[id].params)
        names = sorted({*nodes[id].params, *names_of(nodes[id]), "sead", "no name"})
        for name in data.draw(st.lists(st.sampled_from(names), max_size=2)):
            literals[id][name] = data.draw(VALUES)
        for name in data.draw(st.lists(st.sampled_from(names), max_size=1)):
            literals[id].pop(name, None)
    found = checked(text, installed(), folder, True, types=False)
    kept = Marked()
    mark = kept.keep(text, found.standing, installed())
    as_it_was = kept.again(mark, "{}", installed())
    assert as_it_was is not None
    again = kept.again(mark, json.dumps(literals), installed())
    told_alone = all(stands_alone(nodes[id]) for id in literals) and marked._read(json.dumps(literals)) is not None
    assert (again is not None) == told_alone
    if again is not None:
        document = json.loads(text)
        for id, params in literals.items():
            place(document["nodes"], id)["params"] = params
        assert [repr(each) for each in again] == whole(json.dumps(document), folder)
    assert [repr(each) for each in as_it_was] == whole(text, folder), "it stays as it was"


@pytest.mark.parametrize(
    ("id", "params", "words"),
    [
        ("noise0", {"shape": [1, 4, 8, 8], "seed": 1}, "draw the same numbers"),
        ("look1", {"name": "one"}, "would replace the other"),
        ("picture", {"path": "gone.png"}, "there is no file"),
        ("noise3", {"shape": "wide"}, "should be a valid"),
        ("noise3", {"shap": [1]}, "has no input"),
    ],
)
def test_each_rule_that_reads_literals_is_asked(id: str, params: dict[str, Any], words: str, tmp_path: Path) -> None:
    (tmp_path / "there.png").touch()
    kept = Marked()
    mark = kept.keep(MADE, checked(MADE, installed(), tmp_path, True).standing, installed())
    again = [repr(each) for each in kept.again(mark, json.dumps({id: params}), installed()) or []]
    document = json.loads(MADE)
    document["nodes"][id]["params"] = params
    assert again == whole(json.dumps(document), tmp_path)
    assert set(again) - set(whole(MADE, tmp_path))
    assert any(words in each for each in again)


def stands_alone(node: Node) -> bool:
    """Whether nothing but its own ports depends on its literals."""
    spec = installed().get(node.type)
    return (
        spec is not None
        and node.mode == "run"
        and not any(port.named or port.names_in is not None for port in spec.inputs)
    )


def names_of(node: Node) -> list[str]:
    spec = installed().get(node.type)
    return [] if spec is None else list(spec.params)


def place(nodes: dict[str, Any], id: str) -> dict[str, Any]:
    """A node in a document, at whatever depth; {} where it is not."""
    inside = (place(node["body"].get("nodes", {}), id) for node in nodes.values() if "body" in node)
    return nodes[id] if id in nodes else next(filter(None, inside), {})


def test_the_work_is_that_of_what_changed(server: RunningServer, monkeypatch: Any) -> None:
    """Nothing of other nodes is bound or typed again; what was kept too long ago, or with other nodes, is not answered."""
    nodes = {f"n{n}": {"type": "number", "params": {"value": n}} for n in range(50)}
    text = json.dumps({"loom": 1, "nodes": nodes})
    registry, kept, folder = Registry.scan(NODES), Marked(), server.workspace
    mark = kept.keep(text, checked(text, registry, folder, True).standing, registry)
    bound: list[str] = []
    monkeypatch.setattr(standing, "bind_inputs", lambda node, *_: bound.append(node.id))
    monkeypatch.setattr(standing, "find", None)
    assert kept.again(mark, '{"n7": {"value": 1}}', registry) == []
    assert bound == ["n7"]
    assert kept.again(mark, '{"n7": {"value": 1}}', Registry.scan(NODES)) is None
    assert kept.again("another", "{}", registry) is None
    monkeypatch.undo()
    monkeypatch.setattr(marked, "MOST_NODES", 60)
    kept.keep(text + " ", checked(text, registry, folder, True).standing, registry)
    assert kept.again(mark, "{}", registry) is None


def test_the_server_tells_it_over_the_wire(server: RunningServer) -> None:
    nodes = {"a": {"type": "number", "params": {"value": 1}}, "b": {"type": "number", "params": {"value": "x"}}}
    mark = server.call("validate", workflow=graph(nodes))["mark"]
    for value in ("y", 2):
        nodes["a"]["params"] = {"value": value}
        wanted = server.call("validate", workflow=graph(nodes))["problems"]
        told = server.call("revalidate", mark=mark, literals=json.dumps({"a": {"value": value}}))
        assert told["problems"] == wanted
        assert told["mark"] == mark
    assert server.call("revalidate", mark=mark, literals='{"c": {}}') is None
    assert server.call("revalidate", mark="", literals="{") is None
