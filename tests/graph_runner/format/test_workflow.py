"""The workflow file: one canonical text, readable diffs, and every problem of form told at once."""

from __future__ import annotations

import difflib
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph_runner.base.problems import WorkflowError
from graph_runner.format import workflow as format_
from graph_runner.format.workflow import Workflow, load, read, save, write

identifiers = st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True)
references = st.builds(".".join, st.lists(identifiers, min_size=1, max_size=3))
literals = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
wires = st.dictionaries(
    identifiers,
    references | st.lists(references, max_size=3) | st.dictionaries(identifiers, references, max_size=3),
    max_size=3,
)
results = st.dictionaries(references.filter(lambda r: r.count(".") < 2), references | st.lists(references), max_size=3)


def node_with(body: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    optional = {
        "mode": st.sampled_from(["run", "mute", "bypass"]),
        "params": st.dictionaries(identifiers, literals, max_size=3),
        "wires": wires,
        "body": body,
    }
    return st.fixed_dictionaries({"type": identifiers}, optional=optional)


nodes = st.recursive(
    node_with(st.none()),
    lambda inner: node_with(
        st.fixed_dictionaries(
            {}, optional={"nodes": st.dictionaries(identifiers, inner, max_size=2), "results": results}
        )
    ),
    max_leaves=4,
)
places = st.fixed_dictionaries(
    {"at": st.tuples(st.integers(-999, 999), st.integers(-999, 999)).map(list)},
    optional={
        "size": st.just([300, 200]),
        "kind": st.sampled_from(["node", "frame", "note", "reroute"]),
        "collapsed": st.booleans(),
        "text": st.text(max_size=200),
        "colour": st.sampled_from(["#fa0", "green"]),
        "wire": references | st.lists(references, min_size=2, max_size=3),
    },
)
documents = st.fixed_dictionaries(
    {"loom": st.just(1)},
    optional={
        "title": st.text(),
        "about": st.text(max_size=200),
        "nodes": st.dictionaries(identifiers, nodes, max_size=4),
        "layout": st.dictionaries(identifiers, places, max_size=4),
        "exposed": st.fixed_dictionaries({"params": st.dictionaries(identifiers, references, max_size=2)}),
        "definitions": st.dictionaries(
            identifiers,
            st.fixed_dictionaries(
                {"nodes": st.dictionaries(identifiers, nodes, max_size=2), "results": results},
                optional={
                    "inputs": st.lists(identifiers, max_size=2),
                    "about": st.text(),
                    "layout": st.dictionaries(identifiers, places, max_size=2),
                },
            ),
            max_size=2,
        ),
    },
)


@settings(max_examples=60, deadline=None)
@given(documents, st.randoms(use_true_random=False))
def test_the_canonical_text_is_byte_stable_and_keeps_the_meaning(document: dict[str, Any], random: Any) -> None:
    workflow = read(json.dumps(document))
    text = write(workflow)
    assert write(read(text)) == text
    assert read(text) == workflow
    for key in ("nodes", "layout"):
        assert json.loads(text).get(key, {}).keys() == document.get(key, {}).keys()

    def shuffled(value: Any) -> Any:
        """The same document with the fields of a node in another order (ids keep theirs)."""
        if isinstance(value, dict) and "type" in value:
            items = list(value.items())
            random.shuffle(items)
            return dict(items)
        return value

    document = {**document, "nodes": {id: shuffled(node) for id, node in document.get("nodes", {}).items()}}
    assert write(read(json.dumps(document))) == text, "whatever order a hand wrote the fields in"


def drawn(x: int) -> Workflow:
    nodes = {"a": {"type": "number", "params": {"value": 1}}, "b": {"type": "add", "wires": {"a": "a", "b": "a"}}}
    layout = {"a": {"at": [0, 0], "size": [200, 80]}, "b": {"at": [x, 40]}, "c": {"at": [0, 0], "kind": "note"}}
    return Workflow.model_validate({"nodes": nodes, "layout": layout})


def test_moving_a_node_is_a_one_line_diff() -> None:
    diff = list(difflib.ndiff(write(drawn(10)).splitlines(), write(drawn(250)).splitlines()))
    assert [line[:1] for line in diff if line[0] in "+-"] == ["-", "+"]


def test_layout_comes_last_and_a_node_that_fits_takes_one_line() -> None:
    text = write(drawn(1))
    assert list(json.loads(text)) == ["loom", "nodes", "layout"]
    assert '  "b": {"type": "add", "wires": {"a": "a", "b": "a"}}' in text.splitlines()


def test_saving_and_loading_a_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "flow.json"
    save(drawn(3), path)
    first = path.read_bytes()
    save(load(path), path)
    assert path.read_bytes() == first
    assert [entry.name for entry in path.parent.iterdir()] == ["flow.json"], "no temporary file is left"
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode), "others may read it as usual"


