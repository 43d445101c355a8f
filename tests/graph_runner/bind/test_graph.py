"""A validated graph: nobody changes it, compiling least of all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph_runner.bind.graph import BoundNode, FrozenError, Scope, in_order
from graph_runner.bind.paths import Paths
from graph_runner.bind.validate import errors, validate
from graph_runner.compile.compiler import compile_graph
from graph_runner.compile.plan import Code
from graph_runner.contract.registry import Registry
from graph_runner.run.targets import targets_of
from tests.graph_runner.conftest import graph
from tests.graph_runner.drawing import ONE, every, noted, record, repeat


def drawn() -> dict[str, Any]:
    """Two loops, one in the other, with what hoisting moves out of both."""
    inner = {"still": noted("one", "still"), "sum": {"type": "add", "wires": {"a": "still", "b": "inner.state.x"}}}
    outer = {
        "inner": repeat(2, inner, "sum", x="outer.state.x"),
        "look": every(2, {"show": record("outer.state.x")}),
        "unread": noted("one", "unread"),
    }
    all_of = {"type": "total", "wires": {"numbers": ["one", "outer.x"]}}
    return {"one": ONE, "outer": repeat(3, outer, "inner.x"), "all": all_of, "other": noted("one", "other")}


@pytest.fixture
def top(registry: Registry) -> Scope:
    found, problems = validate(graph(drawn()), registry)
    assert not errors(problems)
    return found


def ids(code: Code) -> set[str]:
    found: set[str] = set()
    for step in (*(member for unit in code.steps for member in unit.members), *code.asides):
        found |= {step.id} | (ids(step.body) if step.body is not None else set())
    return found


def test_one_graph_is_compiled_for_one_target_after_another(top: Scope) -> None:
    everything = {bound.id for bound in top.walk()}
    for targets, wanted in (
        (["other"], {"one", "other"}),
        (["outer.x"], everything - {"all", "other", "unread"}),
        (["all"], everything - {"other", "unread"}),
        (["other"], {"one", "other"}),
    ):
        sources, nodes = targets_of(top, targets)
        plan = compile_graph(top, sources, None, only=nodes)
        assert ids(plan.code) == wanted
    assert {bound.id for bound in top.walk()} == everything
    assert all(bound.scope.nodes[bound.id] is bound for bound in top.walk()), "nothing was moved"


def test_a_validated_graph_refuses_every_change(top: Scope) -> None:
    zone, body = top.nodes["outer"], top.nodes["outer"].body
    assert body is not None
    changes = [
        lambda: setattr(top, "nodes", {}),
        lambda: setattr(zone, "body", None),
        lambda: setattr(body, "parent", None),
        lambda: top.nodes.pop("one"),
        lambda: top.nodes.update(new=zone),
        lambda: body.nodes.clear(),
        lambda: zone.params.__setitem__("n", 9),
        lambda: zone.params.setdefault("more", 9),
        lambda: zone.wires.__delitem__("state"),
        lambda: zone.wires["state"].__setitem__("x", None),  # type: ignore[index, union-attr, call-overload]
        lambda: zone.outputs.popitem(),
        lambda: body.results.__ior__({}),
        lambda: body.ports.clear(),
        lambda: top.uses.clear(),
    ]
    for change in changes:
        with pytest.raises(FrozenError, match="does not change"):
            change()
    assert isinstance(top.nodes["all"].wires["numbers"], tuple)


def test_a_graph_with_problems_is_frozen_too(registry: Registry) -> None:
    top, problems = validate(graph({"a": {"type": "nothing"}, "b": ONE}), registry)
    assert problems
    with pytest.raises(FrozenError):
        top.nodes["a"] = BoundNode("a", top.nodes["b"].spec, top)


def test_paths_are_placed_while_a_graph_is_bound_and_all_that_is_wrong_is_told_at_once(
    registry: Registry, tmp_path: Path
) -> None:
    (tmp_path / "there.txt").write_text("1")
    nodes = {id: {"type": "read_number", "params": {"path": f"{id}.txt"}} for id in ("there", "gone", "lost")}
    nodes["far"] = noted("nowhere", "far")
    top, problems = validate(graph(nodes), registry, Paths(tmp_path))
    assert top.nodes["there"].params["path"] == str(tmp_path / "there.txt")
    assert {(problem.node, problem.port) for problem in problems} == {("gone", "path"), ("lost", "path"), ("far", "x")}
    assert validate(graph(nodes), registry)[0].nodes["there"].params["path"] == "there.txt"


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=10))
def test_nodes_in_order_are_those_that_sorting_leaves_where_they_are(edges: list[tuple[int, int]]) -> None:
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from("abcdefg")
    graph.add_edges_from(("abcdefg"[a], "abcdefg"[b]) for a, b in edges)
    if in_order(graph):
        assert nx.is_directed_acyclic_graph(graph)
        assert list(nx.lexicographical_topological_sort(graph)) == list("abcdefg")
    elif nx.is_directed_acyclic_graph(graph):
        assert list(nx.lexicographical_topological_sort(graph)) != list("abcdefg")
