"""What goes between the server and its workers: messages of any size, listeners that fail, nodes that read and fork."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.ui.conftest import NODES, ROOT, RunningServer, graph
from ui import channel, runs
from ui.channel import LARGEST, Channel, heard, packed
from ui.ledger import Ledger
from ui.runs import RunManager
from ui.schemas import Run

ONE = {"a": {"type": "number", "params": {"value": 1}}}
TEXT = json.dumps(graph({**ONE, "m": {"type": "measure", "wires": {"x": "a"}}}))


def through(send: Callable[[Channel], None]) -> list[Any]:
    """What the server hears of what a worker sends."""

    async def scene() -> list[Any]:
        ours, theirs = socket.socketpair()
        descriptor = theirs.detach()
        reader, writer = await asyncio.open_connection(sock=ours)

        def speak() -> None:
            mouth = Channel(descriptor)
            send(mouth)
            mouth._socket.close()

        speaker = threading.Thread(target=speak)
        speaker.start()
        found = [message async for message in heard(reader)]
        speaker.join()
        writer.close()
        return found

    return asyncio.run(asyncio.wait_for(scene(), 60))


def test_messages_of_any_size_come_through() -> None:
    def send(mouth: Channel) -> None:
        mouth.send(event={"event": "log", "message": "é" * LARGEST})
        mouth.send(over={"problems": [{"message": "x" * 1000}] * (LARGEST // 500), "status": "failed"})
        mouth.send(event={"odd": {1, 2}, "half": "\ud800", "path": Path("x")})
        mouth.send(last=True)

    long, over, odd, last = through(send)
    assert long["event"]["message"].endswith("characters more)")
    assert len(packed(long)) <= LARGEST
    assert over["over"]["status"] == "failed"
    assert odd["event"]["path"] == "x"
    assert last == {"last": True}


def test_a_message_that_no_worker_of_ours_sends_is_passed_over() -> None:
    def send(mouth: Channel) -> None:
        mouth._socket.sendall((LARGEST + 1).to_bytes(channel.HEADER, "big") + bytes(LARGEST + 1))
        mouth.send(last=True)
        mouth._socket.sendall(b"\0\0")

    assert through(send) == [LARGEST + 1, {"last": True}]


def test_a_server_that_was_killed_is_noticed_though_it_had_not_heard_all() -> None:
    ours, theirs = socket.socketpair()
    mouth = Channel(theirs.detach())
    mouth.send(event="that nobody reads")
    ours.close()
    assert list(mouth.messages()) == []
    mouth._socket.close()


def test_a_node_that_reads_the_standard_input_reads_nothing(server: RunningServer) -> None:
    nodes = {**ONE, "asks": {"type": "ask", "wires": {"x": "a"}}, "m": {"type": "measure", "wires": {"x": "asks"}}}
    runs = [server.submit(nodes, targets=["asks"], fresh=True) for _ in range(2)]
    for run in runs:
        assert server.over(run)["status"] == "done"
        values = [event["text"] for event in server.call("events", run=run) if event["event"] == "value"]
        assert values == ["1"]


def test_a_process_that_a_node_left_behind_does_not_hold_the_queue(server: RunningServer) -> None:
    run = server.submit({**ONE, "leaves": {"type": "leave_a_child", "wires": {"x": "a"}}})
    after = server.submit({**ONE, "m": {"type": "measure", "wires": {"x": "a"}}})
    assert server.until(run, lambda summary: summary["ended"] is not None, seconds=15)["status"] == "failed"
    assert server.over(after)["status"] == "done"


def test_a_long_word_of_a_node_is_told_short(server: RunningServer) -> None:
    run = server.submit({**ONE, "talks": {"type": "talk", "params": {"megabytes": 20}, "wires": {"x": "a"}}})
    after = server.submit({**ONE, "m": {"type": "measure", "wires": {"x": "a"}}})
    assert server.over(run)["status"] == "done"
    [told] = [event for event in server.call("events", run=run) if event["event"] == "metric"]
    assert next(iter(told["values"])).endswith("characters more)")
    assert server.over(after)["status"] == "done"


class Scene:
    """A run manager with a real worker and toy nodes."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> None:
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        monkeypatch.setattr(runs, "RETRY_SECONDS", 0.1)
        (folder / ".server").mkdir()
        self.ledger = Ledger(folder / ".server" / "server.db")
        options = ["--workspace", str(folder), "--dtype", "float32", *more]
        for module in NODES:
            options += ["--nodes", module]
        self.manager = RunManager(self.ledger, folder / ".server", ["cpu"], options, grace=5)

    async def over(self, run: int) -> Run:
        while (summary := self.manager.get(run)).ended is None:
            await asyncio.sleep(0.02)
        return summary

    def submit(self) -> int:
        return self.manager.submit("toy", TEXT, [], False, 0, False, "").run