def problems(text: str) -> list[tuple[str, str, str]]:
    with pytest.raises(WorkflowError) as caught:
        read(text, "flow.json")
    return [(problem.node, problem.port, f"{problem.message}. {problem.remedy}") for problem in caught.value.problems]


def test_every_problem_of_form_is_told_at_once_each_with_its_place() -> None:
    text = """{"loom": 1, "frob": 1, "nodes": {
      "a": {"type": "number", "param": {}, "wires": {"strength": 5, "many": ["ok", "Not ok"]}},
      "Bad": {"type": "x"},
      "nodes": {"mode": "off"},
      "z": {"type": "sample", "body": {"nodes": {"inner": {"type": "x", "mode": "asleep"}}, "results": {"r": {"n": "a"}}}},
      "twice": {"type": "x", "params": {"p": 1, "p": 2}},
      "large": {"type": "x", "params": {"p": 1e999, "q": NaN}}},
      "layout": {"a": {"at": [0.5, 1]}}}"""
    found = problems(text)
    places = {(node, port): message for node, port, message in found}
    assert "unknown field 'frob'" in places["", "frob"]
    assert "unknown field 'param'. Did you mean 'params'?" in places["a", "param"]
    assert "valid string (found 5)" in places["a", "wires.strength"]
    assert "'Not ok' is no valid name" in places["a", "wires.many.1"]
    assert "'Bad' is no valid name" in places["Bad", ""]
    assert "field required" in places["nodes", "type"]
    assert "'run', 'mute' or 'bypass'" in places["nodes", "mode"]
    assert "'mute'" in places["inner", "mode"]
    assert "valid string" in places["z", "body.results.r"]
    assert "holds the key 'p' twice" in places["p", ""]
    assert "integer" in places["a", "at.0"]
    assert [message for _, _, message in found if "number" in message and "finite" in message] == [
        "flow.json holds the number 1e999. JSON has finite numbers only",
        "flow.json holds the number NaN. JSON has finite numbers only",
    ]
    assert len(found) == 13


def test_all_doubled_keys_are_told() -> None:
    found = problems('{"loom": 1, "nodes": {"a": {"type": "x"}, "a": {"type": "y", "type": "z"}}}')
    assert [node for node, _, _ in found] == ["type", "a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"flow.json is no valid JSON \(line 1, column 2"),
        ("[]", "holds no JSON object"),
        ("{}", 'has no version; this program reads "loom": 1'),
        ('{"loom": 2}', "has version 2; .*Update Latent Loom"),
        ('{"loom": "1"}', "has version '1'"),
        ('{"loom": true}', "has version True"),
        ('{"loom": 1, "title": "\\ud800"}', "half of a surrogate pair"),
    ],
)
def test_what_is_no_workflow_is_refused(text: str, message: str) -> None:
    with pytest.raises(WorkflowError, match=message):
        read(text, "flow.json")


def test_deep_nesting_is_refused_and_not_a_crash() -> None:
    with pytest.raises(WorkflowError):
        read("[" * 100_000)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkflowError, match=r"cannot read .*none\.json: No such file"):
        load(tmp_path / "none.json")


def test_old_versions_are_migrated_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def from_minus_one(document: dict[str, Any]) -> dict[str, Any]:
        return {"loom": 0, "graph": document["graph"]}

    def from_zero(document: dict[str, Any]) -> dict[str, Any]:
        return {"loom": 1, "nodes": document["graph"]}

    monkeypatch.setattr(format_, "MIGRATIONS", {-1: from_minus_one, 0: from_zero})
    assert read('{"loom": -1, "graph": {"a": {"type": "number"}}}') == read(
        '{"loom": 1, "nodes": {"a": {"type": "number"}}}'
    )


def test_reading_runs_nothing_and_needs_no_node_package() -> None:
    assert list(read('{"loom": 1, "nodes": {"a": {"type": "nobody_knows_this"}}}').nodes) == ["a"]
