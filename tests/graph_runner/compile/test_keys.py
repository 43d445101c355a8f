"""Keys: what a value depends on and nothing else, over random graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import networkx as nx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graph_runner.bind.validate import errors, validate
from graph_runner.compile.compiler import Plan, compile_graph
from graph_runner.compile.keys import Keys
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from graph_runner.run.targets import targets_of
from tests.graph_runner.conftest import TOYS, graph

REGISTRY = Registry.scan(TOYS)
Nodes = dict[str, Any]


@st.composite
def random_nodes(draw: st.DrawFn) -> Nodes:
    """A graph of numbers: each node reads earlier ones; some are loops whose body reads them too."""
    nodes: Nodes = {"n0": {"type": "number", "params": {"value": draw(st.integers(1, 3))}}}
    for i in range(1, draw(st.integers(2, 8))):
        earlier = st.sampled_from([id if node["type"] != "repeat" else f"{id}.x" for id, node in nodes.items()])
        kind = draw(st.sampled_from(["number", "add", "scale", "total", "random_number", "repeat", "kept"]))
        nodes[f"n{i}"] = node = {"type": kind}
        if kind == "number":
            node["params"] = {"value": draw(st.integers(1, 5))}
        elif kind == "add":
            node["wires"] = {"a": draw(earlier), "b": draw(earlier)}
        elif kind == "scale":
            node |= {"wires": {"x": draw(earlier)}, "params": {"by": draw(st.sampled_from([0.5, 2.0]))}}
        elif kind == "total":
            node["wires"] = {"numbers": draw(st.lists(earlier, min_size=1, max_size=3))}
        elif kind == "random_number":
            node["params"] = {"seed": i}
        elif kind == "kept":
            node["wires"] = {"x": draw(earlier)}
        else:
            inner = {f"in{i}": {"type": "add", "wires": {"a": f"n{i}.state.x", "b": draw(earlier)}}}
            node |= {
                "wires": {"state": {"x": draw(earlier)}},
                "params": {"n": draw(st.integers(0, 3))},
                "body": {"nodes": inner, "results": {"x": f"in{i}"}},
            }
    return nodes


def ports(nodes: Nodes) -> list[str]:
    return [f"{id}.x" if node["type"] == "repeat" else id for id, node in nodes.items()]


def plan_of(workflow: Workflow, *targets: str, seed: int = 0, dtype: str = "float32") -> Plan:
    top, problems = validate(workflow, REGISTRY)
    assert errors(problems) == []
    wanted, _ = targets_of(top, targets or ports({id: node.model_dump() for id, node in workflow.nodes.items()}))
    return compile_graph(top, wanted, Keys(seed, dtype, lambda bound: str(bound.spec.version)))


LESSON = {
    "nodes": {
        "y": {"type": "apply", "wires": {"model": "fit.models.a", "x": "one"}},
        "loss": {"type": "square", "wires": {"x": "y"}},
    },
    "results": {"number": "loss"},
}


def keys_of(nodes: Nodes, *targets: str, **options: Any) -> dict[str, str]:
    return {step.id: step.key for step in plan_of(graph(nodes), *targets, **options).code.steps}


def renamed(value: Any, names: dict[str, str]) -> Any:
    """The same graph under other ids."""
    if isinstance(value, str):
        head, dot, rest = value.partition(".")
        return names.get(head, head) + dot + rest
    if isinstance(value, list):
        return [renamed(item, names) for item in value]
    result = {}
    for key, item in value.items():
        if key == "nodes":
            result[key] = {names[id]: renamed(node, names) for id, node in item.items()}
        elif key in ("wires", "results", "state", "body"):
            result[key] = renamed(item, names)
        else:
            result[key] = renamed(item, names) if key in ("a", "b", "x", "numbers") else item
    return result


@settings(max_examples=60, deadline=None)
@given(random_nodes(), st.randoms(use_true_random=False))
def test_ids_order_and_layout_do_not_matter(nodes: Nodes, random: Any) -> None:
    first = keys_of(nodes)
    inner = [id for node in nodes.values() for id in node.get("body", {}).get("nodes", {})]
    names = {id: f"other_{i}" for i, id in enumerate([*nodes, *inner])}
    order = list(nodes)
    random.shuffle(order)
    other = {names[id]: renamed(nodes[id], names) for id in order}
    assert keys_of(other) == {names[id]: key for id, key in first.items()}
    placed = graph(nodes, layout={id: {"at": [i, 7]} for i, id in enumerate(nodes)}, title="other", about="other")
    assert {step.id: step.key for step in plan_of(placed).code.steps} == first


@settings(max_examples=60, deadline=None)
@given(random_nodes(), st.data())
def test_a_changed_parameter_changes_the_keys_downstream_and_no_others(nodes: Nodes, data: st.DataObject) -> None:
    first = keys_of(nodes)
    changeable = [id for id, node in nodes.items() if node.get("params")]
    changed = data.draw(st.sampled_from(changeable))
    [name] = nodes[changed]["params"]
    new = {**nodes, changed: {**nodes[changed], "params": {name: nodes[changed]["params"][name] + 1}}}
    second = keys_of(new)
    arrows: nx.DiGraph[str] = nx.DiGraph()
    arrows.add_nodes_from(nodes)
    for id, node in nodes.items():
        text = repr(node)
        arrows.add_edges_from((other, id) for other in nodes if f"'{other}'" in text or f"'{other}." in text)
    arrows.remove_edges_from([(id, id) for id in nodes])
    downstream = {changed, *nx.descendants(arrows, changed)}
    assert {id for id in nodes if first[id] != second[id]} == downstream


@settings(max_examples=60, deadline=None)
@given(random_nodes())
def test_the_order_of_a_plan_is_valid_and_values_live_as_long_as_they_are_read(nodes: Nodes) -> None:
    code = plan_of(graph(nodes)).code
    there: set[int] = set()
    for unit, released in zip(code.steps, code.released, strict=True):
        for step in unit.members:
            assert set(step.reads()) <= there, step.id
            there |= {slot for slot, _ in step.stores}
        there -= set(released)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(nodes=random_nodes(), seed=st.integers(0, 2))
def test_cached_equals_uncached(nodes: Nodes, seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("cache")
    engine, workflow, targets = Engine(REGISTRY, folder), graph(nodes), ports(nodes)
    fresh = engine.run(workflow, targets=targets, seed=seed, fresh=True)
    again = engine.run(workflow, targets=targets, seed=seed)
    later = Engine(REGISTRY, folder).run(workflow, targets=targets, seed=seed)
    other = Engine(REGISTRY, folder, memory=0).run(workflow, targets=targets, seed=seed)
    for run in (again, later, other):
        assert all(torch.equal(run.values[port], fresh.values[port]) for port in targets)
    assert {event.node for event in again.events if type(event).__name__ == "Cached"} == set(nodes)


@settings(max_examples=25, deadline=None)
@given(random_nodes(), st.data())
def test_pruning_and_hoisting_change_no_key(nodes: Nodes, data: st.DataObject) -> None:
    """A node is keyed the same, whatever else the run asks for."""
    all_keys = keys_of(nodes)
    one = data.draw(st.sampled_from(ports(nodes)))
    some = keys_of(nodes, one)
    assert all(all_keys[id] == key for id, key in some.items() if id in all_keys)


def test_only_what_draws_depends_on_the_runs_seed(run: Callable[..., Any]) -> None:
    nodes = {
        "one": {"type": "number"},
        "chance": {"type": "random_number"},
        "sum": {"type": "add", "wires": {"a": "one", "b": "chance"}},
    }
    first, second = keys_of(nodes), keys_of(nodes, seed=1)
    assert first["one"] == second["one"]
    assert first["chance"] != second["chance"]
    assert first["sum"] != second["sum"]


def test_the_dtype_of_the_run_is_part_of_every_key() -> None:
    nodes = {"one": {"type": "number"}}
    assert keys_of(nodes) != keys_of(nodes, dtype="bfloat16")


def loop(inner: Nodes, **more: Any) -> Nodes:
    body = {"nodes": {"next": {"type": "scale", "wires": {"x": "z.state.x"}}, **inner}, "results": {"x": "next"}}
    return {
        "one": {"type": "number"},
        "z": {"type": "repeat", "wires": {"state": {"x": "one"}}, "body": body, **more},
    }


def preview(**inner: Any) -> dict[str, Any]:
    return {"type": "every", "body": {"nodes": inner}}


def test_what_runs_beside_the_turns_is_no_part_of_a_zones_key() -> None:
    show = {"type": "show_number", "wires": {"x": "next"}}
    chance = {"type": "random_number"}
    bare = keys_of(loop({}))["z"]
    assert keys_of(loop({"look": preview(show=show)}))["z"] == bare
    drawn = preview(chance=chance, show={**show, "wires": {"x": "chance"}})
    assert keys_of(loop({"look": drawn}))["z"] == bare, "not even its random numbers"
    assert keys_of(loop({"look": drawn}), seed=5)["z"] == bare
    inside = loop({"show": show})
    assert keys_of(inside)["z"] != bare, "what is shown each turn is the zone's work"


def test_a_preview_deep_inside_is_no_part_of_the_zones_around() -> None:
    def nested(inner: Nodes) -> Nodes:
        body = {"nodes": {"step": {"type": "scale", "wires": {"x": "deep.state.x"}}, **inner}, "results": {"x": "step"}}
        deep = {"type": "repeat", "wires": {"state": {"x": "z.state.x"}}, "body": body}
        return loop({"deep": deep, "sum": {"type": "add", "wires": {"a": "next", "b": "deep.x"}}})

    look = preview(show={"type": "show_number", "wires": {"x": "step"}})
    nodes = nested({})
    nodes["z"]["body"]["results"]["x"] = "sum"
    looking = nested({"look": look})
    looking["z"]["body"]["results"]["x"] = "sum"
    assert keys_of(nodes)["z"] == keys_of(looking)["z"]


def test_a_zone_is_keyed_by_what_its_results_depend_on() -> None:
    dead = {"dead": {"type": "scale", "wires": {"x": "z.state.x"}}}
    assert keys_of(loop(dead))["z"] == keys_of(loop({}))["z"]
    changed = loop({})
    changed["z"]["body"]["nodes"]["next"]["params"] = {"by": 3}
    assert keys_of(changed)["z"] != keys_of(loop({}))["z"]


def test_which_zone_a_port_belongs_to_matters() -> None:
    def nested(read: str) -> Nodes:
        body = {"nodes": {"step": {"type": "scale", "wires": {"x": read}}}, "results": {"x": "step"}}
        deep = {"type": "repeat", "wires": {"state": {"x": "z.state.x"}}, "body": body}
        nodes = loop({"deep": deep})
        nodes["z"]["body"]["results"]["x"] = "deep.x"
        return nodes

    assert keys_of(nested("deep.state.x"))["z"] != keys_of(nested("z.state.x"))["z"]


def test_a_model_under_two_names_has_another_key_than_when_it_was_one(monkeypatch: pytest.MonkeyPatch) -> None:
    models = {"type": "learn", "wires": {"models": {"a": "model", "b": "model"}}, "body": LESSON}
    nodes = {"one": {"type": "number"}, "model": {"type": "scalar_model"}, "fit": models}
    now = keys_of(nodes, "fit.a")["fit"]
    monkeypatch.setattr("graph_runner.compile.keys._named", lambda _: iter(()))
    assert keys_of(nodes, "fit.a")["fit"] != now
    models["wires"] = {"models": {"a": "model"}}
    before = keys_of(nodes, "fit.a")["fit"]
    monkeypatch.undo()
    assert keys_of(nodes, "fit.a")["fit"] == before, "of others it is what it was"
