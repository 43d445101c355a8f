"""Blueprints: definitions that lie in a workspace for all its workflows."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from graph_runner.__main__ import main
from graph_runner.base.problems import WorkflowError
from graph_runner.bind.validate import validate
from graph_runner.contract.registry import Registry
from graph_runner.format import blueprints
from graph_runner.format.png import KEYWORD
from graph_runner.format.workflow import Workflow, load, save, write
from tests.graph_runner.conftest import graph
from tests.graph_runner.format.test_png import picture
from tests.remote import Machines

DOUBLE = {"inputs": ["x"], "nodes": {"sum": {"type": "add", "wires": {"a": "inputs.x", "b": "inputs.x"}}}, "results": {"out": "sum"}}  # fmt: skip
FOUR = {"about": "Four times.", "inputs": ["x"], "nodes": {"a": {"type": "double", "wires": {"x": "inputs.x"}}, "b": {"type": "double", "wires": {"x": "a.out"}}}, "results": {"out": "b.out"}, "layout": {"a": {"at": [1, 2]}}}  # fmt: skip
OTHER = {"nodes": {"n": {"type": "number"}}, "results": {"out": "n"}}


@pytest.fixture
def made() -> Workflow:
    return graph({}, definitions={"double": DOUBLE, "four": FOUR, "other": OTHER})


def test_a_definition_is_kept_with_those_that_it_uses_and_listed(made: Workflow, tmp_path: Path) -> None:
    assert blueprints.listing(tmp_path) == []
    blueprints.keep(tmp_path, made, "four")
    (tmp_path / "blueprints" / "broken.json").write_text("{")
    (tmp_path / "blueprints" / "moved.json").write_text('{"loom": 1}')
    found = {one.name: one for one in blueprints.listing(tmp_path)}
    assert list(found["four"].workflow.definitions) == ["double", "four"]
    assert found["four"].about == "Four times."
    assert found["four"].workflow.definitions["four"].layout["a"].at == (1, 2), "the drawing goes with it"
    assert "no valid JSON" in found["broken"].problem
    assert "no definition 'moved'" in found["moved"].problem


def test_another_of_its_name_is_not_replaced_unasked(made: Workflow, tmp_path: Path) -> None:
    blueprints.keep(tmp_path, made, "other")
    blueprints.keep(tmp_path, made, "other")  # the same again is no other
    changed = graph({}, definitions={"other": {**OTHER, "about": "Another."}})
    with pytest.raises(FileExistsError, match="says something else"):
        blueprints.keep(tmp_path, changed, "other")
    assert blueprints.keep(tmp_path, changed, "other", overwrite=True).about == "Another."


@pytest.mark.parametrize("name", ["../up", "A", "", "a/b", "a.b", "_a", "a" * 300])
def test_a_name_that_is_none_is_refused(made: Workflow, tmp_path: Path, name: str) -> None:
    for ask in (lambda: blueprints.read(tmp_path, name), lambda: blueprints.remove(tmp_path, name)):
        with pytest.raises(WorkflowError):
            ask()
    with pytest.raises(WorkflowError):
        blueprints.keep(tmp_path, made, name)


def test_what_is_put_in_gets_names_of_its_own_and_runs_there(
    made: Workflow, tmp_path: Path, registry: Registry
) -> None:
    found = blueprints.keep(tmp_path, made, "four")
    mine = graph({}, definitions={"double": OTHER})
    put, name = blueprints.put_into(mine, found, registry)
    assert name == "four"
    assert list(put.definitions) == ["double", "double2", "four"]
    assert {node.type for node in put.definitions["four"].nodes.values()} == {"double2"}
    again, name = blueprints.put_into(made, found, registry)
    assert (name, again.definitions) == ("four", made.definitions), "the same definitions are no others"
    uses = {"n": {"type": "number", "params": {"value": 1}}, "f": {"type": "four", "wires": {"x": "n"}}}
    used = put.model_copy(update={"nodes": graph(uses).nodes})
    assert validate(used, registry)[1] == []


def test_the_same_words_of_another_definition_are_no_blueprint(
    made: Workflow, tmp_path: Path, registry: Registry
) -> None:
    found = blueprints.keep(tmp_path, made, "four")
    mine = graph({}, definitions={"double": OTHER, "four": FOUR})
    put, name = blueprints.put_into(mine, found, registry)
    assert (name, list(put.definitions)) == ("four2", ["double", "four", "double2", "four2"])
    assert {node.type for node in put.definitions["four2"].nodes.values()} == {"double2"}


def test_from_the_command_line(
    made: Workflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("graph_runner.contract.registry.entry_points", lambda group: ())
    save(made, "made.json")
    save(graph({}), "mine.json")
    assert main(["blueprints"]) == 0
    assert "no blueprint" in capsys.readouterr().out
    assert main(["blueprints", "save", "four", "made.json"]) == 0
    assert main(["blueprints", "save", "fuor", "made.json"]) == 2
    assert "Did you mean 'four'" in capsys.readouterr().err
    assert main(["blueprints"]) == 0
    assert "Four times." in capsys.readouterr().out
    assert main(["blueprints", "insert", "four", "mine.json"]) == 0
    assert list(load("mine.json").definitions) == ["double", "four"]
    assert main(["blueprints", "insert", "four"]) == 2
    before = picture(tmp_path / "carrying.png", **{KEYWORD: write(made)}).read_bytes()
    assert main(["blueprints", "insert", "four", "carrying.png"]) == 2
    assert Path("carrying.png").read_bytes() == before, "a picture stays one"
    assert main(["blueprints", "delete", "four"]) == 0
    assert main(["blueprints", "delete", "four"]) == 2


def test_of_a_workspace_at_an_address_all_machines_have_the_same(
    made: Workflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines = Machines(f"memory://{uuid.uuid4().hex}/work", tmp_path, monkeypatch)
    blueprints.keep(machines.workspace("a"), made, "four")
    assert blueprints.read(machines.workspace("b"), "four").workflow.definitions == {
        name: made.definitions[name] for name in ("double", "four")
    }
    assert [one.name for one in blueprints.listing(machines.workspace("c"))] == ["four"]
    with pytest.raises(FileExistsError):
        blueprints.keep(machines.workspace("d"), graph({}, definitions={"four": DOUBLE}), "four")
    blueprints.remove(machines.workspace("e"), "four")
    assert blueprints.listing(machines.workspace("f")) == []
