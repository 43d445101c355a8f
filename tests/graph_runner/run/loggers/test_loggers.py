"""Loggers by name: found at their entry points, with options; what fails ends no run."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graph_runner.__main__ import main
from graph_runner.base import events
from graph_runner.base.problems import WorkflowError
from graph_runner.run import loggers
from graph_runner.run.engine import Engine, Result
from tests.graph_runner.conftest import TOYS, graph

Run = Callable[..., Result]
ONE = {"type": "number", "params": {"value": 2}}
MEASURED = {"one": ONE, "m": {"type": "measure", "wires": {"x": "one"}}}
STRANGER = '''
"""A package of somebody else's."""

HEARD = []


class Ears:
    """Remembers what it hears."""

    def __init__(self, run, volume: int, fail_at: str = "", soft: bool = False):
        HEARD.append(("begun", run.title, volume, soft, run.parameters()))
        self.fail_at = fail_at
        if fail_at == "begin":
            raise ConnectionError("nobody answers")

    def __call__(self, event):
        HEARD.append(type(event).__name__)
        if type(event).__name__ == self.fail_at:
            raise BrokenPipeError("the other side is gone")


def silence(run):
    return HEARD.append
'''


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the loggers of an installed package have heard."""
    place = tmp_path / "installed"
    info = place / "ears_of_a_stranger-1.dist-info"
    info.mkdir(parents=True)
    (place / "ears_of_a_stranger.py").write_text(STRANGER)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ears-of-a-stranger\nVersion: 1\n")
    points = {
        "ears": "ears_of_a_stranger:Ears",
        "silence": "ears_of_a_stranger:silence",
        "absent": "a_package_that_is_absent:Log",
        "gone": "ears_of_a_stranger:Gone",
    }
    lines = [f"{name} = {value}" for name, value in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[latent_loom.listeners]", *lines]))
    monkeypatch.syspath_prepend(str(place))
    import ears_of_a_stranger  # type: ignore[import-not-found]

    ears_of_a_stranger.HEARD.clear()
    found: list[Any] = ears_of_a_stranger.HEARD
    return found


def warnings(result: Result) -> list[str]:
    return [event.message for event in result.events if isinstance(event, events.Log) and event.level == "warning"]


def test_a_package_brings_a_logger(run: Run, heard: list[Any]) -> None:
    run(MEASURED, log=["ears:volume=11,soft=yes"], seed=3)
    (word, title, volume, soft, parameters), *rest = heard
    assert (word, title, volume, soft) == ("begun", "untitled", 11, True)
    assert parameters == {"seed": 3, "device": "cpu", "dtype": "float32", "one.value": 2}
    assert rest == ["Planned", "Started", "Finished", "Started", "Metric", "Finished", "Ended"]


def test_a_function_will_do(run: Run, heard: list[Any]) -> None:
    run(MEASURED, log=["silence"])
    assert [type(event).__name__ for event in heard][-1] == "Ended"


@pytest.mark.parametrize("moment", ["begin", "Planned", "Started", "Metric", "Ended"])
def test_one_that_fails_ends_no_run_and_is_told_once(run: Run, heard: list[Any], moment: str) -> None:
    other: list[events.Event] = []
    result = run(MEASURED, log=[f"ears:volume=1,fail_at={moment}"], listeners=[other.append], fresh=True)
    assert result.status == "done"
    [told] = warnings(result)
    assert told.startswith("the listener Ears failed and hears no more of this run (")
    assert [event.message for event in other if isinstance(event, events.Log)] == [told]
    assert heard.count("Metric") <= 1
    assert moment == "begin" or heard[-1] == moment


def test_a_listener_of_the_host_that_fails_ends_no_run_either(run: Run) -> None:
    calls: list[events.Event] = []

    def broken(event: events.Event) -> None:
        calls.append(event)
        raise RuntimeError("a fault of the host's")

    result = run(MEASURED, listeners=[broken])
    assert (result.status, len(calls)) == ("done", 1)
    assert "a fault of the host's" in warnings(result)[0]


def test_two_that_fail_at_each_others_failure(run: Run) -> None:
    def breaks(event: events.Event) -> None:
        raise RuntimeError("one")

    def breaks_too(event: events.Event) -> None:
        raise RuntimeError("two")

    result = run(MEASURED, listeners=[breaks, breaks_too])
    assert result.status == "done"
    assert sorted(text[-4:-1] for text in warnings(result)) == ["one", "two"]


def test_an_interruption_is_no_failure_of_a_listener(run: Run) -> None:
    def interrupted(event: events.Event) -> None:
        if isinstance(event, events.Started):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(MEASURED, listeners=[interrupted])


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("cvs", "there is no logger 'cvs'. Did you mean 'csv'?"),
        ("ears:volum=1", "the logger 'ears' has no option 'volum'. Did you mean 'volume'?"),
        ("ears:volume=loud", "the option volume=loud of the logger 'ears' is wrong: Input should be a valid integer"),
        ("ears:volume", "the option 'volume' of the logger 'ears' has no value. Write volume=VALUE"),
        ("ears", "the logger 'ears' needs its option 'volume'. Write ears:volume=VALUE"),
        ("silence:volume=1", "the logger 'silence' has no option 'volume'. It takes no options"),
        ("absent", "the logger 'absent' needs a_package_that_is_absent, which is not installed"),
        ("gone", "the logger 'gone' cannot be imported from ears_of_a_stranger:Gone"),
    ],
)
def test_what_is_wrong_is_told_before_anything_runs(run: Run, heard: list[Any], asked: str, told: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        run(MEASURED, log=[asked])
    assert told in str(caught.value)
    assert heard == []


def test_all_that_is_wrong_is_told_at_once(heard: list[Any]) -> None:
    with pytest.raises(WorkflowError) as caught:
        loggers.chosen(["cvs", "ears:volume=1", "ears:hue=1"])
    assert len(caught.value.problems) == 3


def test_ours_arrive_by_the_door_of_strangers() -> None:
    assert {"csv", "tensorboard", "wandb", "mlflow"} <= set(loggers.installed())


def test_a_table_of_the_numbers(engine: Engine) -> None:
    body = {"nodes": {"m": {"type": "measure", "wires": {"x": "loop.state.x"}}}, "results": {"x": "loop.state.x"}}
    loop = {"type": "repeat", "params": {"iterations": 3}, "wires": {"state": {"x": "one"}}, "body": body}
    after = {"type": "measure", "wires": {"x": "loop.x"}}
    result = engine.run(graph({"one": ONE, "loop": loop, "after": after}), log=["csv:file=numbers.csv"])
    with (result.folder / "numbers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["node"], row["step"], row["name"], float(row["value"])) for row in rows] == [
        *(("m", str(step), "x", 2.0) for step in (1, 2, 3)),
        ("after", "", "x", 2.0),
    ]
    assert all(float(row["seconds"]) >= 0 for row in rows)


def test_the_command_line_takes_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("graph_runner.contract.registry.entry_points", lambda group: ())
    Path("w.json").write_text(json.dumps({"loom": 1, "nodes": MEASURED}))
    packages = [word for name in TOYS for word in ("--nodes", name)]
    assert main(["w.json", "--log", "csv", "--log", "ears:volume=2", *packages]) == 0
    assert heard[-1] == "Ended"
    assert len(list(tmp_path.glob("workspace/runs/*/metrics.csv"))) == 1
    assert main(["w.json", "--log", "nothing", *packages]) == 2
    assert "there is no logger 'nothing'" in capsys.readouterr().err
