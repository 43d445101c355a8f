"""The command line with a workspace at an address, of processes that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.effort import cases
from tests.remote import CREDENTIALS, Machines, objects, server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
TURNS = 60
NODES = {
    "one": {"type": "number", "params": {"value": 2}},
    "gathered": {
        "type": "gather",
        "params": {"n": TURNS, "pause": 0.1},
        "wires": {"x": "one"},
        "body": {
            "nodes": {"inner": {"type": "same", "wires": {"x": "gathered.x"}}},
            "results": {"number": "inner"},
        },
    },
    "save": {"type": "save_number", "wires": {"x": "gathered"}},
}


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with server() as address:
        yield address


@pytest.fixture
def machines(s3, tmp_path, monkeypatch) -> Machines:
    for variable, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": s3}.items():
        monkeypatch.setenv(variable, value)
    name = f"bucket-{uuid.uuid4().hex[:8]}"
    found = Machines(f"s3://{name}/work", tmp_path, monkeypatch)
    found.home("a").bucket.fs.mkdir(name)
    (tmp_path / "sum.json").write_text(json.dumps({"loom": 1, "nodes": NODES}))
    return found


def started(machines: Machines, machine: str, seconds: int = 0) -> subprocess.Popen[str]:
    """The command on a machine; its checkpoints come so many seconds after each other, or as quickly as they can."""
    machines.workspace(machine)
    nodes = ["--nodes", "tests.graph_runner.toys", "--nodes", "tests.graph_runner.slow_toys"]
    command = [sys.executable, "-m", "graph_runner", str(machines.folder / "sum.json"), *nodes]
    return subprocess.Popen(
        [*command, "--workspace", machines.address, "--device", "cpu", "--checkpoint-seconds", str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def steps(machines: Machines) -> list[int]:
    home = machines.home("looking-on")
    names = [Path(name).name for name in objects(home) if name.endswith(".manifest.json")]
    return sorted(int(name.removeprefix("step-").partition(".")[0]) for name in names if name.startswith("step-"))


def kill_in_the_middle(machines: Machines, machine: str, beyond: int) -> int:
    """Kill -9 the command once it has written a checkpoint beyond this step; returns the newest at home."""
    running = started(machines, machine)
    while max(steps(machines), default=0) <= beyond:
        assert running.poll() is None, running.stdout and running.stdout.read()
        time.sleep(0.05)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    return max(steps(machines))


def whole(machines: Machines) -> bool:
    """Whether all that manifests name is there."""
    home = machines.home("looking-on")
    there = objects(home)
    for name in (name for name in there if name.endswith(".manifest.json")):
        manifest = json.loads(home.bucket.fs.cat_file(f"{home.bucket.root}/{name}"))
        place = f"{name.removesuffix('.manifest.json')}/{manifest['generation']}"
        if not all(f"{place}/{file}" in there for file in manifest["files"]):
            return False
    return True


def test_killed_processes_leave_nothing_half_and_another_machine_goes_on(machines):
    reached = 0
    for _ in range(cases(2, 10)):
        reached = kill_in_the_middle(machines, "a", reached)
        assert whole(machines)
    last = started(machines, "b", seconds=30)
    said, _ = last.communicate()
    assert last.returncode == 0, said
    assert f"goes on from step {reached}" in said
    home = machines.home("looking-on")
    [saved] = [name for name in objects(home) if name.endswith("/outputs/number.txt")]
    assert float(home.bucket.fs.cat_file(f"{home.bucket.root}/{saved}")) == 2 * sum(range(TURNS))
    assert whole(machines)
