"""A node under a new name: what it draws, what is cached and the files that name it stay as they were."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest

from graph_runner.base.events import Cached
from graph_runner.bind.renamed import under_current_names
from graph_runner.bind.validate import validate
from graph_runner.cli.settings import apply
from graph_runner.compile import lock, source
from graph_runner.contract import ContractError, Formerly, Ports, Unkeyed, node
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import read, write
from graph_runner.run.engine import Engine, Result
from tests.graph_runner.conftest import graph
from tests.graph_runner.toys import Number

MODULE = '''"""Toys."""
from typing import NamedTuple
import torch
from graph_runner.context import Rng
from graph_runner.contract import node
from tests.graph_runner.toys import Number

def helper(x):
    return x + 0

@node(category="toy", keep=True{declared})
def {name}(rng: Rng) -> Number:
    """A normal draw, kept."""
    return helper(rng.randn(1)[0])

@node(category="toy"{global_declared})
def {global_name}(rng: Rng) -> Number:
    """A draw from torch's generator."""
    return torch.randn(())
'''
OLD = {"name": "chance", "declared": "", "global_name": "luck", "global_declared": ""}
NEW = {
    "name": "normal_draw",
    "declared": ', formerly=("chance", "normal_number")',
    "global_name": "fortune",
    "global_declared": ', formerly=["luck"]',
}
Write = Callable[..., Registry]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a package anew, with or without a lock, and read its nodes as a new process would."""

    def forget() -> None:
        for module in [module for module in sys.modules if module.partition(".")[0] == "renamed_toys"]:
            del sys.modules[module]
        for cached in (source._hash_of, source._read_module, lock._read_lock, lock.lock_path):
            cached.cache_clear()

    def written(names: dict[str, str], locked: bool = False, same_result: bool = False) -> Registry:
        folder = tmp_path / "project" / "renamed_toys"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").write_text("")
        (folder / "nodes.py").write_text(MODULE.format(**names))
        forget()
        importlib.invalidate_caches()
        registry = Registry.scan(["renamed_toys.nodes", "tests.graph_runner.toys", "graph_runner.zones"])
        if locked:
            own = [spec for spec in registry.values() if "renamed" in spec.function.__module__]
            assert lock.update(own, same_result=same_result) == []
        return registry

    monkeypatch.syspath_prepend(str(tmp_path / "project"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield written
    forget()


def nodes(kind: str, other: str) -> dict[str, Any]:
    inner = {"inside": {"type": kind, "params": {"seed": 4}}}
    return {
        "a": {"type": kind, "params": {"seed": 3}},
        "b": {"type": other, "params": {"seed": 3}},
        "g": {
            "type": "for_each",
            "params": {"over": {"i": [1, 2]}},
            "body": {"nodes": inner, "results": {"x": "inside"}},
        },
    }


def run(registry: Registry, folder: Path, kind: str, other: str) -> Result:
    return Engine(registry, folder).run(graph(nodes(kind, other)), targets=["a", "b", "g.x"])


@pytest.mark.parametrize("locked", [False, True])
def test_a_new_name_keeps_bits_and_cache_hits(package: Write, tmp_path: Path, locked: bool) -> None:
    before = run(package(OLD, locked), tmp_path, "chance", "luck")
    registry = package(NEW, locked)
    after = run(registry, tmp_path, "normal_draw", "fortune")
    assert after.values == before.values
    assert {event.node for event in after.events if isinstance(event, Cached)} == {"a"}
    assert run(registry, tmp_path / "empty", "normal_draw", "fortune").values == before.values


def test_a_file_that_names_the_old_type_opens_runs_and_is_written_with_the_new(package: Write, tmp_path: Path) -> None:
    before = run(package(OLD), tmp_path / "before", "chance", "luck")
    registry = package(NEW)
    assert "chance" in registry
    assert registry["normal_number"].type == "normal_draw"
    assert not {"chance", "normal_number", "luck"} & set(registry)
    after = run(registry, tmp_path / "after", "chance", "luck")
    assert after.values == before.values
    told = json.loads((after.folder / "workflow.json").read_text())
    assert {node["type"] for node in told["nodes"].values()} == {"normal_draw", "fortune", "for_each"}
    assert told["nodes"]["g"]["body"]["nodes"]["inside"]["type"] == "normal_draw"


def test_definitions_are_renamed_inside_and_a_definition_of_an_old_name_is_meant(package: Write) -> None:
    registry = package(NEW)
    own = {"nodes": {"x": {"type": "chance"}}, "results": {"value": "x"}}
    workflow = graph({"one": {"type": "luck"}, "two": {"type": "more"}}, definitions={"luck": own, "more": own})
    renamed = under_current_names(workflow, registry)
    assert {id: each.type for id, each in renamed.nodes.items()} == {"one": "luck", "two": "more"}
    assert renamed.definitions["more"].nodes["x"].type == "normal_draw"
    assert workflow.definitions["more"].nodes["x"].type == "chance", "the one handed in is left alone"
    assert read(write(renamed)) == renamed
    unknown = graph({"one": {"type": "nobody"}})
    assert under_current_names(unknown, registry) == unknown


def test_names_that_two_nodes_had_or_none_can_have_are_refused() -> None:
    @node(category="toy", formerly=("first",))
    def second() -> Number:
        """One."""

    @node(category="toy", formerly=("first",))
    def third() -> Number:
        """Another."""

    @node(category="toy")
    def first() -> Number:
        """The name is taken again."""

    with pytest.raises(ContractError, match="'third' was formerly 'first', and so was 'second'"):
        Registry([second.__node__, third.__node__])
    with pytest.raises(ContractError, match="'second' was formerly 'first', and so is 'first'"):
        Registry([second.__node__, first.__node__])
    for wrong in ("Not A Name", "fourth"):
        with pytest.raises(ContractError, match="formerly names"):

            @node(category="toy", formerly=(wrong,))
            def fourth() -> Number:
                """A wrong one."""


PORTS = '''"""Toys."""
from typing import Annotated, NamedTuple, Protocol
import torch
from graph_runner.context import Loop, Rng
from graph_runner.contract import Body, Formerly, Neutral, Ports, node
from tests.graph_runner.toys import Number

