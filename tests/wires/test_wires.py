"""The engine still says of each wire what the file says that it says; the canvas is asked the same by vitest."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from graph_runner.bind.validate import errors, validate
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from tests.effort import cases
from tests.wires import make

ASKED = json.loads(make.FILE.read_text(encoding="utf-8"))
ANEW = "python -m tests.wires.make makes the file anew"


@pytest.fixture(scope="module")
def registry() -> Registry:
    return make.registry()


def test_the_catalogue_and_the_graphs_are_those_of_today(registry: Registry) -> None:
    known = json.loads(json.dumps(make.catalogue(registry)))
    assert {"nodes": ASKED["nodes"], "types": ASKED["types"]} == known, ANEW
    graphs = {
        name: json.loads(workflow.model_dump_json(exclude_defaults=True)) for name, workflow in make.graphs().items()
    }
    assert {each["graph"]: each["workflow"] for each in ASKED["graphs"]} == graphs, ANEW


def questions() -> Iterator[tuple[str, Workflow, list[list[object]]]]:
    step = cases(4, 1)
    for each in ASKED["graphs"]:
        yield each["graph"], Workflow.model_validate({"loom": 1, **each["workflow"]}), each["wires"][::step]


@pytest.mark.parametrize(("name", "workflow", "wires"), list(questions()), ids=lambda each: each if isinstance(each, str) else "")  # fmt: skip
def test_the_engine_says_so(name: str, workflow: Workflow, wires: list[list[str]], registry: Registry) -> None:
    before = {str(problem) for problem in errors(validate(workflow, registry)[1])}
    for source, target, slot, value, said in wires:
        why = make.refused(make.wired(workflow, target, slot, value), registry, before)
        assert why == said, f"{name}: {source} → {target}.{slot}. {ANEW}"


def test_both_answers_occur_and_there_are_many() -> None:
    answers = [bool(said) for each in ASKED["graphs"] for *_, said in each["wires"]]
    assert len(answers) > 400
    assert 50 < sum(answers) < len(answers) - 50
