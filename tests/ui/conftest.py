"""A real server in a process of its own, on a free port, with toy nodes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import httpx
import pytest

NODES = ("tests.graph_runner.toys", "tests.ui.slow_toys")
ROOT = Path(__file__).parents[2]


class RunningServer:
    """A server process, and short ways to ask it."""

    def __init__(self, workspace: Path, *options: str, stderr: TextIO | None = None, root: Path = ROOT) -> None:
        """root: the checkout whose server it is."""
        self.workspace, self.options, self.stderr, self.root = workspace, options, stderr, root
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "ui", "--workspace", str(self.workspace), "--port", str(self.port)]
        for module in NODES:
            command += ["--nodes", module]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [*command, *self.options],
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert "Latent Loom is at" in line, line
        self.http = httpx.Client(base_url=self.url, timeout=300)

    def kill(self) -> None:
        """kill -9 of the server alone: its worker finds out by itself."""
        self.process.send_signal(signal.SIGKILL)
        self._close()

    def stop(self) -> None:
        self.process.terminate()
        self._close()

    def _close(self) -> None:
        assert self.process.stdout is not None
        self.process.wait(120)
        self.process.stdout.close()
        self.http.close()

    def call(self, name: str, /, **arguments: Any) -> Any:
        answer = self.http.post(f"/api/{name}", json=arguments)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, name: str, /, **arguments: Any) -> tuple[int, str]:
        """The status and the sentence of a call that is refused."""
        answer = self.http.post(f"/api/{name}", json=arguments)
        assert answer.status_code >= 400
        return answer.status_code, answer.json()["error"]

    def submit(self, nodes: dict[str, Any], **options: Any) -> int:
        return int(self.call("submit", workflow=graph(nodes), **options)["run"])

    def until(self, run: int, reached: Callable[[dict[str, Any]], bool], seconds: float = 120) -> dict[str, Any]:
        """The run's summary once it is as wanted."""
        deadline = time.monotonic() + seconds
        while not reached(summary := self.call("run", run=run)):
            assert time.monotonic() < deadline, summary
            time.sleep(0.02)
        return summary

    def over(self, run: int) -> dict[str, Any]:
        return self.until(run, lambda summary: summary["ended"] is not None)

    def has(self, run: int, kind: str) -> None:
        """Wait for an event of this kind."""
        self.until(run, lambda _: any(e["event"] == kind for e in self.call("events", run=run)))


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def graph(nodes: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return json.loads(json.dumps({"loom": 1, **rest, "nodes": nodes}))


def looping(n: int, seconds: float) -> dict[str, Any]:
    """A loop of n turns, each of so many seconds, that reports a metric at each."""
    return {
        "a": {"type": "number", "params": {"value": 1}},
        "loop": {
            "type": "measured_loop",
            "params": {"n": n},
            "wires": {"x": "a"},
            "body": {
                "nodes": {"slow": {"type": "wait", "params": {"seconds": seconds}, "wires": {"x": "loop.x"}}},
                "results": {"number": "slow"},
            },
        },
    }


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """The server that most tests share."""
    running = RunningServer(tmp_path_factory.mktemp("workspace"), "--grace", "2")
    yield running
    running.stop()