class Split(NamedTuple):
    {low}
    rest: Number

class Turned(NamedTuple):
    {best}

class Turn(Protocol):
    def __call__(self, {inner}, turn: int) -> Turned: ...

@node(category="toy", keep=True)
def split({x}, {by}{later}) -> Split:
    """Two parts."""
    return Split(({name_x} * {name_by}{use}).clone(), {name_x} * 0)

@node(category="toy", keep=True)
def turn_round(body: Body[Turn], start: Number, loop: Loop, n: int = 2) -> Number:
    """A loop."""
    for i in loop(n):
        start = body(start, i).{name_best}
    return start
'''
BEFORE = {
    "low": "low: Number", "best": "best: Number", "inner": "state: Number", "x": "x: Number", "by": "by: float = 2.0",
    "later": "", "name_x": "x", "name_by": "by", "use": "", "name_best": "best",
}  # fmt: skip
AFTER = {
    "low": 'part: Annotated[Number, Formerly("low")]',
    "best": 'chosen: Annotated[Number, Formerly("best")]',
    "inner": 'now: Annotated[Number, Formerly("state")]',
    "x": 'given: Annotated[Number, Formerly("x")]',
    "by": 'times: Annotated[float, Formerly("by", "factor")] = 2.0',
    "later": ", plus: Annotated[float, Neutral(0.0)] = 0.0",
    "name_x": "given", "name_by": "times", "use": " + plus", "name_best": "chosen",
}  # fmt: skip
OLD_NODES: dict[str, Any] = {
    "one": {"type": "number", "params": {"value": 3}},
    "parts": {"type": "split", "params": {"by": 4}, "wires": {"x": "one"}},
    "round": {
        "type": "turn_round",
        "wires": {"start": "parts.low"},
        "body": {
            "nodes": {
                "more": {"type": "add", "wires": {"a": "round.state", "b": "parts.rest"}},
                "inside": {"type": "split", "wires": {"x": "more", "by": "round.turn"}},
            },
            "results": {"best": "inside.low"},
        },
    },
}
OLD_FILE: dict[str, Any] = {
    "exposed": {"params": {"factor": "parts.by"}, "outputs": {"low": "parts.low"}},
    "definitions": {"twice": {"inputs": ["v"], "nodes": {"s": {"type": "split", "wires": {"x": "inputs.v"}}}, "results": {"out": "s.low"}, "layout": {"bend": {"at": [4, 5], "kind": "reroute", "wire": "s.x"}}}},
    "layout": {"bend": {"at": [0, 0], "kind": "reroute", "wire": "parts.x"}, "bow": {"at": [0, 0], "kind": "reroute", "wire": "round.results.best"}, "fork": {"at": [0, 0], "kind": "reroute", "wire": ["parts.x", "round.results.best"]}},
}  # fmt: skip


@pytest.fixture
def ports(package: Write, monkeypatch: pytest.MonkeyPatch) -> Write:
    def written(names: dict[str, str]) -> Registry:
        with monkeypatch.context() as patched:
            patched.setitem(globals(), "MODULE", PORTS)
            return package(names, locked=True, same_result=True)

    return written


def test_renamed_ports_and_a_later_parameter_keep_files_bits_and_cache_hits(ports: Write, tmp_path: Path) -> None:
    targets = ["parts.low", "parts.rest", "round"]
    before = Engine(ports(BEFORE), tmp_path).run(graph(OLD_NODES, **OLD_FILE), targets=targets)
    after = Engine(ports(AFTER), tmp_path).run(graph(OLD_NODES, **OLD_FILE), targets=targets)
    assert list(after.values.values()) == list(before.values.values())
    assert {event.node for event in after.events if isinstance(event, Cached)} == {"parts", "round"}
    told = json.loads((after.folder / "workflow.json").read_text())
    assert told["nodes"]["parts"] == {"type": "split", "params": {"times": 4}, "wires": {"given": "one"}}
    assert told["nodes"]["round"]["wires"] == {"start": "parts.part"}
    inside = told["nodes"]["round"]["body"]
    assert inside["nodes"]["more"]["wires"] == {"a": "round.now", "b": "parts.rest"}
    assert inside["nodes"]["inside"]["wires"] == {"given": "more", "times": "round.turn"}
    assert inside["results"] == {"chosen": "inside.part"}
    assert told["exposed"] == {"params": {"factor": "parts.times"}, "outputs": {"low": "parts.part"}}
    assert told["definitions"]["twice"]["nodes"]["s"]["wires"] == {"given": "inputs.v"}
    assert told["definitions"]["twice"]["results"] == {"out": "s.part"}
    assert told["definitions"]["twice"]["layout"]["bend"]["wire"] == "s.given"
    assert [place["wire"] for place in told["layout"].values()] == [
        "parts.given",
        "round.results.chosen",
        ["parts.given", "round.results.chosen"],
    ]
    moved = {**OLD_NODES["parts"], "params": {"by": 4, "plus": 1.0}}
    again = Engine(ports(AFTER), tmp_path).run(graph({**OLD_NODES, "parts": moved}), targets=["parts.low"])
    assert float(again.values["parts.low"]) == 13, "another value of the later parameter is another key"
    assert not [event for event in again.events if isinstance(event, Cached)]


def test_settings_and_validation_take_former_names_of_ports(ports: Write) -> None:
    registry = ports(AFTER)
    for setting in ("parts.by=5", "parts.factor=5", "parts.times=5", "factor=5"):
        changed = apply([setting], graph(OLD_NODES, **OLD_FILE), registry)
        assert changed.nodes["parts"].params == {"times": 5}
    assert validate(graph(OLD_NODES, **OLD_FILE), registry)[1] == []
    unchanged = graph({"one": OLD_NODES["one"]})
    assert under_current_names(unchanged, registry) is unchanged


def test_names_of_ports_that_two_had_or_none_can_have_are_refused() -> None:
    with pytest.raises(ContractError, match="Formerly names 'Not A Name'"):

        @node(category="toy")
        def wrong(x: Annotated[float, Formerly("Not A Name")]) -> Number:
            """A wrong one."""

    with pytest.raises(ContractError, match="'b' and 'a' are, or were, both called 'a'"):

        @node(category="toy")
        def twins(a: float, b: Annotated[float, Formerly("a")]) -> Number:
            """Two of one name."""


def test_a_former_name_stands_beside_every_other_mark() -> None:
    @node(category="toy")
    def marked(
        a: Annotated[Number | None, Formerly("b")] = None,
        c: Annotated[list[Number] | None, Formerly("d")] = None,
        e: Annotated[Ports[Number] | None, Formerly("f")] = None,
        g: Annotated[int, Formerly("h"), Unkeyed()] = 0,
    ) -> None:
        """All forms."""

    spec = marked.__node__  # type: ignore[attr-defined]
    assert {port.name: port.formerly for port in spec.inputs} == {"a": ("b",), "c": ("d",), "e": ("f",), "g": ("h",)}
    assert set(spec.params) == {"g"}
    assert [port.required for port in spec.inputs] == [False, False, False, False]
