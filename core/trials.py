"""Trials of a search over parameters: what to try next, by chance or by what was tried before (Optuna)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

Sampler = Literal["tpe", "random"]
Direction = Literal["minimize", "maximize"]


class Trial(NamedTuple):
    """What is tried: a number of each range, and the index of one of each list's choices."""

    values: dict[str, float]
    choices: dict[str, int]


class Trials:
    """The trials of one search. What is tried follows from the seed and from what earlier trials were worth, and from nothing else.

    ranges: lowest and highest number, by name. choices: how many there are to choose from, by name.
    logarithmic, whole: names of ranges that are searched by their logarithm, or in whole numbers, both ends among them.
    sampler: "tpe", the tree-structured Parzen estimator (Bergstra et al. 2011), or "random".
    Raises ValueError, naming the range, for what cannot be searched, and where Optuna is not installed.
    """

    def __init__(
        self,
        ranges: Mapping[str, Sequence[float]],
        choices: Mapping[str, int],
        logarithmic: Sequence[str] = (),
        whole: Sequence[str] = (),
        sampler: Sampler = "tpe",
        direction: Direction = "minimize",
        seed: int = 0,
    ) -> None:
        self._ranges = {name: checked(name, ends, name in logarithmic, name in whole) for name, ends in ranges.items()}
        self._choices = dict(choices)
        refuse_strangers(ranges, choices, logarithmic, whole)
        self._logarithmic, self._whole = frozenset(logarithmic), frozenset(whole)
        self._sampler, self._seed = sampler, seed
        optuna = _optuna()
        self._study = optuna.create_study(direction=direction, sampler=optuna.samplers.RandomSampler(seed=0))
        self._asked: Any = None

    def ask(self) -> Trial:
        """What to try next."""
        optuna = _optuna()
        kind = optuna.samplers.TPESampler if self._sampler == "tpe" else optuna.samplers.RandomSampler
        # A sampler of its own for each trial: a search that goes on draws what an uninterrupted one draws.
        digest = hashlib.blake2b(f"{self._seed} {len(self._study.trials)}".encode(), digest_size=4).digest()
        self._study.sampler = kind(seed=int.from_bytes(digest, "big"))
        self._asked = trial = self._study.ask()
        values = {name: self._suggested(trial, name, *ends) for name, ends in self._ranges.items()}
        return Trial(values, {n: trial.suggest_categorical(n, range(k)) for n, k in self._choices.items()})

    def tell(self, goal: float) -> None:
        """What the trial that was asked for is worth; one that is no number counts as failed, and is avoided."""
        if math.isfinite(goal):
            self._study.tell(self._asked, goal)
        else:
            self._study.tell(self._asked, state=_optuna().trial.TrialState.FAIL)

    @property
    def best(self) -> int:
        """Which trial was worth most, the first of equals. Raises ValueError where none gave a number."""
        try:
            return int(self._study.best_trial.number)
        except ValueError as error:
            raise ValueError("no trial was worth a finite number; look at what the body gives as its goal") from error

    def _suggested(self, trial: Any, name: str, low: float, high: float) -> float:
        log = name in self._logarithmic
        if name in self._whole:
            return float(trial.suggest_int(name, int(low), int(high), log=log))
        return float(trial.suggest_float(name, low, high, log=log))


def checked(name: str, ends: Sequence[float], logarithmic: bool = False, whole: bool = False) -> tuple[float, float]:
    """Lowest and highest number of a range. Raises ValueError, naming it, where these are none."""
    if len(ends) != 2 or not all(map(math.isfinite, ends)) or ends[0] > ends[1]:
        raise ValueError(f"the range {name!r} takes its lowest and its highest number, and is given {list(ends)}")
    if logarithmic and ends[0] <= 0:
        raise ValueError(f"the range {name!r} begins at {ends[0]:g}, which has no logarithm; begin above 0")
    if whole and any(end != int(end) for end in ends):
        raise ValueError(f"the range {name!r} is searched in whole numbers, and ends at {list(ends)}")
    return float(ends[0]), float(ends[1])


def refuse_strangers(
    ranges: Mapping[str, Any], choices: Mapping[str, Any], logarithmic: Sequence[str], whole: Sequence[str]
) -> None:
    """Raises ValueError for names that name no range, for one that is both, and where there is nothing to search."""
    if not ranges and not choices:
        raise ValueError("there is nothing to search: name a range or a list of choices")
    if both := sorted(ranges.keys() & choices.keys()):
        raise ValueError(f"{both[0]!r} is a range and a list of choices; give one of them another name")
    for text, names in (("logarithmic", logarithmic), ("whole", whole)):
        if unknown := sorted(set(names) - ranges.keys()):
            raise ValueError(f"{text!r} names {unknown[0]!r}; the ranges are {', '.join(ranges) or 'none'}")
    if empty := [name for name, count in choices.items() if not count]:
        raise ValueError(f"there is nothing to choose from for {empty[0]!r}")


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ValueError('optuna is not installed; pip install "latent-loom[search]"') from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
