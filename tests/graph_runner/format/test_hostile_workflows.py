"""Workflow text that accident or ill will has changed: read and validated, or refused in sentences, and always soon."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest

from graph_runner.base.problems import MOST_PROBLEMS, Problem, WorkflowError
from graph_runner.bind.expand import MOST_NESTED, MOST_NODES
from graph_runner.bind.validate import errors, validate
from graph_runner.contract import NodeSpec
from graph_runner.contract.registry import Registry
from graph_runner.format.document import MOST_BYTES, MOST_VALUES
from graph_runner.format.workflow import read, write
from tests import mutations
from tests.bounds import no_hang
from tests.effort import cases
from tests.graph_runner.conftest import graph

SHIPPED = sorted((Path(__file__).parents[3] / "workflows").glob("*.json"))


@pytest.fixture(scope="module")
def everything() -> Registry:
    return Registry.scan(["graph_runner.zones", "nodes"])


def problems_of(content: str | bytes, registry: Mapping[str, NodeSpec]) -> list[Problem]:
    """What is wrong with a text. What is right must come back from its canonical text as it was."""
    try:
        workflow = read(content, "flow.json")
        found = validate(workflow, registry)[1]
    except WorkflowError as error:
        return error.problems
    assert read(write(workflow)) == workflow
    return errors(found)


def assert_told(problems: list[Problem]) -> None:
    assert len(problems) <= 2 * MOST_PROBLEMS + 2
    for problem in problems:
        assert len(problem.message.split()) >= 2, problem
        assert len(str(problem)) < 6000, "a message is for people"
        str(problem).encode()


@pytest.mark.parametrize("kind", ["bytes", "structure"])
def test_changed_workflows_are_read_or_refused(kind: str, everything: Registry) -> None:
    refused = 0
    for number in range(cases(150, 10_000)):
        random = Random(f"{kind} {number}")
        original = random.choice(SHIPPED).read_bytes()
        changed = mutations.bytes_of(original, random)
        if kind == "structure":
            changed = mutations.text(mutations.document(json.loads(original), random))
        with no_hang(f"{kind} {number}"):
            problems = problems_of(changed, everything)
        assert_told(problems)
        refused += bool(problems)
    assert refused, "some of the changes are told"


def doubling(levels: int) -> dict[str, Any]:
    uses = {
        f"d{i}": {"nodes": {"a": {"type": f"d{i + 1}"}, "b": {"type": f"d{i + 1}"}}, "results": {}}
        for i in range(levels)
    }
    last = {f"d{levels}": {"nodes": {"n": {"type": "number"}}, "results": {}}}
    return {"loom": 1, "definitions": uses | last, "nodes": {"a": {"type": "d0"}}}


def doubling_wires(levels: int) -> dict[str, Any]:
    first = {"d0": {"inputs": ["x"], "nodes": {}, "results": {"out": ["inputs.x", "inputs.x"]}}}
    others = {
        f"d{i}": {
            "inputs": ["x"],
            "nodes": {"u": {"type": f"d{i - 1}", "wires": {"x": "inputs.x"}}},
            "results": {"out": ["u.out", "u.out"]},
        }
        for i in range(1, levels)
    }
    last = {"type": f"d{levels - 1}", "wires": {"x": "n"}}
    return {"loom": 1, "definitions": first | others, "nodes": {"n": {"type": "number"}, "a": last}}


def nested(depth: int) -> dict[str, Any]:
    nodes: dict[str, Any] = {"n": {"type": "number"}}
    for i in range(depth):
        nodes = {f"g{i}": {"type": "group", "body": {"nodes": nodes}}}
    return {"loom": 1, "nodes": nodes}


def params(value: str) -> str:
    return f'{{"loom": 1, "nodes": {{"a": {{"type": "number", "params": {{"value": {value}}}}}}}}}'


LARGE: dict[str, tuple[Callable[[], str | bytes], str]] = {
    "definitions that double": (lambda: json.dumps(doubling(23)), "the graph has 25,165,823 nodes"),
    "and more so": (lambda: json.dumps(doubling(200)), "more than 24 deep"),
    "wires that double": (lambda: json.dumps(doubling_wires(20)), "stand for more than 200,000 wires"),
    "many nodes": (
        lambda: json.dumps({"loom": 1, "nodes": {f"n{i}": {"type": "x"} for i in range(MOST_NODES + 1)}}),
        "the graph has 20,001 nodes",
    ),
    "200,000 nodes": (
        lambda: json.dumps({"loom": 1, "nodes": {f"n{i}": {"type": "x"} for i in range(200_000)}}),
        f"more than {MOST_VALUES:,} values",
    ),
    "a problem at each of many nodes": (
        lambda: json.dumps(
            {"loom": 1, "nodes": {f"n{i}": {"type": "add", "wires": {"a": f"m{i}"}} for i in range(MOST_NODES)}}
        ),
        "and more is wrong than is told here",
    ),
    "a circle of many": (
        lambda: json.dumps(
            {
                "loom": 1,
                "nodes": {f"n{i}": {"type": "same", "wires": {"x": f"n{(i + 1) % 5000}"}} for i in range(5000)},
            }
        ),
        "wait for each other: .* and 4,988 more",
    ),
    "deep zones": (lambda: json.dumps(nested(MOST_NESTED + 1)), "more than 24 deep"),
    "deep lists": (lambda: params("[" * 100_000 + "]" * 100_000), "deeper than 128"),
    "lists that are deep, not very": (lambda: params("[" * 200 + "]" * 200), "deeper than 128"),
    "a list of a million": (lambda: params(f"[{','.join('1' * 1_000_000)}]"), "more than 250,000 values"),
    "a long text": (lambda: params('"' + "x" * MOST_BYTES + '"'), "larger than 8 MiB"),
    "a long name": (lambda: json.dumps({"loom": 1, "nodes": {"a" * 100_000: {"type": "x"}}}), "at most 200 char"),
    "keys in pairs": (
        lambda: '{"loom": 1, ' + ", ".join(f'"k{i}": 1, "k{i}": 2' for i in range(50_000)) + "}",
        "holds the key 'k0' twice",
    ),
    "5,000 digits": (lambda: params("1" * 5000), "holds the whole number 1111.*Whole numbers go from"),
    "2^64": (lambda: params(str(2**64)), "holds the whole number 18446744073709551616"),
    "1e999": (lambda: params("1e999"), "finite numbers only"),
    "Infinity": (lambda: params("-Infinity"), "finite numbers only"),
    "half a surrogate pair": (lambda: params('"\\ud800"'), "half of a surrogate pair"),
    "half of one as a key": (lambda: '{"loom": 1, "\\udc00": 1}', "half of a surrogate pair"),
    "latin-1": (lambda: params('"Größe"').encode("latin-1"), "byte 70 is no utf-8"),
    "nothing": (lambda: b"", "The file is empty"),
    "a JPEG": (lambda: b"\xff\xd8\xff\xe0\0", "It is a JPEG picture"),
    "a model": (lambda: b"\x20\0\0\0\0\0\0\0" + b'{"a":1}', "It is a safetensors model"),
    "a ComfyUI workflow": (lambda: '{"last_node_id": 1, "nodes": [], "links": []}', "It is a ComfyUI workflow"),
    "a ComfyUI prompt": (lambda: '{"3": {"class_type": "KSampler", "inputs": {}}}', "It is a ComfyUI prompt"),
}


@pytest.mark.parametrize("name", LARGE)
def test_what_is_too_large_or_foreign_is_refused(name: str, registry: Registry) -> None:
    content, told = LARGE[name]
    with no_hang(name):
        problems = problems_of(content(), registry)
    with pytest.raises(WorkflowError, match=told):
        raise WorkflowError(problems)
    assert_told(problems)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_texts_of_other_programs_are_read(encoding: str) -> None:
    content = '{\r\n "loom": 1,\r\n "title": "Größe", "nodes": {"a": {"type": "x", "params": {"v": [-0, 18446744073709551615]}}}\r\n}'
    workflow = read(content.encode(encoding))
    assert workflow.title == "Größe"
    assert workflow.nodes["a"].params["v"] == [0, 2**64 - 1]
    assert read("\ufeff" + content) == workflow


def test_a_large_graph_that_is_right_is_taken(registry: Registry) -> None:
    chain = {f"n{i}": {"type": "add", "wires": {"a": f"n{i - 1}", "b": f"n{i - 1}"}} for i in range(1, 2000)}
    top, problems = validate(graph({"n0": {"type": "number"}} | chain), registry)
    assert not errors(problems)
    assert len(top.nodes) == 2000


def test_a_long_row_of_bypassed_nodes_is_walked_once(registry: Registry) -> None:
    nodes: dict[str, Any] = {"n0": {"type": "number"}}
    for i in range(1, 4000):
        nodes[f"n{i}"] = {"type": "add", "mode": "bypass", "wires": {"a": f"n{i - 1}", "b": "n0"}}
        nodes[f"m{i}"] = {"type": "add", "wires": {"a": f"n{i}", "b": "n0"}}
    with no_hang("bypassed"):
        top, problems = validate(graph(nodes), registry)
    assert not errors(problems)
    assert top.nodes["m3999"].wires["a"].node == "n0"  # type: ignore[union-attr]
