"""Loggers: listeners that keep a run's numbers where other programs read them, chosen by name.

The names are those of entry points (group `latent_loom.listeners`); ours arrive by the same door as a stranger's. An entry
point leads to a factory, called with the `LoggedRun` and the options that the user gave, and gives a `Listener`: most often a
class. What it needs besides Latent Loom its module imports at the top; where that is absent, the user is told its name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from graph_runner.base.events import Listener, Metric, Shown, Stream
from graph_runner.base.problems import Problem, WorkflowError, did_you_mean
from graph_runner.format.workflow import Workflow, walk

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


def installed() -> dict[str, EntryPoint]:
    """The loggers that installed packages bring, by name."""
    return {entry.name: entry for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name)}


def chosen(names: Iterable[str]) -> list[Logger]:
    """The loggers that a user names: "csv", or with options "wandb:project=shapes,mode=offline".

    Raises WorkflowError with all that is wrong: unknown names and options, packages that are not installed.
    """
    names = list(names)
    known = installed() if names else {}  # all packages are looked through, which takes longer than many a run
    found, problems = list[Logger](), list[Problem]()
    for text in names:
        name, _, options = text.partition(":")
        try:
            if name not in known:
                raise WorkflowError([Problem(f"there is no logger {name!r}", remedy=did_you_mean(name, known))])
            found.append(_with_options(name, _loaded(known[name]), options))
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


def _loaded(entry: EntryPoint) -> Callable[..., Listener]:
    try:
        factory: Callable[..., Listener] = entry.load()
    except ImportError as error:
        package = (error.name or "").partition(".")[0] or entry.name
        message = f"the logger {entry.name!r} needs {package}, which is not installed ({error})"
        raise WorkflowError([Problem(message, remedy=f"pip install {package}")]) from error
    except Exception as error:
        message = f"the logger {entry.name!r} cannot be imported from {entry.value}: {error}"
        raise WorkflowError([Problem(message, remedy="Correct that package, or leave the logger out")]) from error
    return factory


def _with_options(name: str, factory: Callable[..., Listener], text: str) -> Logger:
    """The factory with its options, written OPTION=VALUE and parted by commas, as the types of its parameters."""
    parameters = list(inspect.signature(factory, eval_str=True).parameters.values())[1:]
    known = {each.name: str if each.annotation is each.empty else each.annotation for each in parameters}
    options: dict[str, Any] = {}
    problems: list[Problem] = []
    for part in filter(None, text.split(",")):
        option, equals, value = part.partition("=")
        if option not in known:
            remedy = did_you_mean(option, known) or "It takes no options"
            problems.append(Problem(f"the logger {name!r} has no option {option!r}", remedy=remedy))
        elif not equals:
            problems.append(Problem(f"the option {option!r} of the logger {name!r} has no value", remedy=f"Write {option}=VALUE"))  # fmt: skip
        else:
            try:
                options[option] = TypeAdapter(known[option]).validate_strings(value)
            except ValidationError as error:
                why = error.errors(include_url=False)[0]["msg"]
                problems.append(Problem(f"the option {part} of the logger {name!r} is wrong: {why}"))
    missing = [p.name for p in parameters if p.default is p.empty and p.name not in options]
    problems += [Problem(f"the logger {name!r} needs its option {each!r}", remedy=f"Write {name}:{each}=VALUE") for each in missing]  # fmt: skip
    if problems:
        raise WorkflowError(problems)
    return partial(factory, **options)
