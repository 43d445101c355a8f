"""A server among hostile requests: it answers each in words, soon, in little memory, and runs nothing of what it is sent.

`./loom test tests/ui/test_hostile.py --thorough` sends thousands.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from tests.effort import cases
from tests.ui.conftest import RunningServer, graph, looping
from tests.ui.hostile import MARK, TOY, Hostile, message, request

HANG_SECONDS = 60
"""No answer takes so long, on however busy a machine; what was measured is told by `-s`."""
MOST_MEMORY = 2**30


@pytest.fixture(scope="module")
def besieged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose workspace holds odd things, its log kept."""
    workspace = tmp_path_factory.mktemp("besieged")
    odd_entries(workspace)
    with (workspace.parent / "besieged.log").open("w") as log:
        running = RunningServer(workspace, "--grace", "1", stderr=log)
        yield running
        running.stop()


def odd_entries(workspace: Path) -> None:
    """What nobody would put into a workspace on purpose."""
    folder = workspace / "workflows"
    (folder / "folder.json").mkdir(parents=True)
    (folder / "dangling.json").symlink_to("nowhere.json")
    (folder / "round.json").symlink_to("round.json")
    (folder / "out.json").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe.json")
    os.mkfifo(workspace / "pipe")
    (workspace / "loop").symlink_to("loop")
    (folder / "form.json").write_text(json.dumps(graph(TOY, exposed={"params": {"value": "a.value"}})))
    (folder / "no-json.json").write_bytes(b"\xff\xfe\0")
    (folder / "digits.json").write_text(
        '{"loom": 1, "nodes": {"a": {"type": "number", "params": {"value": ' + "9" * 5000 + "}}}}"
    )
    (folder / "deep.json").write_text('{"loom": 1, "nodes": ' + "[" * 100_000)
    (folder / ("long" * 60 + ".json")).write_text("{}")
    for place in (folder, workspace):
        (Path(os.fsdecode(os.fsencode(place) + b"/caf\xe9.json"))).write_text(json.dumps(graph(TOY)))
    runs = workspace / "runs"
    for name, record in {
        "no-time": '{"event": "ended", "status": "done"}',
        "odd-status": '{"event": "ended", "status": "?", "time": 1}',
        "list": "[1]",
        "odd-metric": '{"event": "metric", "time": 1, "values": 3}\n{"event": "ended", "time": 2, "status": "done", "seconds": 1e999}',
        "half": '{"event": "log", "time": 1, "message": "\\ud800"}\n{"event": "ended", "time": 2, "status": "done", "seconds": 1}',
    }.items():
        (runs / name).mkdir(parents=True)
        (runs / name / "events.jsonl").write_text(record)
        os.utime(runs / name / "events.jsonl", (1, 1))
        (runs / name / "workflow.json").write_text('{"loom": 1, "title": ["\\ud800"], "nodes": {}}')
        (runs / name / "environment.json").write_text('{"seed": 1' + "0" * 300 + ', "device": null}')
    (runs / "pipe").mkdir()
    os.mkfifo(runs / "pipe" / "events.jsonl")


def log_of(server: RunningServer) -> str:
    return (server.workspace.parent / "besieged.log").read_text()


def memory_of(server: RunningServer) -> int:
    """The most memory in bytes that the server has had."""
    [line] = [line for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines() if "VmHWM" in line]
    return int(line.split()[1]) * 1024


def send(client: httpx.Client, hostile: Hostile) -> int:
    """Send a request; the status of its answer, 0 where none can be had for it."""
    content = iter([hostile.body]) if hostile.chunked else hostile.body
    try:
        with client.stream(hostile.method, hostile.path, content=content, headers=hostile.headers) as answer:
            if "text/event-stream" in answer.headers.get("content-type", ""):
                return answer.status_code  # it may go on for ever
            answer.read()
    except (httpx.RemoteProtocolError, httpx.InvalidURL, httpx.WriteError, httpx.ReadError):
        return 0  # the connection is closed where the request is none
    if "upgrade" not in hostile.headers:  # no handshake at all is answered before it comes to us
        assert "content-security-policy" in answer.headers, hostile
    if (
        hostile.path.startswith("/api/")
        and "upgrade" not in hostile.headers
        and answer.status_code >= 400
        and hostile.method != "HEAD"
    ):
        assert answer.json()["error"], hostile
    return answer.status_code


