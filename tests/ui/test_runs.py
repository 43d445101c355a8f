"""Runs through the real server: events, cancelling, crashes, and what is left when the server is killed."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.ui.conftest import RunningServer, graph, looping

PICTURE = {"a": {"type": "number", "params": {"value": 7}}, "s": {"type": "save_picture", "wires": {"x": "a"}}}


def live(server: RunningServer) -> ClientConnection:
    return connect(server.url.replace("http", "ws") + "/ws", proxy=None)


def received(socket: ClientConnection, run: int) -> list[dict[str, Any]]:
    """The events of a run that come until it has ended."""
    events: list[dict[str, Any]] = []
    while not events or events[-1]["event"] != "ended":
        message = json.loads(socket.recv(20))
        events += message.get("events", []) if message.get("run") == run else []
    return events


def test_a_run_tells_its_events_and_leaves_its_files(server: RunningServer) -> None:
    with live(server) as socket:
        hello = json.loads(socket.recv(5))
        assert hello["hello"]["workspace"] == str(server.workspace)
        run = server.submit(PICTURE, targets=["a"])
        socket.send(json.dumps({"subscribe": run}))
        events = received(socket, run)
    assert [event["n"] for event in events] == list(range(1, len(events) + 1))
    kinds = [event["event"] for event in events]
    assert kinds[0] == "planned"
    assert kinds[-2:] == ["value", "ended"]
    assert next(event["text"] for event in events if event["event"] == "value") == "7"
    assert server.call("events", run=run) == events
    assert server.call("events", run=run, after=2, limit=1) == [events[2]]
    [output] = server.call("outputs", run=run)
    content = server.http.get(f"/{output['url']}")
    assert content.headers["content-type"] == "image/png"
    assert content.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert len(content.content) == output["size"]
    assert len(server.http.get(f"/{output['url']}?width=16").content) < 200
    summary = server.over(run)
    assert (summary["status"], summary["folder"]) == ("done", str(Path(output["path"]).parents[1]))
    assert summary["environment"]["device"] == "cpu"
    made = server.http.post("/extract", content=content.content).json()
    assert made["text"] == summary["text"] == server.call("open", path=output["path"])["text"]


def test_a_run_may_look_at_every_value_and_fail_at_the_first_that_is_no_number(server: RunningServer) -> None:
    nodes = {
        "a": {"type": "number", "params": {"value": 7}},
        "large": {"type": "scale", "wires": {"x": "a"}, "params": {"by": 1e30}},
        "over": {"type": "scale", "wires": {"x": "large"}, "params": {"by": 1e30}},
        "shown": {"type": "show_number", "wires": {"x": "over"}},
    }
    assert server.over(server.submit(nodes))["status"] == "done"
    looked = server.over(server.submit(nodes, check_numbers=True, fresh=True))
    assert (looked["status"], looked["node"]) == ("failed", "over")
    assert "1 of 1 values are infinite" in looked["error"]


def test_a_late_subscriber_gets_the_rest_and_a_brief_one_less(server: RunningServer) -> None:
    run = server.submit(looping(40, 0.02))
    server.over(run)
    everything = server.call("events", run=run)
    assert sum(event["event"] == "progress" for event in everything) > 2
    with live(server) as socket:
        socket.send(json.dumps({"subscribe": run, "after": 5}))
        assert received(socket, run) == everything[5:]
    with live(server) as socket:
        socket.send(json.dumps({"subscribe": run, "brief": True, "metrics": False}))
        brief = received(socket, run)
    assert [event["done"] for event in brief if event["event"] == "progress"] == [40]
    assert brief == [e for e in everything if e in brief], "what is left is in order and unchanged"
    assert not any(event["event"] == "metric" for event in brief)
    [series] = server.call("metrics", run=run)
    assert (series["node"], series["name"], series["turns"]) == ("loop", "x", list(range(40)))


def test_the_socket_says_what_it_does_not_understand(server: RunningServer) -> None:
    with live(server) as socket:
        socket.recv(5)
        for wrong in ("{", "[]", '{"subscribe": "x"}', '{"say": 1}'):
            socket.send(wrong)
            assert "not understood" in json.loads(socket.recv(5))["error"]


def test_cancelling_stops_at_a_turn_and_takes_out_of_the_queue(server: RunningServer) -> None:
    first, second = server.submit(looping(1000, 0.02)), server.submit(looping(1000, 0.02))
    server.has(first, "metric")
    assert server.call("queue")["queued"][0]["position"] == 1
    assert server.call("cancel", run=second)["status"] == "stopped"
    assert server.call("cancel", run=first)["status"] == "stopping"
    assert server.over(first)["status"] == "stopped"
    assert [event["event"] for event in server.call("events", run=second)] == ["ended"]
    assert server.refused("remove", run=10**6)[0] == 404
    assert server.call("remove", run=first) is True
    assert server.refused("run", run=first) == (404, f"there is no run {first}")


def test_cancelling_what_does_not_listen_kills_the_worker_and_the_next_run_works(server: RunningServer) -> None:
    deaf = {
        "a": {"type": "number"},
        "w": {"type": "wait", "params": {"seconds": 60}, "wires": {"x": "a"}},
        "r": {"type": "measure", "wires": {"x": "w"}},
    }
    run = server.submit(deaf)
    server.has(run, "started")
    before = server.call("about")["workers"][0]["pid"]
    server.call("cancel", run=run)
    over = server.over(run)
    assert (over["status"], over["error"]) == ("stopped", "stopped by force")
    assert server.call("events", run=run)[-2]["message"] == "stopped by force"
    assert server.over(server.submit(PICTURE))["status"] == "done"
    assert server.call("about")["workers"][0]["pid"] != before


def test_a_killed_worker_is_an_error_on_its_node_and_the_next_run_works(server: RunningServer) -> None:
    nodes = {
        "a": {"type": "number"},
        "d": {"type": "die_once", "wires": {"x": "a"}},
        "s": {"type": "save_picture", "wires": {"x": "d"}},
    }
    run = server.submit(nodes)
    summary = server.over(run)
    assert (summary["status"], summary["node"]) == ("failed", "d")
    failed, ended = server.call("events", run=run)[-2:]
    assert (failed["event"], failed["node"], ended["status"]) == ("failed", "d", "failed")
    assert "killed" in failed["message"]
    assert server.over(server.submit(nodes))["status"] == "done"


def test_running_out_of_memory_gives_the_next_run_a_fresh_worker(server: RunningServer) -> None:
    server.over(server.submit(PICTURE))
    before = server.call("about")["workers"][0]["pid"]
    nodes = {
        "a": {"type": "number"},
        "m": {"type": "out_of_memory", "wires": {"x": "a"}},
        "r": {"type": "measure", "wires": {"x": "m"}},
    }
    first, second = server.submit(nodes), server.submit(PICTURE)
    assert server.over(first)["node"] == "m"
    assert server.over(second)["status"] == "done"
    assert server.call("about")["workers"][0]["pid"] != before


def test_a_run_that_is_refused_when_it_starts_says_why(server: RunningServer) -> None:
    nodes = {
        "n": {"type": "read_number", "params": {"path": "gone.txt"}},
        "r": {"type": "measure", "wires": {"x": "n"}},
    }
    assert "gone.txt" in server.refused("submit", workflow=graph(nodes))[1]
    (server.workspace / "gone.txt").write_text("1")
    before = server.submit(looping(5, 0.1))
    run = server.submit(nodes)
    (server.workspace / "gone.txt").unlink()
    assert server.over(before)["status"] == "done"
    summary = server.over(run)
    assert (summary["status"], summary["node"]) == ("failed", "n")
    assert "gone.txt" in summary["problems"][0]["message"]
    assert [event["event"] for event in server.call("events", run=run)] == ["refused", "ended"]


def test_running_to_a_node_runs_no_more(server: RunningServer) -> None:
    nodes = {**PICTURE, "a": {"type": "number", "params": {"value": 71}}}
    run = server.submit(nodes, targets=["a"], only=True)
    server.over(run)
    assert server.call("events", run=run)[0]["nodes"] == ["a"]
    assert server.call("outputs", run=run) == []


def test_models_stay_warm_between_runs(server: RunningServer) -> None:
    nodes = {
        "a": {"type": "number", "params": {"value": 3.25}},
        "k": {"type": "noted", "wires": {"x": "a"}},
        "r": {"type": "measure", "wires": {"x": "k"}},
    }
    server.over(server.submit(nodes))
    run = server.submit(nodes)
    server.over(run)
    assert server.call("events", run=run)[0]["cached"] == ["k"]


def test_seeds_of_64_bits_come_back_to_the_last_digit(server: RunningServer) -> None:
    for seed in (2**64 - 1, 2**63, 2**63 - 1):
        nodes = {
            "d": {"type": "random_number", "params": {"seed": seed}},
            "m": {"type": "measure", "wires": {"x": "d"}},
        }
        run = server.submit(nodes, seed=seed)
        server.over(run)
        found = server.call("run", run=run)
        assert (found["status"], found["seed"], found["environment"]["seed"]) == ("done", seed, seed)
        assert found["workflow"]["nodes"]["d"]["params"]["seed"] == seed


def test_runs_of_the_command_line_are_in_the_history(server: RunningServer) -> None:
    folder = server.workspace / "runs" / "20200101-000000-by-hand"
    folder.mkdir(parents=True)
    workflow = json.dumps(graph(PICTURE, title="By hand"))
    (folder / "workflow.json").write_text(workflow)
    (folder / "environment.json").write_text('{"seed": 5, "device": "cpu"}')
    lines = ['{"time": 1.0, "event": "metric", "node": "r", "values": {"x": NaN}}',
             '{"time": 1.5, "event": "shown", "node": "r", "path": "runs/x/a.png", "media": "image/png", "preview": false}',
             '{"time": 1.7, "event": "shown", "node": "r", "path": "runs/x/a.npy", "media": "application/x", "preview": false}',
             '{"time": 1.8, "event": "failed", "node": "r", "message": "half a character: \\ud800"}',
             '{"time": 2.0, "event": "ended", "status": "done", "seconds": 1.0}']  # fmt: skip
    (folder / "events.jsonl").write_text("\n".join(lines) + "\n")
    os.utime(folder / "events.jsonl", (1, 1))
    server.call("history")
    found = [run for run in server.call("history", limit=1000) if run["title"] == "By hand"]
    assert [(run["status"], run["seed"], run["folder"]) for run in found] == [("done", 5, f"runs/{folder.name}")]
    assert found[0]["picture"] == "runs/x/a.png"
    assert server.call("metrics", run=found[0]["run"])[0]["values"] == [None]


@pytest.fixture
def own(tmp_path: Path) -> RunningServer:
    return RunningServer(tmp_path)


@pytest.mark.slow
def test_two_devices_do_not_train_the_same_at_once(tmp_path: Path) -> None:
    inner = {"slow": {"type": "wait", "params": {"seconds": 0.02}, "wires": {"x": "fit.x"}}}
    body = {"nodes": inner, "results": {"number": "slow"}}
    nodes = {
        "one": {"type": "number", "params": {"value": 1}},
        "fit": {"type": "counted", "params": {"n": 10_000}, "wires": {"x": "one"}, "body": body},
        "told": {"type": "measure", "wires": {"x": "fit"}},
    }
    two = RunningServer(tmp_path, "--device", "cpu,cpu:0", "--grace", "5")
    try:
        first = two.submit(nodes)
        two.has(first, "progress")
        second, third = two.submit(nodes), two.submit(PICTURE, device="cpu")
        two.has(second, "log")
        [waits] = [event for event in two.call("events", run=second) if event["event"] == "log"]
        assert "waits for another run that trains the same" in waits["message"]
        two.call("cancel", run=second)
        assert two.over(second)["status"] == "stopped"
        again = two.submit(nodes)
        two.has(again, "log")
        assert two.call("run", run=first)["status"] == "running"
        two.call("cancel", run=first)
        two.has(again, "progress")
        assert two.over(third)["status"] == "done"
        two.call("cancel", run=again)
        assert two.over(again)["status"] == "stopped"
    finally:
        two.stop()


def test_a_killed_server_keeps_history_and_queue(own: RunningServer) -> None:
    """The run that went on is interrupted; those that waited run after the restart; its worker does not stay."""
    going, waiting = own.submit(looping(10_000, 0.02)), own.submit(PICTURE)
    own.has(going, "metric")
    pid = own.call("about")["workers"][0]["pid"]
    own.kill()
    own.start()
    try:
        summary = own.call("run", run=going)
        assert summary["status"] == "interrupted"
        assert own.call("events", run=going)[-1]["status"] == "interrupted"
        assert own.over(waiting)["status"] == "done"
        with pytest.raises(ProcessLookupError):
            os.kill(pid, signal.SIG_DFL)
        assert [run["run"] for run in own.call("history")] == [waiting, going]
    finally:
        own.stop()