def test_a_listener_that_fails_fails_its_run_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(tmp_path, monkeypatch)
    append = scene.ledger.append

    def once(run: int, n: int, event: dict[str, Any]) -> None:
        if event["event"] == "metric":
            scene.ledger.append = append  # type: ignore[method-assign]
            raise RuntimeError("a fault of ours")
        append(run, n, event)

    async def play() -> tuple[Run, Run]:
        scene.ledger.append = once  # type: ignore[method-assign]
        first, second = scene.submit(), scene.submit()
        ended = await scene.over(first), await scene.over(second)
        await scene.manager.close()
        return ended

    first, second = asyncio.run(asyncio.wait_for(play(), 120))
    assert (first.status, second.status) == ("failed", "done")
    assert "a fault of ours" in first.error


def test_a_full_disk_stops_no_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be written is written when there is room again; what waits goes on."""
    scene = Scene(tmp_path, monkeypatch)
    full = sqlite3.OperationalError("database or disk is full")
    write, room = scene.ledger.append, threading.Event()

    def append(run: int, n: int, event: dict[str, Any]) -> None:
        if event["event"] == "metric" or not room.is_set():
            room.clear()
            raise full
        write(run, n, event)

    async def play() -> tuple[Run, Run]:
        room.set()
        scene.ledger.append = append  # type: ignore[method-assign]
        first, second = scene.submit(), scene.submit()
        while room.is_set():
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)
        assert scene.manager.get(first).ended is None
        scene.ledger.append = write  # type: ignore[method-assign]
        ended = await scene.over(first), await scene.over(second)
        await scene.manager.close()
        return ended

    first, second = asyncio.run(asyncio.wait_for(play(), 120))
    assert (first.status, second.status) == ("failed", "done")
    assert "disk is full" in first.error


def test_a_worker_that_cannot_be_started_is_a_failed_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(tmp_path, monkeypatch)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))

    async def play() -> Run:
        over = await scene.over(scene.submit())
        await scene.manager.close()
        return over

    assert "could not be started" in asyncio.run(asyncio.wait_for(play(), 60)).error


def test_the_socket_has_another_number_and_nobody_inherits_it() -> None:
    ours, theirs = socket.socketpair()
    number = theirs.detach()
    mouth = Channel(number)
    assert not mouth._socket.get_inheritable()
    assert mouth._socket.fileno() != number
    if (child := os.fork()) == 0:
        os._exit(0 if mouth._socket.fileno() == -1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    mouth._socket.close()
    ours.close()


def test_a_worker_keeps_weights_as_the_server_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(tmp_path, monkeypatch, "--weights", "float8", "--tf32")

    async def play() -> Run:
        ended = await scene.over(scene.submit())
        await scene.manager.close()
        return ended

    assert asyncio.run(asyncio.wait_for(play(), 120)).status == "done"
    [path] = tmp_path.glob("runs/*/environment.json")
    told = json.loads(path.read_text())
    assert (told["weights"], told["tf32"]) == ("float8", {"matmul": True, "conv": True})
