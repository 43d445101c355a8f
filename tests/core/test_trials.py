"""What a search tries: the same for a seed, better with each trial, and refused where there is nothing to search."""

from __future__ import annotations

import math

import pytest

from core.trials import Trials

pytest.importorskip("optuna")


def worth(values: dict[str, float], choices: dict[str, int]) -> float:
    return math.log10(values["rate"] / 1e-3) ** 2 + abs(values["depth"] - 3) + choices["kind"]


def searched(sampler: str = "tpe", trials: int = 40, seed: int = 0, sign: int = 1) -> tuple[Trials, list[float]]:
    study = Trials(
        {"rate": [1e-5, 1e-1], "depth": [1, 6]},
        {"kind": 3},
        logarithmic=["rate"],
        whole=["depth"],
        sampler=sampler,  # type: ignore[arg-type]
        direction="minimize" if sign > 0 else "maximize",
        seed=seed,
    )
    goals = []
    for _ in range(trials):
        trial = study.ask()
        assert 1e-5 <= trial.values["rate"] <= 1e-1
        assert trial.values["depth"] in range(1, 7)
        assert trial.choices["kind"] in range(3)
        goals.append(sign * worth(*trial))
        study.tell(goals[-1])
    return study, goals


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_same_seed_tries_the_same_and_another_does_not(sampler: str) -> None:
    assert searched(sampler, 15)[1] == searched(sampler, 15)[1] != searched(sampler, 15, seed=1)[1]


def test_tpe_learns_from_what_was_tried() -> None:
    means = {
        sampler: sum(sum(searched(sampler, 60, seed)[1][30:]) / 30 for seed in range(5)) / 5
        for sampler in ("tpe", "random")
    }
    assert means["tpe"] < 0.7 * means["random"]


@pytest.mark.parametrize("sign", [1, -1])
def test_the_best_is_the_smallest_or_the_largest(sign: int) -> None:
    study, goals = searched(sign=sign)
    assert goals[study.best] == (min(goals) if sign > 0 else max(goals))


def test_a_goal_that_is_no_number_has_failed() -> None:
    study = Trials({"a": [0, 1]}, {})
    for goal in (math.nan, 2.0, math.inf):
        study.ask()
        study.tell(goal)
    assert study.best == 1
    broken = Trials({"a": [0, 1]}, {})
    broken.ask()
    broken.tell(math.nan)
    with pytest.raises(ValueError, match="no trial was worth a finite number"):
        _ = broken.best


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (({}, {}), "nothing to search"),
        (({"a": [1]}, {}), "the range 'a' takes its lowest and its highest number"),
        (({"a": [2, 1]}, {}), "the range 'a' takes its lowest and its highest number"),
        (({"a": [0, math.inf]}, {}), "the range 'a' takes its lowest and its highest number"),
        (({"a": [0, 1]}, {}, ["a"]), "has no logarithm"),
        (({"a": [0, 1.5]}, {}, [], ["a"]), "in whole numbers"),
        (({"a": [0, 1]}, {}, ["b"]), "'logarithmic' names 'b'; the ranges are a"),
        (({"a": [0, 1]}, {"a": 2}), "'a' is a range and a list of choices"),
        (({}, {"a": 0}), "nothing to choose from for 'a'"),
    ],
)
def test_what_cannot_be_searched_is_named(given: tuple[dict[str, list[float]], dict[str, int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Trials(*given)
