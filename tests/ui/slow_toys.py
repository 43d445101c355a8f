"""Toy nodes that take their time, or take their process with them."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from graph_runner.context import Loop, Metrics, Outputs, Workspace
from graph_runner.contract import Body, node
from graph_runner.format.png import KEYWORD
from tests.graph_runner.toys import Number, Step


@node(category="toy")
def wait(x: Number, seconds: float = 0.1) -> Number:
    """Pass a number on after a while."""
    time.sleep(seconds)
    return x + 0


@node(category="toy")
def die_once(x: Number, workspace: Workspace) -> Number:
    """Kill the process, the first time in this workspace."""
    mark = workspace / "died"
    if not mark.exists():
        mark.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    return x + 0


@node(category="toy")
def out_of_memory(x: Number) -> Number:
    """Ask for more memory than there is."""
    raise MemoryError("asked for 2000 GiB")


@node(category="toy", effect=True)
def measured_loop(body: Body[Step], x: Number, loop: Loop, metrics: Metrics, n: int = 3) -> None:
    """Apply the body n times, reporting the number at each turn."""
    for _ in loop(n):
        x = body(x)
        metrics(x=x)


@node(category="toy", effect=True)
def save_picture(x: Number, outputs: Outputs, name: str = "picture") -> None:
    """A PNG of one colour that carries the workflow."""
    from PIL import Image, PngImagePlugin

    texts = PngImagePlugin.PngInfo()
    texts.add_text(KEYWORD, outputs.workflow)

    def write(path: Path) -> None:
        Image.new("RGB", (64, 32), (int(x) % 256, 0, 0)).save(path, "PNG", pnginfo=texts)

    outputs.file(f"{name}.png", write, media="image/png")


@node(category="toy")
def ask(x: Number) -> Number:
    """Read the standard input, as a library that wants a yes or no does; adds how many characters there were."""
    return x + len(sys.stdin.read())


@node(category="toy", effect=True)
def leave_a_child(x: Number) -> None:
    """Fork a process that outlives this one, and die."""
    if os.fork() == 0:
        time.sleep(20)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)


@node(category="toy", effect=True)
def talk(x: Number, metrics: Metrics, megabytes: int = 1) -> None:
    """Tell a metric with a name of so many megabytes."""
    metrics(**{"m" * (megabytes << 20): x})
