"""Search over parameters: a sweep that chooses what to try by what it has seen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Generic, NamedTuple, Protocol, TypeVar

from pydantic import Field
from torch import Tensor

from core.tables.table import table_of
from core.trials import Direction, Sampler, Trial, Trials, checked, refuse_strangers
from graph_runner.context import Loop, Processes
from graph_runner.contract import Body, Ports, Seed, node
from nodes.wires import Table

T = TypeVar("T")
R = TypeVar("R")


class Tried(NamedTuple, Generic[R]):
    """What a trial of `search` gives: what it is worth, and results of its own."""

    goal: Any
    each: Ports[R]


class Attempt(Protocol):
    """A trial of `search`: a number of each range, one of each list and its index in; what it is worth out."""

    def __call__(self, value: Ports[float], choice: Ports[T], trial: int) -> Tried[R]:
        """What the trial is worth, and its results."""
        ...


class Found(NamedTuple, Generic[T, R]):
    """What `search` gives: the best numbers and choices, a table of all trials, and their results as lists."""

    best: Ports[float]
    best_choice: Ports[T]
    trials: Table
    each: Ports[list[R]]


def _one(
    body: Body[Attempt],
    loop: Loop,
    ranges: Mapping[str, list[float]] | None = None,
    choices: Mapping[str, list[T]] | None = None,
    logarithmic: tuple[str, ...] = (),
    whole: tuple[str, ...] = (),
    trials: int = 20,
    **_: Any,
) -> Found[T, Any]:
    """The lowest numbers and first choices, each time: what will be tried only the run will show."""
    refuse_strangers(ranges or {}, choices or {}, logarithmic, whole)
    values = {name: checked(name, each, name in logarithmic, name in whole)[0] for name, each in (ranges or {}).items()}
    chosen = {name: each[0] for name, each in (choices or {}).items()}
    results: list[Tried[Any]] = [body(values, chosen, trial) for trial in loop(trials)]
    return Found(values, chosen, _table([Trial(values, {})] * trials, {}, [0.0] * trials), _collected(results))


@node(
    category="zones",
    dry=_one,
    words=("optuna", "hyperparameter", "tune", "tuning", "bayesian", "random search", "tpe", "sweep"),
)
def search(
    body: Body[Attempt],
    loop: Loop,
    processes: Processes,
    ranges: Ports[list[float]] | None = None,
    choices: Ports[list[T]] | None = None,
    logarithmic: tuple[str, ...] = (),
    whole: tuple[str, ...] = (),
    trials: Annotated[int, Field(ge=1, le=100_000)] = 20,
    sampler: Sampler = "tpe",
    direction: Direction = "minimize",
    seed: Seed = 0,
) -> Found[T, R]:
    """Search for the parameters with which the body's goal is best: a sweep that chooses what to try by what it has seen.

    The body reads value.NAME and choice.NAME, and gives `goal`, one number; what else it gives is collected as lists. A goal that
    is no number is a trial that failed. The same seed tries the same, so what the cache holds of a search that was killed is not
    computed again. Needs Optuna, which the extra `search` brings.

    ranges: named pairs of the lowest and the highest number: {"scale": [1, 8]}.
    choices: named lists of which one is chosen: {"channels": [32, 64, 128]}.
    logarithmic: names of ranges that are searched by their logarithm, such as learning rates.
    whole: names of ranges that are searched in whole numbers.
    trials: how many.
    sampler: tpe looks where earlier trials were good (tree-structured Parzen estimator, Bergstra et al. 2011); random does not.
    direction: whether the smallest goal is the best one, or the largest.
    seed: what is tried.
    """
    lists = choices or {}
    study = Trials(
        ranges or {}, {n: len(each) for n, each in lists.items()}, logarithmic, whole, sampler, direction, seed
    )
    tried: list[Trial] = []
    goals: list[float] = []
    results: list[Tried[R]] = []
    for number in loop(trials):
        trial = study.ask()
        chosen = {name: lists[name][index] for name, index in trial.choices.items()}
        result: Tried[R] = body(trial.values, chosen, number)
        goal = processes.agree(_number(result.goal))
        study.tell(goal)
        tried.append(trial)
        goals.append(goal)
        results.append(result)
    best = tried[study.best]
    chosen = {name: lists[name][index] for name, index in best.choices.items()}
    return Found(best.values, chosen, _table(tried, lists, goals), _collected(results))


def _number(goal: Any) -> float:
    """A goal as a number. Raises ValueError for what is none, or several."""
    if isinstance(goal, bool | int | float) or (isinstance(goal, Tensor) and goal.numel() == 1):
        return float(goal)
    what = f"{goal.numel()} numbers" if isinstance(goal, Tensor) else f"a {type(goal).__name__}"
    raise ValueError(f"'goal' takes one number, and is given {what}")


def _table(tried: list[Trial], lists: Mapping[str, list[Any]], goals: list[float]) -> Any:
    """A row for each trial: its number, what was tried, what it was worth."""
    columns: dict[str, list[Any]] = {"trial": list(range(len(tried)))}
    for name in tried[0].values:
        columns[name] = [trial.values[name] for trial in tried]
    for name in tried[0].choices:
        columns[name] = [_cell(lists[name][trial.choices[name]]) for trial in tried]
    return table_of({**columns, "goal": goals})


def _cell(choice: Any) -> bool | int | float | str:
    """A choice as a table can hold it."""
    if isinstance(choice, bool | int | float | str):
        return choice
    try:
        return json.dumps(choice)
    except TypeError:
        return str(choice)


def _collected(results: list[Tried[R]]) -> dict[str, list[R]]:
    collected: dict[str, list[R]] = {}
    for result in results:
        for name, value in result.each.items():
            collected.setdefault(name, []).append(value)
    return collected
