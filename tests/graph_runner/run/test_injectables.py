"""What nodes are handed is a table: the engine's own kinds, a package's, the host's; and what nobody makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest

from graph_runner.base.problems import WorkflowError
from graph_runner.bind.validate import errors, validate
from graph_runner.context import Call, injectable
from graph_runner.contract import ContractError, Inject, node
from graph_runner.contract.context import BUILT_IN
from graph_runner.contract.registry import Registry
from graph_runner.estimate.dry import dry_run
from graph_runner.run.engine import Engine
from graph_runner.run.injectables import INJECTABLES
from tests.graph_runner.conftest import TOYS, graph
from tests.graph_runner.drawing import ONE, repeat
from tests.graph_runner.toys import Number

NOTES: list[str] = []


class Notebook:
    """A package's own surroundings: where a node may note something."""

    __inject__: ClassVar[str] = "notebook"

    def __init__(self, call: Call) -> None:
        self.call = call

    def note(self, text: str) -> None:
        NOTES.append(f"{self.call.node} {list(self.call.turns)} {'dry' if self.call.dry else text}")


@injectable("notebook")
def notebook(call: Call) -> Notebook:
    assert call.dry or call.folder.is_relative_to(call.workspace)
    assert (str(call.device), str(call.dtype)) == ("cpu", "torch.float32")
    return Notebook(call)


@node(category="test")
def noting(x: Number, book: Notebook) -> Number:
    """Note a number in the notebook."""
    book.note(f"{float(x):g}")
    return x + 1


@node(category="test")
def asking(x: Number, who: Annotated[str, Inject("owner")]) -> Number:
    """Ask for what only some hosts have."""
    NOTES.append(who)
    return x


@pytest.fixture(autouse=True)
def no_notes() -> None:
    NOTES.clear()


REGISTRY = Registry.scan([*TOYS, __name__])
NODES: dict[str, Any] = {
    "one": ONE,
    "loop": repeat(2, {"n": {"type": "noting", "wires": {"x": "loop.state.x"}}}, "n"),
    "last": {"type": "noting", "wires": {"x": "loop.x"}},
}


def test_a_packages_own_kind_comes_with_its_nodes(tmp_path: Path) -> None:
    assert list(REGISTRY.injectables) == ["notebook"]
    result = Engine(REGISTRY, tmp_path).run(graph(NODES), targets=["last"])
    assert float(result.values["last"]) == 4
    assert NOTES == ["n [0] 1", "n [1] 2", "last [] 3"]


def test_a_dry_run_hands_it_in_too(tmp_path: Path) -> None:
    top, _ = validate(graph(NODES), REGISTRY)
    found = dry_run(top, tmp_path, injectables=REGISTRY.injectables)
    assert not found.problems
    assert NOTES == ["n [] dry", "last [] dry"]


def test_what_nobody_makes_is_a_problem_before_anything_runs(tmp_path: Path) -> None:
    nodes = {"one": ONE, "a": {"type": "asking", "wires": {"x": "one"}}}
    [problem] = errors(validate(graph(nodes), REGISTRY)[1])
    assert (problem.node, problem.port) == ("a", "who")
    assert "'owner'" in problem.message
    assert "--nodes" in problem.remedy
    with pytest.raises(WorkflowError, match="nobody here makes one"):
        Engine(REGISTRY, tmp_path).run(graph(nodes), targets=["a"])
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())


def test_a_host_adds_its_own(tmp_path: Path) -> None:
    @injectable("owner")
    def owner(call: Call) -> str:
        return f"the owner of {call.node}"

    registry = Registry.scan([*TOYS, __name__], [owner])
    nodes = {"one": ONE, "a": {"type": "asking", "wires": {"x": "one"}}}
    Engine(registry, tmp_path).run(graph(nodes), targets=["a"])
    assert NOTES == ["the owner of a"]


@pytest.mark.parametrize("kind", ["rng", "notebook"])
def test_two_makers_of_one_kind_are_refused(kind: str) -> None:
    def make(call: Call) -> None: ...

    more: Callable[..., Any] = injectable(kind)(make)
    with pytest.raises(ContractError, match=f"makes '{kind}', and so does"):
        Registry.scan([__name__], [more])


def test_the_engines_kinds_are_those_that_validation_knows() -> None:
    assert INJECTABLES.keys() == BUILT_IN
