"""Toy nodes that take their time, or take their process with them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from graph_runner.context import Loop, Metrics, Outputs, Workspace
from graph_runner.contract import Body, node
from graph_runner.png import KEYWORD
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
