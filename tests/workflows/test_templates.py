"""The pieces of graphs that the palette offers: as the writer has them, and right but for what is to be wired or chosen."""

from __future__ import annotations

from pathlib import Path

import pytest

from graph_runner.bind.paths import Paths
from graph_runner.bind.validate import errors, validate
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import load, walk, write

TEMPLATES = sorted((Path(__file__).parents[2] / "workflows/templates").glob("*.json"))


def test_there_are_some() -> None:
    assert len(TEMPLATES) >= 4


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_is_right_but_for_what_is_to_be_wired_or_chosen(path: Path, tmp_path: Path) -> None:
    workflow = load(path)
    assert write(workflow) == path.read_text()
    assert workflow.title
    assert workflow.about
    assert {id for id, _ in walk(workflow.nodes)} <= set(workflow.layout), "each node has its place"
    _, problems = validate(workflow, Registry.installed(), Paths(tmp_path))
    for problem in errors(problems):
        assert "is missing" in problem.message or problem.message.startswith("there is no file"), problem
