"""Files of earlier runs shown again, and loops that go on from checkpoints."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from graph_runner.base import events
from graph_runner.compile.keys import Keys
from graph_runner.context import Outputs
from graph_runner.contract import Body, node
from graph_runner.contract.registry import Registry
from graph_runner.run.engine import Engine
from graph_runner.run.failures import NodeError
from graph_runner.store.checkpoints import LOCK
from graph_runner.store.folders import TREE
from tests.graph_runner.conftest import TOYS
from tests.graph_runner.drawing import ONE, noted, run_in
from tests.graph_runner.toys import CALLS, Number, Step

Make = Callable[..., Engine]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan([*TOYS, __name__])


@pytest.fixture
def make(registry: Registry, tmp_path: Path) -> Make:
    return lambda **options: Engine(registry, tmp_path, **options)


# Files that were shown


def shows(turns: int = 2, **inner: Any) -> dict[str, Any]:
    body = {"nodes": {"next": noted("z.state.x", "turn"), **inner}, "results": {"x": "next"}}
    zone = {"type": "repeat", "wires": {"state": {"x": "one"}}, "params": {"iterations": turns}, "body": body}
    return {"one": ONE, "z": zone, "r": {"type": "record", "wires": {"x": "z.x"}}}


SHOW = {"type": "show_number", "wires": {"x": "next"}}


def test_files_of_a_cached_zone_are_shown_again(make: Make, tmp_path: Path) -> None:
    engine = make()
    first = run_in(engine, shows(show=SHOW))
    names = ["number-000001.txt", "number-000002.txt"]
    assert [Path(shown.path).name for shown in first.shown] == names
    second = run_in(engine, shows(show=SHOW))
    assert CALLS == []
    assert [(Path(s.path).name, s.node, s.turn, s.preview) for s in second.shown] == [
        (names[0], "show", 0, True),
        (names[1], "show", 1, True),
    ]
    assert all((tmp_path / shown.path).is_relative_to(second.folder) for shown in second.shown)
    assert all((tmp_path / shown.path).read_text() == "1.0" for shown in second.shown)


def test_files_that_are_the_zones_work_are_made_again_when_they_are_gone(make: Make, tmp_path: Path) -> None:
    engine = make()
    first = run_in(engine, shows(show=SHOW))
    (tmp_path / first.shown[0].path).unlink()
    again = run_in(engine, shows(show=SHOW))
    assert CALLS == ["turn", "turn"]
    assert len(again.shown) == 2


def test_a_preview_that_is_gone_is_passed_over(make: Make, tmp_path: Path) -> None:
    nodes = shows(look={"type": "every", "params": {"steps": 1}, "body": {"nodes": {"show": SHOW}}})
    engine = make()
    first = run_in(engine, nodes)
    (tmp_path / first.shown[0].path).unlink()
    again = run_in(engine, nodes)
    assert CALLS == []
    assert [shown.turn for shown in again.shown] == [1]


def test_files_of_one_name_from_two_cached_zones_are_both_shown(make: Make, tmp_path: Path) -> None:
    engine = make()
    one, other = shows(show=SHOW), shows(turns=1, show={**SHOW, "wires": {"x": "next"}})
    run_in(engine, one)
    run_in(engine, other)
    both = {**one, "z2": renamed(other["z"]), "r2": {"type": "record", "wires": {"x": "z2.x"}}}
    again = run_in(engine, both)
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
    assert float(run_in(make(), counting(3), "z").values["z"]) == 4
    assert float(run_in(make(), counting(5), "z").values["z"]) == 6
    assert CALLS == ["turn", "turn"]
    assert float(run_in(make(), counting(4), "z").values["z"]) == 5
    assert CALLS == ["turn"], "from the end of the shorter run"
    run_in(make(), counting(3), "z")
    assert CALLS == []
    run_in(make(), counting(5), "z", fresh=True)
    assert CALLS == ["turn"] * 5


def test_a_stopped_loop_goes_on_and_shows_again_what_it_showed(make: Make) -> None:
    stop = threading.Event()
    nodes = counting(6, show=SHOW)

    def after_two(event: events.Event) -> None:
        if isinstance(event, events.Shown) and event.turn == 1:
            stop.set()

    stopped = run_in(make(), nodes, "z", stop=stop, listeners=[after_two])
    assert stopped.status == "stopped"
    assert CALLS == ["turn", "turn"]
    done = run_in(make(), nodes, "z")
    assert CALLS == ["turn"] * 4
    assert float(done.values["z"]) == 7
    assert [shown.turn for shown in done.shown] == [0, 1, 2, 3, 4, 5]
    assert len(list(done.folder.rglob("number*.txt"))) == 6, "the run's folder is whole"


def test_stopping_at_once_after_going_on_does_not_undo_the_end_of_a_shorter_run(make: Make, tmp_path: Path) -> None:
    run_in(make(), counting(3), "z")
    stop = threading.Event()

    def at_once(event: events.Event) -> None:
        if isinstance(event, events.Log):
            stop.set()

    assert run_in(make(), counting(9), "z", stop=stop, listeners=[at_once]).status == "stopped"
    [lineage] = (tmp_path / "checkpoints").iterdir()
    assert '"final": true' in (lineage / "step-3" / TREE).read_text()


def test_a_training_waits_for_another_of_its_lineage(make: Make, tmp_path: Path) -> None:
    run_in(make(), counting(3), "z")
    [lineage] = (tmp_path / "checkpoints").iterdir()
    other = FileLock(lineage / LOCK)  # as another process would hold it
    stop, told = threading.Event(), list[str]()

    def hear(then: Callable[[], None]) -> Callable[[events.Event], None]:
        def listen(event: events.Event) -> None:
            if isinstance(event, events.Log):
                told.append(event.message.split()[0])
                if event.message.startswith("waits for another run"):
                    then()

        return listen

    with other:  # let go while it is waited for: the rest is done
        assert run_in(make(), counting(9), "z", listeners=[hear(other.release)]).status == "done"
    assert told == ["waits", "goes"]
    CALLS.clear()
    with other:  # stopped while it waits: nothing is done, and nothing written
        assert run_in(make(), counting(12), "z", stop=stop, listeners=[hear(stop.set)]).status == "stopped"
        assert CALLS == []
    assert not (lineage / "step-12").exists()


def test_a_failed_training_lets_go_of_its_lineage(make: Make) -> None:
    broken = counting(3)
    broken["z"]["body"]["nodes"]["bad"] = {"type": "fail", "wires": {"x": "z.x"}}
    broken["z"]["body"]["results"] = {"number": "bad"}
    for _ in range(2):
        with pytest.raises(NodeError) as kept:
            run_in(make(), broken, "z")
        assert "bad" in str(kept.value)


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
    values = run_in(make(), nodes, "sweep.n").values["sweep.n"]
    assert [float(value) for value in values] == [4, 9]
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2
    again = run_in(make(), nodes, "sweep.n").values["sweep.n"]
    assert [float(value) for value in again] == [4, 9]


def sweep(n: int, **others: Any) -> dict[str, Any]:
    """A loop with checkpoints for each of two items; the nodes `others` are in the sweep beside it."""
    scale = {"type": "scale", "wires": {"x": "seen", "by": "sweep.item.by"}}
    inner = {"nodes": {"seen": noted("z.x", "step"), "next": scale}, "results": {"number": "next"}}
    zone = {"type": "counted", "wires": {"x": "one"}, "params": {"n": n}, "body": inner}
    body = {"nodes": {"z": zone, **others}, "results": {"n": "z"}}
    return {"one": ONE, "sweep": {"type": "for_each", "params": {"over": {"by": [2, 3]}}, "body": body}}


def test_a_sweep_goes_on_to_more_steps(make: Make) -> None:
    assert [float(value) for value in run_in(make(), sweep(2), "sweep.n").values["sweep.n"]] == [4, 9]
    CALLS.clear()
    assert [float(value) for value in run_in(make(), sweep(3), "sweep.n").values["sweep.n"]] == [8, 27]
    assert CALLS == ["step", "step"]
    CALLS.clear()  # what else an item does changes nothing of its training
    other = {"draw": {"type": "random_number"}, "look": {"type": "record", "wires": {"x": "draw"}}}
    assert [float(value) for value in run_in(make(), sweep(3, **other), "sweep.n").values["sweep.n"]] == [8, 27]
    assert CALLS == []


def test_items_of_a_sweep_are_what_they_were_as_others_come_and_go(make: Make) -> None:
    def with_items(*by: float) -> dict[str, Any]:
        drawn = sweep(2)
        drawn["sweep"]["params"]["over"]["by"] = [*by]
        return drawn

    def values(*by: float) -> list[float]:
        CALLS.clear()
        return [float(value) for value in run_in(make(), with_items(*by), "sweep.n").values["sweep.n"]]

    assert values(2, 3) == [4, 9]
    assert values(2, 3, 5) == [4, 9, 25]
    assert CALLS == ["step", "step"], "the third alone is new"
    assert values(2) == [4]
    assert CALLS == []
    assert values(7, 3) == [49, 9]
    assert CALLS == ["step", "step"], "the second is where it was"
    assert values(3, 2) == [9, 4]
    assert CALLS == ["step"] * 4, "a place counts, for random numbers are of the iteration"


@pytest.mark.parametrize("version", ["0.2", "of the sweep's whole list"])
def test_checkpoints_of_a_sweep_under_former_names_are_found(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    with monkeypatch.context() as before:
        before.setattr("graph_runner.run.activation._told", lambda _: "")
        if version == "0.2":
            before.setattr(Keys, "handed", Keys.key)
        run_in(make(), sweep(2), "sweep.n")
    CALLS.clear()
    assert [float(value) for value in run_in(make(), sweep(2), "sweep.n").values["sweep.n"]] == [4, 9]
    assert CALLS == []
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


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

    values = run_in(engine, {"one": ONE, **zone("a", 10), **zone("b", 20)}, "a", "b").values
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
    with pytest.raises(NodeError, match=r"'../x' leaves its folder"):
        run_in(engine, {"one": ONE, "s": {"type": "spill", "wires": {"x": "one"}}})
    nodes = {"one": ONE, "s": {"type": "spill", "wires": {"x": "one"}, "params": {"name": "deep/x.txt"}}}
    with pytest.raises(NodeError, match="the disk is full"):
        run_in(engine, nodes)
    assert list(tmp_path.rglob("*x.txt")) == []
