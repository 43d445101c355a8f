"""What a run tells and records: only what changed, as JSON that any reader takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graph_runner.base import events
from graph_runner.format.workflow import load, write
from graph_runner.run.engine import Engine, Result
from tests.graph_runner.conftest import graph

Run = Callable[..., Result]
ONE = {"type": "number", "params": {"value": 1}}


def kinds(result: Result) -> list[str]:
    return [type(event).__name__ for event in result.events]


def test_the_order_of_events_of_a_run(run: Run) -> None:
    nodes = {"one": ONE, "n": {"type": "noted", "wires": {"x": "one"}}, "r": {"type": "record", "wires": {"x": "n"}}}
    first = run(nodes)
    assert kinds(first) == ["Planned", *["Started", "Finished"] * 3, "Ended"]
    planned = first.events[0]
    assert isinstance(planned, events.Planned)
    assert (planned.nodes, planned.cached) == (["one", "n", "r"], [])
    assert planned.run == first.folder.name
    second = run(nodes)
    assert kinds(second) == ["Planned", "Cached", "Started", "Finished", "Ended"]
    again = second.events[0]
    assert isinstance(again, events.Planned)
    assert (again.nodes, again.cached) == (["r"], ["n"])


def test_an_event_carries_only_what_changed(run: Run) -> None:
    """A graph ten times as large tells ten times as much, not a hundred times."""

    def told(n: int) -> int:
        nodes: dict[str, Any] = {"n0": ONE}
        for i in range(1, n):
            nodes[f"n{i}"] = {"type": "add", "wires": {"a": f"n{i - 1}", "b": f"n{i - 1}"}}
        result = run(nodes, f"n{n - 1}", fresh=True)
        return (result.folder / "events.jsonl").stat().st_size

    assert told(300) < 11 * told(30)


def test_turns_are_told_at_intervals_and_at_the_end(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def loop(n: int, inner: dict[str, Any], result: str, x: str = "one") -> dict[str, Any]:
        body = {"nodes": inner, "results": {"x": result}}
        return {"type": "repeat", "wires": {"state": {"x": x}}, "params": {"iterations": n}, "body": body}

    deep = loop(2, {"s": {"type": "scale", "wires": {"x": "deep.state.x"}}}, "s", x="z.state.x")
    nodes = {"one": ONE, "z": loop(300, {"deep": deep}, "deep.x")}

    def progress(**options: Any) -> list[events.Progress]:
        found = run(nodes, "z.x", fresh=True).events
        return [event for event in found if isinstance(event, events.Progress)]

    monkeypatch.setattr("graph_runner.run.loop.PROGRESS_SECONDS", 3600)
    assert progress() == [events.Progress("z", 300, 300)], "short loops inside tell nothing"
    monkeypatch.setattr("graph_runner.run.loop.PROGRESS_SECONDS", 0)
    every = progress()
    assert len(every) == 900
    assert every[:3] == [
        events.Progress("deep", 1, 2, (0,)),
        events.Progress("deep", 2, 2, (0,)),
        events.Progress("z", 1, 300),
    ]


def test_metrics_name_node_and_turn_and_survive_json(run: Run) -> None:
    inner = {
        "next": {"type": "scale", "wires": {"x": "z.state.x"}, "params": {"by": 1e30}},
        "less": {"type": "scale", "wires": {"x": "next"}, "params": {"by": -1}},
        "nan": {"type": "add", "wires": {"a": "next", "b": "less"}},
        "m": {"type": "measure", "wires": {"x": "nan"}},
    }
    body = {"nodes": inner, "results": {"x": "next"}}
    zone = {"type": "repeat", "wires": {"state": {"x": "one"}}, "params": {"iterations": 3}, "body": body}
    result = run({"one": ONE, "z": zone})
    metrics = [event for event in result.events if isinstance(event, events.Metric)]
    assert [(event.node, event.turn) for event in metrics] == [("m", 0), ("m", 1), ("m", 2)]
    lines = (result.folder / "events.jsonl").read_text().splitlines()

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    told = [json.loads(line, parse_constant=refuse) for line in lines]
    assert [event["values"]["x"] for event in told if event["event"] == "metric"] == [0.0, None, None]
    assert all(event["time"] > 0 for event in told)


def test_events_as_json_leave_out_what_holds_nothing() -> None:
    assert events.to_json(events.Progress("z", 0, 5)) == {"event": "progress", "node": "z", "done": 0, "total": 5}
    shown = events.Shown("s", "runs/a/outputs/x.png", "image/png", False, 0)
    assert events.to_json(shown)["turn"] == 0
    assert events.to_json(events.Log("hello")) == {"event": "log", "message": "hello", "level": "info"}


def test_a_runs_folder_says_what_ran_in_what(engine: Engine) -> None:
    workflow = graph({"one": ONE, "s": {"type": "show_number", "wires": {"x": "one"}}}, title="My first: run!")
    result = engine.run(workflow, seed=7)
    assert result.folder.name.endswith("-my-first-run")
    assert load(result.folder / "workflow.json") == workflow
    assert (result.folder / "workflow.json").read_text() == write(workflow)
    environment = json.loads((result.folder / "environment.json").read_text())
    assert (environment["seed"], environment["device"], environment["dtype"]) == (7, "cpu", "float32")
    assert "torch" in environment["packages"]
    assert [path.name for path in (result.folder / "outputs").iterdir()] == ["number.txt"]
    assert engine.run(workflow).folder != result.folder, "two runs within a second have folders of their own"


def test_warnings_of_a_workflow_are_told_and_do_not_stop_it(run: Run) -> None:
    draw = {"type": "random_number", "params": {"seed": 3}}
    nodes = {"a": draw, "b": draw, "sum": {"type": "add", "wires": {"a": "a", "b": "b"}}}
    result = run(nodes, "sum")
    [log] = [event for event in result.events if isinstance(event, events.Log)]
    assert log.level == "warning"
    assert "draw the same numbers" in log.message
    assert float(result.values["sum"]) != 0


def test_a_metric_in_training_names_the_turn_and_not_the_micro_batch(run: Run) -> None:
    inner = {
        "w": {"type": "weight_of", "wires": {"model": "fit.models.m"}},
        "m": {"type": "measure", "wires": {"x": "w"}},
    }
    body = {"nodes": inner, "results": {"number": "w"}}
    fit = {"type": "learn", "wires": {"models": {"m": "model"}}, "params": {"n": 3, "accumulate": 2}, "body": body}
    result = run({"model": {"type": "scalar_model"}, "fit": fit})
    turns = [event.turn for event in result.events if isinstance(event, events.Metric)]
    assert turns == [0, 0, 1, 1, 2, 2]


def test_files_shown_in_loops_carry_the_turns_of_all_of_them(run: Run) -> None:
    def loop(zone: str, n: int, inner: dict[str, Any], result: str, x: str) -> dict[str, Any]:
        body = {"nodes": inner, "results": {"x": result}}
        return {"type": "repeat", "wires": {"state": {"x": x}}, "params": {"iterations": n}, "body": body}

    show = {"type": "show_number", "wires": {"x": "s"}}
    deep = loop("deep", 2, {"s": {"type": "scale", "wires": {"x": "deep.state.x"}}, "show": show}, "s", "z.state.x")
    result = run({"one": ONE, "z": loop("z", 2, {"deep": deep}, "deep.x", "one")})
    assert [Path(shown.path).stem for shown in result.shown] == [
        "number-000001-000001",
        "number-000001-000002",
        "number-000002-000001",
        "number-000002-000002",
    ]
    assert [shown.turn for shown in result.shown] == [0, 1, 0, 1]
