"""One run in several processes: the canvas hears the first, a stop ends all, and nobody outlives who started them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.ui.conftest import RunningServer, looping
from ui.doing import Place
from ui.together import run_together

TWO = {"device": "cpu", "devices": "2", "threads": 1}


def below(pid: int) -> list[int]:
    """The processes that a process started, and those that they did."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found[1:]


def until_gone(pids: list[int]) -> None:
    end = time.monotonic() + 60
    while alive := [pid for pid in pids if Path(f"/proc/{pid}/stat").exists()]:
        assert time.monotonic() < end, alive
        time.sleep(0.05)


def test_a_place_is_told_whole_to_another_process(tmp_path: Path) -> None:
    place = Place(tmp_path, "cpu", {"dtype": "float32"}, ("a",), (tmp_path,), ("csv",), 2)
    assert Place.of_json(place.to_json()) == place


TELLS = """
import socket, sys
from ui.channel import packed
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1] + "/events")
for n in range(1000):
    connection.sendall(packed({"event": n}))
sys.exit(1)
"""
NEVER_COMES = "import sys; sys.exit('there is no such device')"


@pytest.mark.skipif(not Path("/proc").exists(), reason="there are no open files to look at")
@pytest.mark.parametrize("script", [TELLS, NEVER_COMES])
def test_what_a_lost_process_told_comes_first_and_nothing_is_left_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    class Slow:
        def send(self, **message: Any) -> None:
            time.sleep(0.001)
            sent.append(message)

    def open_now() -> tuple[int, int]:
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    def other(command: list[str], **how: Any) -> subprocess.Popen[bytes]:
        return started([sys.executable, "-c", script, command[3]], **how)

    sent: list[dict[str, Any]] = []
    started, before = subprocess.Popen, open_now()
    monkeypatch.setattr(subprocess, "Popen", other)
    run_together(Place(tmp_path, "cpu", {}), {"text": "{}"}, threading.Event(), Slow())
    *told, _, ended, over = sent
    assert told == ([{"event": n} for n in range(1000)] if script == TELLS else [])
    assert ended["event"]["event"] == "ended"
    assert over["over"]["status"] == "failed"
    assert script == TELLS or over["over"]["error"] == "there is no such device"
    assert open_now() == before


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="there are no processes to look at")
def test_a_run_in_two_processes_tells_what_one_tells_and_can_be_stopped_and_ended(server: RunningServer) -> None:
    run = server.submit(looping(3, 0.0), targets=["loop"], fresh=True, options=TWO)
    done = server.over(run)
    assert (done["status"], done["error"]) == ("done", "")
    kinds = [event["event"] for event in server.call("events", run=run)]
    assert kinds.count("planned") == kinds.count("ended") == 1
    assert {"progress", "metric", "started", "finished"} <= set(kinds)
    settings = server.call("run", run=run)["environment"]
    assert settings.get("processes", settings.get("settings", {}).get("processes")) == 2

    stopped = server.submit(looping(100_000, 0.01), targets=["loop"], fresh=True, options=TWO)
    server.has(stopped, "progress")
    server.call("cancel", run=stopped)
    assert server.over(stopped)["status"] == "stopped"

    ended = server.submit(looping(100_000, 0.01), targets=["loop"], fresh=True, options=TWO)
    server.has(ended, "progress")
    [worker] = server.call("about")["workers"]
    started = below(worker["pid"])
    assert len(started) >= 3, "a launcher and two processes"
    os.kill(worker["pid"], 9)
    assert server.over(ended)["status"] == "failed"
    until_gone(started)


@pytest.mark.slow
def test_what_no_process_could_say_is_said_by_who_started_them(server: RunningServer) -> None:
    run = server.submit(looping(1, 0.0), targets=["loop"], options={"device": "cpu", "devices": 1000})
    over = server.over(run)
    assert over["status"] == "failed"
    assert "--devices 1000" in over["error"]
