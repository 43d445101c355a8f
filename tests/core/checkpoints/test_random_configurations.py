"""Random configurations of diffusers' classes: the same, or refused by an option's name. `python -m benchmarks.configurations` tries more."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from random_configurations import KINDS, SCHEDULERS, names_an_option, tries, try_model, try_scheduler, untried
from random_schedulers import a_scheduler
from random_schedulers import untried as untried_of

from tests.effort import cases

GOOD = ("equal", "refused by name")


def test_each_is_the_same_or_refused_by_an_options_name(tmp_path: Path) -> None:
    found = list(tries(cases(10, 500), tmp_path))
    assert [tried for tried in found if tried.verdict not in GOOD] == []
    assert sum(tried.verdict == "equal" for tried in found) >= len(found) / 3


@pytest.mark.parametrize("name", KINDS)
def test_every_option_of_a_class_is_tried(name: str) -> None:
    assert untried(name) == set()


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_option_of_a_scheduler_is_tried(name: str) -> None:
    assert untried_of(name) == set()


def test_what_changes_nothing_is_equal(tmp_path: Path) -> None:
    """That nothing was tried would hide whatever is wrong with the trying."""
    models = (try_model("VQModel", seed, tmp_path) for seed in range(40))
    plain = next(tried for tried in models if tried is not None and not tried.changed)
    assert plain.verdict == "equal"
    betas = {"beta_schedule", "beta_start", "beta_end"}
    seed = next(i for i in range(99) if set(a_scheduler("EulerDiscrete", random.Random(f"EulerDiscrete {i}"))) == betas)
    scheduled = try_scheduler("EulerDiscrete", seed)
    assert scheduled is not None
    assert scheduled.verdict == "equal"


def test_a_refusal_that_names_nothing_is_told_apart() -> None:
    config = {"act_fn": "silu", "down_block_types": ("DownBlock2D",)}
    assert names_an_option("the option act_fn = gelu is not supported", config)
    assert names_an_option("the block DownBlock2D is not supported", config)
    assert not names_an_option("2 weights are missing", config)
