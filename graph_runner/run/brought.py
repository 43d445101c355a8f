"""What installed packages bring under a name, by entry points, with options that a user writes behind it: "csv:file=numbers.csv".

An entry point leads to a factory. What it needs besides Latent Loom its module imports at the top: loading it is the check, and
where something is absent the user is told its name. Loggers and executors come this way.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import TypeAdapter, ValidationError

from graph_runner.base.problems import Problem, WorkflowError, did_you_mean

Factory = Callable[..., Any]


class Brought:
    """The entry points of one group. kind: what each of them is, in a word; given: parameters that are no options of the user."""

    def __init__(self, group: str, kind: str, given: int) -> None:
        self.group, self.kind, self.given = group, kind, given

    def installed(self) -> dict[str, EntryPoint]:
        """By name. All packages are looked through, which takes longer than many a run."""
        return {entry.name: entry for entry in sorted(entry_points(group=self.group), key=lambda entry: entry.name)}

    def chosen(self, text: str, known: dict[str, EntryPoint]) -> Factory:
        """The factory that a user names, as "NAME" or "NAME:OPTION=VALUE,…", with its options.

        Raises WorkflowError for an unknown name, a package that is not installed, and all that is wrong with the options.
        """
        name, _, options = text.partition(":")
        if name not in known:
            raise WorkflowError([Problem(f"there is no {self.kind} {name!r}", remedy=did_you_mean(name, known))])
        return self._with_options(name, self._loaded(known[name]), options)

    def _loaded(self, entry: EntryPoint) -> Factory:
        try:
            factory: Factory = entry.load()
        except ImportError as error:
            package = (error.name or "").partition(".")[0] or entry.name
            message = f"the {self.kind} {entry.name!r} needs {package}, which is not installed ({error})"
            raise WorkflowError([Problem(message, remedy=f"pip install {_wanted(entry, package)}")]) from error
        except Exception as error:
            message = f"the {self.kind} {entry.name!r} cannot be imported from {entry.value}: {error}"
            raise WorkflowError([Problem(message, remedy="Correct that package, or leave it out")]) from error
        return factory

    def _with_options(self, name: str, factory: Factory, text: str) -> Factory:
        """The factory with its options, written OPTION=VALUE and parted by commas, as the types of its parameters."""
        parameters = list(inspect.signature(factory, eval_str=True).parameters.values())[self.given :]
        known = {each.name: str if each.annotation is each.empty else each.annotation for each in parameters}
        whose = f"the {self.kind} {name!r}"
        options: dict[str, Any] = {}
        problems: list[Problem] = []
        for part in filter(None, text.split(",")):
            option, equals, value = part.partition("=")
            if option not in known:
                remedy = did_you_mean(option, known) or "It takes no options"
                problems.append(Problem(f"{whose} has no option {option!r}", remedy=remedy))
            elif not equals:
                remedy = f"Write {option}=VALUE"
                problems.append(Problem(f"the option {option!r} of {whose} has no value", remedy=remedy))
            else:
                try:
                    options[option] = TypeAdapter(known[option]).validate_strings(value)
                except ValidationError as error:
                    why = error.errors(include_url=False)[0]["msg"]
                    problems.append(Problem(f"the option {part} of {whose} is wrong: {why}"))
        missing = [p.name for p in parameters if p.default is p.empty and p.name not in options]
        problems += [
            Problem(f"{whose} needs its option {each!r}", remedy=f"Write {name}:{each}=VALUE") for each in missing
        ]
        if problems:
            raise WorkflowError(problems)
        return partial(factory, **options)


def _wanted(entry: EntryPoint, package: str) -> str:
    """What to install: an extra of the distribution that brings the entry point, where it has one of that name."""
    if entry.dist is not None and package in (entry.dist.metadata.get_all("Provides-Extra") or ()):
        return f'"{entry.dist.name}[{package}]"'
    return package