def test_odd_entries_are_told(besieged: RunningServer) -> None:
    # The first of these tests: hostile requests remove runs.
    entries = {entry["path"]: entry for entry in besieged.call("workflows")}
    assert "link" in entries["workflows/dangling.json"]["problem"]
    assert "no file" in entries["workflows/pipe.json"]["problem"]
    assert "no UTF-8" in entries["workflows/caf?.json"]["problem"]
    assert "no valid JSON" in entries["workflows/no-json.json"]["problem"]
    assert not {"workflows/folder.json", "workflows/out.json"} & set(entries)
    for path, entry in entries.items():
        if path.startswith("workflows/") and entry["problem"]:
            assert besieged.refused("open", path=path)[1], path
    names = {entry["name"] for entry in besieged.call("files")}
    assert {"caf?.json", "pipe", "workflows"} <= names
    assert "loop" not in names
    found = {run["folder"]: run for run in besieged.call("history", limit=1000)}
    assert {"runs/odd-metric", "runs/half"} <= set(found)
    for folder in ("runs/odd-metric", "runs/half"):
        run = found[folder]["run"]
        assert besieged.call("events", run=run)[-1]["event"] == "ended"
        assert besieged.call("metrics", run=run) == []
        assert besieged.call("run", run=run)["environment"] in ({}, {"seed": int("1" + "0" * 300), "device": None})


def test_hostile_requests_are_answered_in_words(besieged: RunningServer) -> None:
    slowest, statuses = 0.0, dict[int, int]()
    with httpx.Client(base_url=besieged.url, timeout=HANG_SECONDS) as client:
        for seed in range(cases(200, 3000)):
            hostile = request(seed)
            began = time.monotonic()
            status = send(client, hostile)
            slowest = max(slowest, time.monotonic() - began)
            statuses[status] = statuses.get(status, 0) + 1
            assert status < 500, (seed, hostile)
    print(
        f"\nslowest {slowest:.2f} s, memory {memory_of(besieged) >> 20} MiB, statuses {dict(sorted(statuses.items()))}"
    )
    unscathed(besieged)


def test_hostile_messages_leave_the_socket_alive(besieged: RunningServer) -> None:
    run = besieged.submit(looping(5, 0.01))
    besieged.over(run)
    said = 0
    with connect(besieged.url.replace("http", "ws") + "/ws", proxy=None, max_size=None) as socket:
        for seed in range(cases(200, 3000)):
            socket.send(message(seed))
            said += 1
        socket.send(json.dumps({"unsubscribe": run}))
        socket.send(json.dumps({"subscribe": run}))
        answers: list[dict[str, object]] = []
        while not (
            answers
            and answers[-1].get("caught_up") == run
            and answers[-1]["n"] == besieged.call("run", run=run)["events"]
        ):
            answers.append(json.loads(socket.recv(HANG_SECONDS)))
    assert sum("error" in answer for answer in answers) > said / 3
    assert all(answer["error"] for answer in answers if "error" in answer)
    unscathed(besieged)


def unscathed(server: RunningServer) -> None:
    """The server is as it was, and has run nothing."""
    assert "Traceback" not in log_of(server), log_of(server)
    assert memory_of(server) < MOST_MEMORY
    assert not list(server.workspace.rglob(MARK))
    assert not Path(MARK).exists()
    assert server.over(server.submit(TOY, fresh=True))["status"] == "done"
    assert {"shipped/quickstart.json", "workflows/form.json"} <= {entry["path"] for entry in server.call("workflows")}


def test_nothing_that_was_sent_holds_the_others_up(besieged: RunningServer) -> None:
    """While a large thing is worked at, a small one is answered; none of the large ones goes through every part of an address."""
    import threading

    many = {f"n{i}": {"type": f"numbr{i}", "wires": {"x": f"m{i}"}} for i in range(20_000)}
    folder = besieged.workspace / "many"
    folder.mkdir()
    for i in range(cases(2_000, 100_000)):
        (folder / f"{i}.txt").touch()
    large = (
        ("GET", "/app/" + "x/" * 1000, None),
        ("GET", "/app/form/" + "x/" * 1000, None),
        ("GET", "/files/" + "x/" * 1000, None),
        ("GET", "/api/files?folder=many", None),
        ("POST", "/api/validate", {"workflow": graph(many)}),
        ("POST", "/api/canonical", {"workflow": graph(many)}),
    )
    besieged.http.get("/app/form/")
    for method, path, given in large:
        over = threading.Event()

        def work(method: str = method, path: str = path, given: object = given, over: threading.Event = over) -> None:
            httpx.request(method, besieged.url + path, json=given, timeout=300)
            over.set()

        worker = threading.Thread(target=work)
        worker.start()
        longest = 0.0
        while not over.wait(0.05):
            began = time.monotonic()
            besieged.call("queue")
            longest = max(longest, time.monotonic() - began)
        worker.join()
        print(f"\n{method} {path[:40]}: another call waited {longest:.2f} s at most")
        assert longest < 20
    assert len(besieged.call("files", folder="many")) == cases(2_000, 100_000)
