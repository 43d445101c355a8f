"""The cache across runs and restarts: what is computed again, what is not, and what must not be lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from graph_runner.base import events
from graph_runner.contract import Folder, node
from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Engine
from graph_runner.run.failures import NodeError
from graph_runner.store.cache import Cache, Entry
from graph_runner.store.folders import TENSORS, TREE
from tests import damages
from tests.graph_runner.conftest import TOYS
from tests.graph_runner.drawing import ONE, noted, run_in
from tests.graph_runner.toys import CALLS, RECORDED, Model, Number

Make = Callable[..., Engine]


class Split(NamedTuple):
    low: Number
    high: Number


@node(category="toy", keep=True)
def kept_split(x: Number) -> Split:
    """Two outputs worth the disk."""
    CALLS.append("split")
    return Split(x / 2, x * 2)


@node(category="toy", keep=True)
def kept_model(weight: float = 1.0) -> Model:
    """A model worth the disk."""
    from tests.graph_runner.toys import Scalar

    CALLS.append("model")
    return Scalar(weight)


@node(category="toy", keep=True)
def kept_set() -> set:  # type: ignore[type-arg]
    """A value that the disk cannot keep."""
    return {1}


@node(category="toy")
def large(values: list[float], label: str = "large") -> Number:
    """A kilobyte and more."""
    CALLS.append(label)
    return torch.tensor(values).repeat(1000)


@node(category="toy")
def files_in(folder: Folder) -> Number:
    """How many files lie in a folder."""
    CALLS.append("files")
    return torch.tensor(float(len(list(Path(folder).iterdir()))))


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan([*TOYS, __name__])


@pytest.fixture
def make(registry: Registry, tmp_path: Path) -> Make:
    return lambda **options: Engine(registry, tmp_path, **options)


def chain(**labels: str) -> dict[str, Any]:
    """a → b → c → record, with a side branch from a."""
    names = {name: labels.get(name, name) for name in "abcs"}
    return {
        "one": ONE,
        "a": noted("one", names["a"]),
        "b": noted("a", names["b"]),
        "c": noted("b", names["c"]),
        "side": noted("a", names["s"]),
        "r": {"type": "record", "wires": {"x": "c"}},
        "q": {"type": "record", "wires": {"x": "side"}, "params": {"label": "side"}},
    }


def test_nothing_is_computed_twice(make: Make) -> None:
    engine = make()
    run_in(engine, chain())
    assert sorted(CALLS) == ["a", "b", "c", "s"]
    result = run_in(engine, chain())
    assert CALLS == []
    assert RECORDED == {"x": [1], "side": [1]}, "what has an effect has it again"
    assert {event.node for event in result.events if isinstance(event, events.Cached)} == {"c", "side"}


def test_an_edit_computes_what_follows_and_reads_no_more_than_needed(make: Make) -> None:
    engine = make()
    run_in(engine, chain())
    result = run_in(engine, chain(b="edited"))
    assert CALLS == ["edited", "c"]
    assert {event.node for event in result.events if isinstance(event, events.Cached)} == {"a", "side"}
    run_in(engine, chain())
    assert CALLS == [], "and back"


def test_a_new_branch_computes_itself_alone(make: Make) -> None:
    engine = make()
    run_in(engine, chain())
    run_in(engine, {**chain(), "new": noted("b", "new"), "n": {"type": "record", "wires": {"x": "new"}}})
    assert CALLS == ["new"]


def test_fresh_takes_nothing_from_the_cache_and_leaves_it_filled(make: Make) -> None:
    engine = make()
    run_in(engine, chain())
    run_in(engine, chain(), fresh=True)
    assert sorted(CALLS) == ["a", "b", "c", "s"]
    run_in(engine, chain())
    assert CALLS == []


def test_only_what_is_worth_keeping_survives_a_restart(make: Make, tmp_path: Path) -> None:
    nodes = {
        "one": ONE,
        "a": noted("one", "a"),
        "k": noted("a", "k", "kept"),
        "r": {"type": "record", "wires": {"x": "k"}},
    }
    run_in(make(), nodes)
    assert CALLS == ["a", "k"]
    assert len(list((tmp_path / "cache").iterdir())) == 1
    result = run_in(make(), nodes)
    assert CALLS == [], "what only the kept value needs is not computed either"
    assert RECORDED["x"] == [1]
    assert [type(event).__name__ for event in result.events].count("Cached") == 1


def test_models_survive_with_their_codec_and_at_rest(make: Make) -> None:
    nodes = {"m": {"type": "kept_model", "params": {"weight": 3}}, "w": {"type": "weight_of", "wires": {"model": "m"}}}
    run_in(make(), nodes, "w")
    values = run_in(make(), nodes, "w", "m").values
    assert CALLS == []
    assert float(values["w"]) == 3
    assert not values["m"].training
    assert not values["m"].weight.requires_grad


def test_another_output_of_a_kept_node_is_computed_once_and_both_stay(make: Make) -> None:
    nodes = {"one": ONE, "s": {"type": "kept_split", "wires": {"x": "one"}}}
    engine = make()
    run_in(engine, nodes, "s.low")
    run_in(engine, nodes, "s.high")
    assert CALLS == ["split"]
    values = run_in(engine, nodes, "s.low", "s.high").values
    assert CALLS == []
    assert (float(values["s.low"]), float(values["s.high"])) == (0.5, 2)
    run_in(make(), nodes, "s.low", "s.high")
    assert CALLS == []


def test_two_equal_nodes_of_which_different_outputs_are_read(make: Make) -> None:
    nodes = {
        "one": ONE,
        "a": {"type": "kept_split", "wires": {"x": "one"}},
        "b": {"type": "kept_split", "wires": {"x": "one"}},
        "sum": {"type": "add", "wires": {"a": "a.low", "b": "b.high"}},
        "r": {"type": "record", "wires": {"x": "sum"}},
    }
    run_in(make(), nodes)
    engine = make()
    run_in(engine, {**nodes, "t": {"type": "total", "wires": {"numbers": ["a.low", "b.high"]}}}, "t")
    assert CALLS == [], "neither pushed the other's outputs off the disk"


def test_a_value_that_the_disk_cannot_keep_names_its_node(make: Make) -> None:
    with pytest.raises(NodeError, match="s: TypeError: a set cannot be stored"):
        run_in(make(), {"s": {"type": "kept_set"}}, "s")


def in_place_of(entry: Path) -> None:
    shutil.rmtree(entry)
    entry.write_text("a file where a folder should be")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "other tensors": lambda entry: (entry / TENSORS).write_bytes(b"not what it was"),
    "another tree": lambda entry: (entry / TREE).write_bytes(b"not what it was"),
    "one bit": lambda entry: damages.flip(entry / TENSORS, -1),
    "one bit of the header": lambda entry: damages.flip(entry / TENSORS, 30),
    "a number": lambda entry: (entry / TREE).write_text((entry / TREE).read_text().replace("/2", "/0")),
    "cut": lambda entry: damages.truncate(entry / TENSORS, 0.9),
    "no tensors": lambda entry: (entry / TENSORS).unlink(),
    "no tree": lambda entry: (entry / TREE).unlink(),
    "a file": in_place_of,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_computed_anew_and_told(make: Make, tmp_path: Path, damage: str) -> None:
    nodes = {
        "one": ONE,
        "a": noted("one", "a"),
        "k": noted("a", "k", "kept"),
        "r": {"type": "record", "wires": {"x": "k"}},
    }
    run_in(make(), nodes)
    [entry] = (tmp_path / "cache").iterdir()
    DAMAGES[damage](entry)
    result = run_in(make(), nodes)
    assert CALLS == ["a", "k"], "with what it needs"
    assert RECORDED["x"] == [1]
    [told] = [event for event in result.events if isinstance(event, events.Log)]
    assert (told.node, told.level) == ("k", "warning")
    assert told.message.startswith(f"is computed anew, as its cached value is damaged: cannot read {entry} ")
    run_in(make(), nodes)
    assert CALLS == [], "and is whole again"


def test_an_entry_under_another_ones_name_is_not_taken_for_it(make: Make, tmp_path: Path) -> None:
    nodes = {
        "one": ONE,
        "two": {"type": "number", "params": {"value": 2}},
        "k": noted("one", "k", "kept"),
        "l": noted("two", "l", "kept"),
        "sum": {"type": "add", "wires": {"a": "k", "b": "l"}},
    }
    run_in(make(), nodes, "sum")
    a, b = (tmp_path / "cache").iterdir()
    for what in ("", TENSORS, TREE):
        (a / what).rename(tmp_path / "aside")
        (b / what).rename(a / what)
        (tmp_path / "aside").rename(b / what)
        assert float(run_in(make(), nodes, "k").values["k"]) == 1
        assert float(run_in(make(), nodes, "l").values["l"]) == 2
        assert sorted(CALLS) == ["l"]
        a, b = (tmp_path / "cache").iterdir()


def test_entries_without_checksums_are_read(make: Make, tmp_path: Path) -> None:
    """Version 0.1 wrote none."""
    nodes = {"one": ONE, "k": noted("one", "k", "kept"), "r": {"type": "record", "wires": {"x": "k"}}}
    run_in(make(), nodes)
    [entry] = (tmp_path / "cache").iterdir()
    content = json.loads((entry / TREE).read_text())
    (entry / TREE).write_text(json.dumps({"tree": content["tree"], "meta": content["meta"]}))
    run_in(make(), nodes)
    assert CALLS == []


def test_a_full_disk_takes_no_computed_value_away(make: Make, tmp_path: Path) -> None:
    nodes = {"one": ONE, "k": noted("one", "k", "kept"), "r": {"type": "record", "wires": {"x": "k"}}}
    (tmp_path / "cache").write_text("as good as no room")
    result = run_in(make(), nodes)
    assert RECORDED["x"] == [1]
    [told] = [event for event in result.events if isinstance(event, events.Log)]
    assert (told.node, told.level) == ("k", "warning")
    assert (
        told.message == f"is not kept on disk: {tmp_path}/cache is in the way, where a folder should be; move it away"
    )


def test_changed_content_behind_the_same_name(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "n.txt"
    file.write_text("1.5")
    nodes = {"f": {"type": "read_number", "params": {"path": "n.txt"}}}
    engine = make()
    assert float(run_in(engine, nodes, "f").values["f"]) == 1.5
    run_in(engine, nodes, "f")
    assert CALLS == []
    file.write_text("2.5")
    assert float(run_in(engine, nodes, "f").values["f"]) == 2.5
    file.rename(tmp_path / "other.txt")
    nodes["f"]["params"]["path"] = str(tmp_path / "other.txt")
    run_in(engine, nodes, "f")
    assert CALLS == [], "the same content under another name"


def test_changed_content_of_a_folder(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a").write_text("a")
    nodes = {"n": {"type": "files_in", "params": {"folder": "pictures"}}}
    engine = make()
    run_in(engine, nodes, "n")
    run_in(engine, nodes, "n")
    assert CALLS == []
    (folder / "b").write_text("b")
    assert float(run_in(engine, nodes, "n").values["n"]) == 2


def test_a_path_that_comes_by_wire_is_read_anew_and_starts_at_the_workspace(make: Make, tmp_path: Path) -> None:
    """What lies there shows only when the node runs, so nothing may be taken for known."""
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text("1")
    body = {"nodes": {"f": {"type": "read_number", "wires": {"path": "z.item.path"}}}, "results": {"n": "f"}}
    zone = {"type": "for_each", "params": {"over": {"path": ["a.txt", "b.txt"]}}, "body": body}
    nodes = {"z": zone, "sum": {"type": "total", "wires": {"numbers": "z.n"}}}
    engine = make()
    assert float(run_in(engine, nodes, "sum").values["sum"]) == 2
    (tmp_path / "b.txt").write_text("5")
    assert float(run_in(engine, nodes, "sum").values["sum"]) == 6


def test_memory_forgets_what_was_used_longest_ago(tmp_path: Path) -> None:
    def entry(n: int) -> Entry:
        return Entry({("value", ""): torch.zeros(n)}, [])

    cache = Cache(tmp_path, budget=1000)
    for key in "abc":
        cache.put(key, entry(80), {}, keep=False)
    assert cache.in_memory("a") is not None
    cache.put("d", entry(80), {}, keep=False)
    assert [key for key in "abcd" if cache.in_memory(key)] == ["a", "c", "d"]
    cache.put("e", entry(500), {}, keep=False)
    assert [key for key in "abcde" if cache.in_memory(key)] == ["e"], "the last stays, however large"
    cache.put("f", entry(1), {}, keep=False)
    assert [key for key in "abcdef" if cache.in_memory(key)] == ["f"]


def test_a_run_never_loses_what_it_counts_on(make: Make) -> None:
    """What is computed early pushes out of memory what was to be taken from there later."""
    values = [float(i) for i in range(10)]
    large = {"type": "large", "params": {"values": values}}
    engine = make(memory=100_000)
    first = {"l": large, "late": {"type": "add", "wires": {"a": "l", "b": "l"}}}
    run_in(engine, first, "late")
    more = {f"p{i}": {"type": "large", "params": {"values": [*values, i], "label": f"p{i}"}} for i in range(4)}
    sums = {"all": {"type": "total", "wires": {"numbers": list(more)}}}
    result = run_in(engine, {**more, **sums, **first}, "all", "late")
    assert sorted(CALLS) == ["p0", "p1", "p2", "p3"]
    assert result.values["late"].shape == (10_000,)


def test_a_cached_value_is_not_changed_by_what_follows(make: Make) -> None:
    engine = make()
    nodes = {"m": {"type": "kept_model"}, "n": {"type": "nudge", "wires": {"model": "m"}}}
    for _ in range(2):
        assert float(run_in(engine, nodes, "n").values["n"].weight) == 2
    nodes["n"]["params"] = {"by": 5.0}
    assert float(run_in(engine, nodes, "n").values["n"].weight) == 6
