"""Loggers: listeners that keep a run's numbers where other programs read them, chosen by name.

The names are those of entry points (group `latent_loom.listeners`); ours arrive by the same door as a stranger's. An entry
point leads to a factory, called with the `LoggedRun` and the options that the user gave, and gives a `Listener`: most often a
class. What it needs besides Latent Loom its module imports at the top; where that is absent, the user is told its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from graph_runner.base.events import Listener, Metric, Shown, Stream
from graph_runner.base.problems import Problem, WorkflowError
from graph_runner.format.workflow import Workflow, walk
from graph_runner.run.brought import Brought

GROUP = "latent_loom.listeners"


@dataclass(frozen=True)
class LoggedRun:
    """The run that a logger listens to.

    folder: of the run, below the workspace's `runs`. settings: seed, device and dtype.
    """

    workspace: Path
    folder: Path
    workflow: Workflow
    settings: Mapping[str, Any]

    @property
    def title(self) -> str:
        """The workflow's title."""
        return self.workflow.title or "untitled"

    def parameters(self) -> dict[str, Any]:
        """All that the workflow sets, as NODE.PARAM, after the run's settings."""
        typed = {f"{id}.{name}": value for id, node in walk(self.workflow.nodes) for name, value in node.params.items()}
        return {**self.settings, **typed}

    def file(self, shown: Shown) -> Path:
        """Where a file lies that a node showed."""
        return self.workspace / shown.path


Logger = Callable[[LoggedRun], Listener]
"""A factory whose options are known."""


def step_of(event: Metric | Shown) -> int | None:
    """The step of a number or picture, as on the canvas: the steps done of the innermost loop around; None outside of loops."""
    return None if event.turn is None else event.turn + 1


BROUGHT = Brought(GROUP, "logger", given=1)


def installed() -> dict[str, EntryPoint]:
    """The loggers that installed packages bring, by name."""
    return BROUGHT.installed()


def chosen(names: Iterable[str]) -> list[Logger]:
    """The loggers that a user names: "csv", or with options "wandb:project=shapes,mode=offline".

    Raises WorkflowError with all that is wrong: unknown names and options, packages that are not installed.
    """
    names = list(names)
    known = installed() if names else {}
    found, problems = list[Logger](), list[Problem]()
    for text in names:
        try:
            found.append(BROUGHT.chosen(text, known))
        except WorkflowError as error:
            problems += error.problems
    if problems:
        raise WorkflowError(problems)
    return found


def listen(stream: Stream, loggers: Iterable[Logger], run: LoggedRun) -> None:
    """Let loggers hear a run that begins. One that cannot begin (a server that is away) is told of, and left out."""
    for logger in loggers:
        try:
            stream.listeners.append(logger(run))
        except Exception as error:  # a stranger's may raise anything
            stream.dropped(getattr(logger, "func", logger).__qualname__, error)
