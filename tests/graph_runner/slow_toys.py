"""Toy nodes for the command line's tests: a training-like zone with checkpoints, files, interruptions."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Annotated, Any

import torch

from graph_runner.context import Loop, Metrics, Outputs, Processes, Workspace
from graph_runner.contract import Body, Checkpoint, File, Neutral, node
from tests.graph_runner.toys import Number, Step, Text

TURNS: list[int] = []
"""The turns that `gather` really did."""


class Sum:
    """A state that a checkpoint keeps."""

    def __init__(self) -> None:
        self.total = torch.zeros(())

    def state_dict(self) -> dict[str, Any]:
        return {"total": self.total}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.total = state["total"]


@node(category="slow", trains=True, keep=True, continues="n", continues_from="start")
def gather(
    body: Body[Step],
    x: Number,
    loop: Loop,
    metrics: Metrics,
    processes: Processes,
    n: int = 3,
    pause: float = 0.0,
    start: Annotated[Checkpoint, Neutral("")] = "",
) -> Number:
    """Sum turn · (1 + rank) · body(x) over n turns, the mean over processes; the sum is in the checkpoint.

    n: how many turns.
    pause: seconds that each turn takes.
    start: a checkpoint to begin at.
    """
    state = Sum()
    for turn in loop(n, state=state, origin=start):
        TURNS.append(turn)
        time.sleep(pause)
        own = body(x).detach() * turn * (1 + processes.rank)
        state.total = state.total + processes.mean([own])[0]
        metrics(total=state.total)
    return state.total


@node(category="slow")
def press_ctrl_c(x: Number, turn: int = 2, name: str = "SIGINT") -> Number:
    """Pass a number on, and in one turn of `gather` send this process a signal.

    turn: how many turns `gather` has begun by then, over all runs.
    """
    if len(TURNS) == turn:
        os.kill(os.getpid(), signal.Signals[name])
    return x + 0


@node(category="slow")
def trip(x: Number, workspace: Workspace, kill: bool = False, turn: int = 5) -> Number:
    """Pass a number on; but the second process of several fails once, or dies, in one turn of `gather`.

    kill: die without a word.
    turn: which.
    """
    marker = workspace / "tripped"
    if os.environ.get("RANK") == "1" and len(TURNS) == turn and not marker.exists():
        marker.touch()
        if kill:
            os.kill(os.getpid(), signal.SIGKILL)
        raise ValueError("it tripped; look where you go")
    return x + 0


@node(category="slow", effect=True)
def save_number(x: Number, outputs: Outputs, name: str = "number") -> None:
    """Write a number to a text file that is no preview."""
    outputs.file(f"{name}.txt", lambda path: path.write_text(str(float(x))) and None, media="text/plain")


@node(category="slow")
def length(path: File) -> Number:
    """How long a file is."""
    return torch.tensor(float(len(Path(path).read_bytes())))


@node(category="slow")
def letters(text: Text) -> Number:
    """How many letters a text has."""
    return torch.tensor(float(len(text)))
