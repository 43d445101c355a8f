"""The cache across runs and restarts: what is computed again, what is not, and what must not be lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from graph_runner import events
from graph_runner.cache import Cache, Entry
from graph_runner.context import Loop, Outputs, Stateful
from graph_runner.contract import Body, Folder, node
from graph_runner.engine import Engine, Result
from graph_runner.plan import NodeError
from graph_runner.registry import Registry
from graph_runner.store import TENSORS, TREE
from tests.graph_runner.conftest import TOYS, graph
from tests.graph_runner.toys import CALLS, RECORDED, Model, Number, Step

ONE = {"type": "number", "params": {"value": 1}}
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


class Counter(Stateful):
    def __init__(self, x: torch.Tensor) -> None:
        self.x = x

    def state_dict(self) -> dict[str, Any]:
        return {"x": self.x}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.x = state["x"]


@node(category="toy", keep=True, continues="n")
def counted(body: Body[Step], x: Number, loop: Loop, n: int = 3) -> Number:
    """A loop with checkpoints."""
    state = Counter(x)
    for _ in loop(n, state=state):
        state.x = body(state.x)
    return state.x


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan([*TOYS, __name__])


@pytest.fixture
def make(registry: Registry, tmp_path: Path) -> Make:
    return lambda **options: Engine(registry, tmp_path, **options)


def run(engine: Engine, nodes: dict[str, Any], *targets: str, **options: Any) -> Result:
    CALLS.clear()
    RECORDED.clear()
    return engine.run(graph(nodes), targets=targets, **options)


def noted(x: str, label: str, kind: str = "noted") -> dict[str, Any]:
    return {"type": kind, "wires": {"x": x}, "params": {"label": label}}


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
    run(engine, chain())
    assert sorted(CALLS) == ["a", "b", "c", "s"]
    result = run(engine, chain())
    assert CALLS == []
    assert RECORDED == {"x": [1], "side": [1]}, "what has an effect has it again"
    assert {event.node for event in result.events if isinstance(event, events.Cached)} == {"c", "side"}


def test_an_edit_computes_what_follows_and_reads_no_more_than_needed(make: Make) -> None:
    engine = make()
    run(engine, chain())
    result = run(engine, chain(b="edited"))
    assert CALLS == ["edited", "c"]
    assert {event.node for event in result.events if isinstance(event, events.Cached)} == {"a", "side"}
    run(engine, chain())
    assert CALLS == [], "and back"


def test_a_new_branch_computes_itself_alone(make: Make) -> None:
    engine = make()
    run(engine, chain())
    run(engine, {**chain(), "new": noted("b", "new"), "n": {"type": "record", "wires": {"x": "new"}}})
    assert CALLS == ["new"]


def test_fresh_takes_nothing_from_the_cache_and_leaves_it_filled(make: Make) -> None:
    engine = make()
    run(engine, chain())
    run(engine, chain(), fresh=True)
    assert sorted(CALLS) == ["a", "b", "c", "s"]
    run(engine, chain())
    assert CALLS == []


def test_only_what_is_worth_keeping_survives_a_restart(make: Make, tmp_path: Path) -> None:
    nodes = {
        "one": ONE,
        "a": noted("one", "a"),
        "k": noted("a", "k", "kept"),
        "r": {"type": "record", "wires": {"x": "k"}},
    }
    run(make(), nodes)
    assert CALLS == ["a", "k"]
    assert len(list((tmp_path / "cache").iterdir())) == 1
    result = run(make(), nodes)
    assert CALLS == [], "what only the kept value needs is not computed either"
    assert RECORDED["x"] == [1]
    assert [type(event).__name__ for event in result.events].count("Cached") == 1


def test_models_survive_with_their_codec_and_at_rest(make: Make) -> None:
    nodes = {"m": {"type": "kept_model", "params": {"weight": 3}}, "w": {"type": "weight_of", "wires": {"model": "m"}}}
    run(make(), nodes, "w")
    values = run(make(), nodes, "w", "m").values
    assert CALLS == []
    assert float(values["w"]) == 3
    assert not values["m"].training
    assert not values["m"].weight.requires_grad


def test_another_output_of_a_kept_node_is_computed_once_and_both_stay(make: Make) -> None:
    nodes = {"one": ONE, "s": {"type": "kept_split", "wires": {"x": "one"}}}
    engine = make()
    run(engine, nodes, "s.low")
    run(engine, nodes, "s.high")
    assert CALLS == ["split"]
    values = run(engine, nodes, "s.low", "s.high").values
    assert CALLS == []
    assert (float(values["s.low"]), float(values["s.high"])) == (0.5, 2)
    run(make(), nodes, "s.low", "s.high")
    assert CALLS == []


def test_two_equal_nodes_of_which_different_outputs_are_read(make: Make) -> None:
    nodes = {
        "one": ONE,
        "a": {"type": "kept_split", "wires": {"x": "one"}},
        "b": {"type": "kept_split", "wires": {"x": "one"}},
        "sum": {"type": "add", "wires": {"a": "a.low", "b": "b.high"}},
        "r": {"type": "record", "wires": {"x": "sum"}},
    }
    run(make(), nodes)
    engine = make()
    run(engine, {**nodes, "t": {"type": "total", "wires": {"numbers": ["a.low", "b.high"]}}}, "t")
    assert CALLS == [], "neither pushed the other's outputs off the disk"


def test_a_value_that_the_disk_cannot_keep_names_its_node(make: Make) -> None:
    with pytest.raises(NodeError, match="s: TypeError: a set cannot be stored"):
        run(make(), {"s": {"type": "kept_set"}}, "s")


@pytest.mark.parametrize(("damaged", "again"), [(TENSORS, False), (TREE, True)])
def test_a_damaged_entry(make: Make, tmp_path: Path, damaged: str, again: bool) -> None:
    nodes = {"one": ONE, "k": noted("one", "k", "kept"), "r": {"type": "record", "wires": {"x": "k"}}}
    run(make(), nodes)
    [entry] = (tmp_path / "cache").iterdir()
    (entry / damaged).write_bytes(b"not what it was")
    if again:  # not even known to be an entry
        run(make(), nodes)
        assert CALLS == ["k"]
        return
    told: list[events.Event] = []
    with pytest.raises(NodeError, match=rf"^k: .*cannot read {entry} .*delete that folder and run again") as caught:
        run(make(), nodes, listeners=[told.append])
    assert caught.value.node == "k"
    assert [event.node for event in told if isinstance(event, events.Failed)] == ["k"]


def test_changed_content_behind_the_same_name(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "n.txt"
    file.write_text("1.5")
    nodes = {"f": {"type": "read_number", "params": {"path": "n.txt"}}}
    engine = make()
    assert float(run(engine, nodes, "f").values["f"]) == 1.5
    run(engine, nodes, "f")
    assert CALLS == []
    file.write_text("2.5")
    assert float(run(engine, nodes, "f").values["f"]) == 2.5
    file.rename(tmp_path / "other.txt")
    nodes["f"]["params"]["path"] = str(tmp_path / "other.txt")
    run(engine, nodes, "f")
    assert CALLS == [], "the same content under another name"


def test_changed_content_of_a_folder(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a").write_text("a")
    nodes = {"n": {"type": "files_in", "params": {"folder": "pictures"}}}
    engine = make()
    run(engine, nodes, "n")
    run(engine, nodes, "n")
    assert CALLS == []
    (folder / "b").write_text("b")
    assert float(run(engine, nodes, "n").values["n"]) == 2


def test_a_path_that_comes_by_wire_is_read_anew_and_starts_at_the_workspace(make: Make, tmp_path: Path) -> None:
    """What lies there shows only when the node runs, so nothing may be taken for known."""
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text("1")
    body = {"nodes": {"f": {"type": "read_number", "wires": {"path": "z.item.path"}}}, "results": {"n": "f"}}
    zone = {"type": "for_each", "params": {"over": {"path": ["a.txt", "b.txt"]}}, "body": body}
    nodes = {"z": zone, "sum": {"type": "total", "wires": {"numbers": "z.n"}}}
    engine = make()
    assert float(run(engine, nodes, "sum").values["sum"]) == 2
    (tmp_path / "b.txt").write_text("5")
    assert float(run(engine, nodes, "sum").values["sum"]) == 6


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
    run(engine, first, "late")
    more = {f"p{i}": {"type": "large", "params": {"values": [*values, i], "label": f"p{i}"}} for i in range(4)}
    sums = {"all": {"type": "total", "wires": {"numbers": list(more)}}}
    result = run(engine, {**more, **sums, **first}, "all", "late")
    assert sorted(CALLS) == ["p0", "p1", "p2", "p3"]
    assert result.values["late"].shape == (10_000,)


def test_a_cached_value_is_not_changed_by_what_follows(make: Make) -> None:
    engine = make()
    nodes = {"m": {"type": "kept_model"}, "n": {"type": "nudge", "wires": {"model": "m"}}}
    for _ in range(2):
        assert float(run(engine, nodes, "n").values["n"].weight) == 2
    nodes["n"]["params"] = {"by": 5.0}
    assert float(run(engine, nodes, "n").values["n"].weight) == 6


# Files that were shown


def shows(turns: int = 2, **inner: Any) -> dict[str, Any]:
    body = {"nodes": {"next": noted("z.state.x", "turn"), **inner}, "results": {"x": "next"}}
    zone = {"type": "repeat", "wires": {"state": {"x": "one"}}, "params": {"n": turns}, "body": body}
    return {"one": ONE, "z": zone, "r": {"type": "record", "wires": {"x": "z.x"}}}


SHOW = {"type": "show_number", "wires": {"x": "next"}}


def test_files_of_a_cached_zone_are_shown_again(make: Make, tmp_path: Path) -> None:
    engine = make()
    first = run(engine, shows(show=SHOW))
    names = ["number-000001.txt", "number-000002.txt"]
    assert [Path(shown.path).name for shown in first.shown] == names
    second = run(engine, shows(show=SHOW))
    assert CALLS == []
    assert [(Path(s.path).name, s.node, s.turn, s.preview) for s in second.shown] == [
        (names[0], "show", 0, True),
        (names[1], "show", 1, True),
    ]
    assert all((tmp_path / shown.path).is_relative_to(second.folder) for shown in second.shown)
    assert all((tmp_path / shown.path).read_text() == "1.0" for shown in second.shown)


def test_files_that_are_the_zones_work_are_made_again_when_they_are_gone(make: Make, tmp_path: Path) -> None:
    engine = make()
    first = run(engine, shows(show=SHOW))
    (tmp_path / first.shown[0].path).unlink()
    again = run(engine, shows(show=SHOW))
    assert CALLS == ["turn", "turn"]
    assert len(again.shown) == 2


def test_a_preview_that_is_gone_is_passed_over(make: Make, tmp_path: Path) -> None:
    nodes = shows(look={"type": "every", "params": {"n": 1}, "body": {"nodes": {"show": SHOW}}})
    engine = make()
    first = run(engine, nodes)
    (tmp_path / first.shown[0].path).unlink()
    again = run(engine, nodes)
    assert CALLS == []
    assert [shown.turn for shown in again.shown] == [1]


def test_files_of_one_name_from_two_cached_zones_are_both_shown(make: Make, tmp_path: Path) -> None:
    engine = make()
    one, other = shows(show=SHOW), shows(turns=1, show={**SHOW, "wires": {"x": "next"}})
    run(engine, one)
    run(engine, other)
    both = {**one, "z2": renamed(other["z"]), "r2": {"type": "record", "wires": {"x": "z2.x"}}}
    again = run(engine, both)
    assert CALLS == []
    assert sorted(Path(shown.path).name for shown in again.shown) == [
        "number-000001-2.txt",
        "number-000001.txt",
        "number-000002.txt",
    ]


def renamed(zone: dict[str, Any]) -> dict[str, Any]:
    inner = {
        "next2": {**zone["body"]["nodes"]["next"], "wires": {"x": "z2.state.x"}},
        "show2": {**zone["body"]["nodes"]["show"], "wires": {"x": "next2"}},
    }
    return {**zone, "body": {"nodes": inner, "results": {"x": "next2"}}}


# Loops with checkpoints


def counting(n: int, **inner: Any) -> dict[str, Any]:
    body = {
        "nodes": {"noted": noted("z.x", "turn"), "next": {"type": "add", "wires": {"a": "noted", "b": "one"}}, **inner},
        "results": {"number": "next"},
    }
    return {"one": ONE, "z": {"type": "counted", "wires": {"x": "one"}, "params": {"n": n}, "body": body}}


def test_more_turns_go_on_from_fewer_and_fewer_are_still_there(make: Make) -> None:
    assert float(run(make(), counting(3), "z").values["z"]) == 4
    assert float(run(make(), counting(5), "z").values["z"]) == 6
    assert CALLS == ["turn", "turn"]
    assert float(run(make(), counting(4), "z").values["z"]) == 5
    assert CALLS == ["turn"], "from the end of the shorter run"
    run(make(), counting(3), "z")
    assert CALLS == []
    run(make(), counting(5), "z", fresh=True)
    assert CALLS == ["turn"] * 5


def test_a_stopped_loop_goes_on_and_shows_again_what_it_showed(make: Make) -> None:
    import threading

    stop = threading.Event()
    nodes = counting(6, show=SHOW)

    def after_two(event: events.Event) -> None:
        if isinstance(event, events.Shown) and event.turn == 1:
            stop.set()

    stopped = run(make(), nodes, "z", stop=stop, listeners=[after_two])
    assert stopped.status == "stopped"
    assert CALLS == ["turn", "turn"]
    done = run(make(), nodes, "z")
    assert CALLS == ["turn"] * 4
    assert float(done.values["z"]) == 7
    assert [shown.turn for shown in done.shown] == [0, 1, 2, 3, 4, 5]
    assert len(list(done.folder.rglob("number*.txt"))) == 6, "the run's folder is whole"


def test_stopping_at_once_after_going_on_does_not_undo_the_end_of_a_shorter_run(make: Make, tmp_path: Path) -> None:
    import threading

    run(make(), counting(3), "z")
    stop = threading.Event()

    def at_once(event: events.Event) -> None:
        if isinstance(event, events.Log):
            stop.set()

    assert run(make(), counting(9), "z", stop=stop, listeners=[at_once]).status == "stopped"
    [lineage] = (tmp_path / "checkpoints").iterdir()
    assert '"final": true' in (lineage / "step-3" / TREE).read_text()


def test_a_loop_in_a_loop_has_a_lineage_for_each_turn_around(make: Make, tmp_path: Path) -> None:
    body = {
        "nodes": {"next": {"type": "scale", "wires": {"x": "z.x", "by": "sweep.item.by"}}},
        "results": {"number": "next"},
    }
    zone = {"type": "counted", "wires": {"x": "one"}, "params": {"n": 2}, "body": body}
    nodes = {
        "one": ONE,
        "sweep": {
            "type": "for_each",
            "params": {"over": {"by": [2, 3]}},
            "body": {"nodes": {"z": zone}, "results": {"n": "z"}},
        },
    }
    values = run(make(), nodes, "sweep.n").values["sweep.n"]
    assert [float(value) for value in values] == [4, 9]
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2
    again = run(make(), nodes, "sweep.n").values["sweep.n"]
    assert [float(value) for value in again] == [4, 9]


def test_equal_loops_in_different_zones_share_no_checkpoint(make: Make, tmp_path: Path, registry: Registry) -> None:
    @node(category="toy")
    def handed(body: Body[Step], x: Number) -> Number:
        """Run the body once on x: a zone that does not loop."""
        return body(x)

    engine = Engine(Registry([*registry.values(), handed.__node__]), tmp_path)  # type: ignore[attr-defined]

    def zone(name: str, value: float) -> dict[str, Any]:
        step = {"type": "add", "wires": {"a": f"{name}in.x", "b": "one"}}
        inner = {
            "type": "counted",
            "wires": {"x": f"{name}.x"},
            "body": {"nodes": {f"{name}next": step}, "results": {"number": f"{name}next"}},
        }
        body = {"nodes": {f"{name}in": inner}, "results": {"number": f"{name}in"}}
        return {
            f"{name}value": {"type": "number", "params": {"value": value}},
            name: {"type": "handed", "wires": {"x": f"{name}value"}, "body": body},
        }

    values = run(engine, {"one": ONE, **zone("a", 10), **zone("b", 20)}, "a", "b").values
    assert (float(values["a"]), float(values["b"])) == (13, 23)


def test_outputs_stay_below_the_run_and_leave_no_half_files(make: Make, registry: Registry, tmp_path: Path) -> None:
    @node(category="toy", effect=True)
    def spill(x: Number, outputs: Outputs, name: str = "../x") -> None:
        """A file outside, or one that fails half-way."""

        def half(path: Path) -> None:
            path.write_text("half")
            raise OSError("the disk is full")

        outputs.file(name, half, media="text/plain")

    engine = Engine(Registry([*registry.values(), spill.__node__]), tmp_path)  # type: ignore[attr-defined]
    with pytest.raises(NodeError, match=r"'../x' leaves the run's folder"):
        run(engine, {"one": ONE, "s": {"type": "spill", "wires": {"x": "one"}}})
    nodes = {"one": ONE, "s": {"type": "spill", "wires": {"x": "one"}, "params": {"name": "deep/x.txt"}}}
    with pytest.raises(NodeError, match="the disk is full"):
        run(engine, nodes)
    assert list(tmp_path.rglob("*x.txt")) == []
