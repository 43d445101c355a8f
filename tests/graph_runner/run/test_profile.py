"""A profile's numbers add up, and counting changes neither what is computed nor what is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from graph_runner.base.events import Log
from graph_runner.contract.registry import Registry
from graph_runner.run import profile as profiles
from graph_runner.run.engine import Engine, Result
from graph_runner.run.failures import NodeError
from graph_runner.run.gauges import memory_of
from graph_runner.run.profile import NodeProfile
from tests.graph_runner.conftest import TOYS, graph
from tests.graph_runner.drawing import ONE, every, record, repeat, scale
from tests.graph_runner.toys import RECORDED


def joined(x: str) -> dict[str, Any]:
    return {"type": "joined", "wires": {"x": x, "model": "model"}}


DEEP = {
    "one": ONE,
    "model": {"type": "scalar_model"},
    "start": {"type": "vector", "params": {"values": [1.0, 2.0]}},
    "outer": repeat(
        3,
        {
            "inner": repeat(
                2, {"half": scale("inner.state.x", 0.5), "next": scale("half", 1.5)}, "next", "outer.state.x"
            ),
            "chance": {"type": "random_number"},
            "sum": {"type": "add", "wires": {"a": "inner.x", "b": "chance"}},
            "c": joined("sum"),
            "u": joined("outer.state.x"),
            "both": {"type": "add", "wires": {"a": "c", "b": "u"}},
            "look": every(2, {"norm": {"type": "total", "wires": {"numbers": ["both"]}}, "show": record("norm")}),
        },
        "both",
        "start",
    ),
    "end": {"type": "kept", "wires": {"x": "outer.x"}},
}


def run(folder: Path, nodes: dict[str, Any] = DEEP, **options: Any) -> Result:
    RECORDED.clear()
    return Engine(Registry.scan(TOYS), folder).run(graph(nodes), targets=["end"], **options)


def inside(id: str, nodes: dict[str, NodeProfile], drawn: dict[str, Any]) -> float:
    return sum(nodes[each].seconds for each in drawn[id]["body"]["nodes"] if each in nodes)


def test_the_numbers_add_up(tmp_path: Path) -> None:
    result = run(tmp_path, profile=True)
    assert result.profile is not None
    nodes = result.profile.nodes
    calls = {id: node.calls for id, node in nodes.items()}
    assert calls == {
        **dict.fromkeys(("model", "start", "outer", "end"), 1),
        **dict.fromkeys(("inner", "chance", "sum", "c", "u", "both"), 3),
        **dict.fromkeys(("half", "next"), 6),
        **dict.fromkeys(("look", "norm", "show"), 2),
    }
    outer = DEEP["outer"]["body"]["nodes"]  # type: ignore[index]
    for id, drawn in (("outer", DEEP), ("inner", outer), ("look", outer)):
        assert nodes[id].own_seconds + inside(id, nodes, drawn) == pytest.approx(nodes[id].seconds)
    for id in calls.keys() - {"outer", "inner", "look"}:
        assert nodes[id].own_seconds == nodes[id].seconds > 0
    top = sum(node.seconds for id, node in nodes.items() if id in DEEP)
    assert sum(node.own_seconds for node in nodes.values()) == pytest.approx(top)
    assert top <= result.profile.seconds


def test_the_same_bits_and_the_same_entries_are_kept(tmp_path: Path) -> None:
    plain, counted = run(tmp_path / "plain"), run(tmp_path / "counted", profile=True)
    shown = list(RECORDED["x"])
    assert torch.equal(plain.values["end"], counted.values["end"])
    run(tmp_path / "plain", fresh=True)
    assert RECORDED["x"] == shown
    kept = [sorted(path.name for path in (tmp_path / each / "cache").glob("[!h]*")) for each in ("plain", "counted")]
    assert kept[0] == kept[1] != []
    again = run(tmp_path / "plain", profile=True)
    assert again.profile is not None
    assert "end" not in again.profile.nodes, "what comes from the cache was not called"


def test_it_is_written_into_the_runs_folder_for_people_and_for_perfetto(tmp_path: Path) -> None:
    result = run(tmp_path, profile=True, check_numbers=True)
    written = json.loads((result.folder / "profile.json").read_text())
    assert written["seconds"] > 0
    assert written["nodes"]["inner"].keys() == {
        *("type", "calls", "seconds", "own_seconds", "device_seconds", "memory")
    }
    assert written["nodes"]["inner"]["type"] == "repeat"
    assert written["nodes"]["inner"]["device_seconds"] is None
    trace = json.loads((result.folder / "trace.json").read_text())
    events = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert all(event["dur"] >= 0 and {"ts", "pid", "tid", "name", "cat"} <= event.keys() for event in events)
    assert [event["args"]["turns"] for event in events if event["name"] == "half"] == [
        [i, j] for i in range(3) for j in range(2)
    ]
    assert sum(event["name"] == "c + u" for event in events) == 3, "calls made as one are one"
    outer = next(event for event in events if event["name"] == "outer")
    within = [event for event in events if event["name"] == "inner"]
    assert all(outer["ts"] <= each["ts"] and each["ts"] + each["dur"] <= outer["ts"] + outer["dur"] for each in within)


def test_a_long_loop_does_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "TRACED", 3)
    nodes = {"one": ONE, "z": repeat(50, {"half": scale("z.state.x", 0.5)}, "half")}
    nodes["end"] = {"type": "kept", "wires": {"x": "z.x"}}
    result = run(tmp_path, nodes, profile=True)
    assert result.profile is not None
    assert result.profile.nodes["half"].calls == 50
    trace = json.loads((result.folder / "trace.json").read_text())
    assert sum(event["name"] == "half" for event in trace["traceEvents"]) == 3
    assert trace["otherData"]["calls left out"] == 47


def test_a_run_that_fails_leaves_its_profile(tmp_path: Path) -> None:
    nodes = {"one": ONE, "z": repeat(5, {"f": {"type": "fail", "wires": {"x": "z.state.x"}}}, "f")}
    nodes["end"] = {"type": "kept", "wires": {"x": "z.x"}}
    with pytest.raises(NodeError):
        run(tmp_path, nodes, profile=True)
    [folder] = (tmp_path / "runs").iterdir()
    assert json.loads((folder / "profile.json").read_text())["nodes"]["f"]["calls"] == 1


def test_a_disk_that_refuses_takes_the_profile_and_not_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device", "profile.json")

    monkeypatch.setattr(profiles, "write_atomically", full)
    result = run(tmp_path, profile=True)
    assert result.status == "done"
    assert any("the profile is not kept" in event.message for event in result.events if isinstance(event, Log))


class Pretended:
    """Memory and a clock of a device that is not there."""

    about = "a pretended device"

    def __init__(self) -> None:
        self.used = self.most = 0
        self.seconds: dict[str, float] = {}

    def use(self, bytes: int) -> None:
        self.used += bytes
        self.most = max(self.most, self.used)

    def now(self) -> int:
        return self.used

    def peak(self) -> int:
        return self.most

    def reset(self) -> None:
        self.most = self.used


def test_memory_is_the_most_that_a_call_added_and_a_zones_covers_what_is_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Pretended()
    monkeypatch.setattr(profiles, "memory_of", lambda _: device)

    def add(a: Any, b: Any) -> Any:
        device.use(100)
        device.use(-100)
        return a + b

    def halve(x: Any, by: float) -> Any:
        device.use(10)
        return x * by

    registry = Registry.scan(TOYS)
    for type_name, function in (("add", add), ("scale", halve)):
        monkeypatch.setitem(registry._specs, type_name, _with(registry[type_name], function))
    inner = {"h": scale("z.state.x", 0.5), "s": {"type": "add", "wires": {"a": "h", "b": "one"}}}
    nodes = {"one": ONE, "z": repeat(3, inner, "s"), "end": {"type": "kept", "wires": {"x": "z.x"}}}
    result = Engine(registry, tmp_path).run(graph(nodes), targets=["end"], profile=True)
    assert result.profile is not None
    memory = {id: node.memory for id, node in result.profile.nodes.items()}
    assert memory == {"one": 0, "h": 10, "s": 100, "z": 130, "end": 0}
    assert result.profile.to_json()["memory_of"] == "a pretended device"


def _with(spec: Any, function: Any) -> Any:
    from dataclasses import replace

    return replace(spec, function=function)


def test_the_hosts_memory_is_seen_where_the_system_tells_it() -> None:
    memory = memory_of(torch.device("cpu"))
    if memory is None:
        pytest.skip("this system does not tell")
    memory.reset()
    before = memory.now()
    large = torch.ones(2**24)
    assert memory.peak() - before > 2**25
    del large
    memory.reset()
    assert memory.peak() - before < 2**25
